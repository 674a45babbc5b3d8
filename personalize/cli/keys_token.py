"""rhcard keys token, and rhcard keys new --token: root keys in a PKCS#11 token."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cardlib.errors import CardKeyError

from .context import Context
from .exits import Exit
from .options import FC, json_option
from .output import print_line, print_table, say

if TYPE_CHECKING:
    from cardlib.keys.token.pkcs11 import TokenFound
    from cardlib.keys.token.token_session import TokenSession
    from cardlib.keys.token.token_version import TokenVersion

MODULE_ENVIRONMENT = "RHCARD_TOKEN_MODULE"
_STORE = "main"
_module_option = click.option(
    "--module",
    metavar="FILE",
    help=f"The token's PKCS#11 library, such as softhsm2.so. Default: ${MODULE_ENVIRONMENT}.",
)
pin_option = click.option(
    "--pin-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=(
        "Read the token's PIN from the first line of FILE, which only you may read."
        " Default: $RHCARD_TOKEN_PIN, then ask."
    ),
)


def token_options(command: FC) -> FC:
    """How to reach the token: its module and its PIN."""
    return _module_option(pin_option(command))


@click.command(name="token")
@click.option("--token", "label", metavar="LABEL", help="Open this token and list its root keys.")
@token_options
@click.option(
    "--remove-unfinished",
    is_flag=True,
    help="With --token: remove the keys that an interrupted command left in the token.",
)
@json_option
@click.pass_obj
def token(
    context: Context,
    label: str | None,
    module: str | None,
    pin_file: Path | None,
    remove_unfinished: bool,
) -> int:
    """Print the tokens that are there, and what each is good for.

    Without --token no PIN is needed, and no try is spent. With --token, the versions of root keys
    in that token are listed. Each key is compared with its check value. A difference is exit 9.

    \b
    Examples:
      rhcard keys token --module /usr/lib/softhsm/libsofthsm2.so
      rhcard keys token --module /usr/lib/softhsm/libsofthsm2.so --token bureau
    """
    from cardlib.keys.token.pkcs11 import tokens

    given = {"--pin-file": pin_file, "--remove-unfinished": remove_unfinished}
    _only_with_token(label, given)
    path = module_path(context, module)
    found = [each for each in tokens(path) if label in (None, each.label)]
    if label is not None:
        return _print_keys(context, open_session(label, path, pin_file), remove_unfinished)
    if context.as_json:
        return context.answer({"module": path, "tokens": [_facts(each) for each in found]})
    if not found:
        say(f"{path} finds no token.")
    rows = [
        (
            each.label or "(no label)", each.model, _pin_state(each), _aes(each), "no",
            _yes(each, "cmac"), _yes(each, "sp800_108"),
        )
        for each in found
    ]  # fmt: skip
    columns = ("token", "model", "PIN", "AES roots", "SM4 roots", "CMAC", "SP 800-108")
    print_table(f"tokens of {path}", columns, rows)
    return Exit.GOOD


def with_token(new: click.Command) -> None:
    """Give `rhcard keys new` the options of a token: then the keys are made inside it."""
    outside = new.callback
    assert outside is not None
    options: list[click.Parameter] = []
    for add in (
        click.option("--token", metavar="LABEL", help="Make the keys inside this token. AES only."),
        _module_option,
        pin_option,
        click.option(
            "--store",
            metavar="NAME",
            help=f"With --token: the name of the keys in the token. Default: {_STORE}.",
        ),
        click.option(
            "--key-version",
            type=click.IntRange(1, 7),
            metavar="NUMBER",
            help="With --token: the version of the card keys. Default: the next one.",
        ),
    ):
        options += _parameters_of(add)
    out = next(each for each in new.params if each.name == "out")
    out.required = False
    new.params[1:1] = options

    def inside_or_outside(**values: Any) -> Any:
        own = {str(each.name): values.pop(str(each.name)) for each in options}
        label = own.pop("token")
        if label is not None:
            return _new_in_token(label, own, values)
        _only_with_token(label, {f"--{name.replace('_', '-')}": own[name] for name in own})
        if values["out"] is None:
            raise click.UsageError("Missing option '--out' (a file) or '--token' (a token).")
        return outside(**values)

    new.callback = inside_or_outside


def module_path(context: Context, given: str | None) -> str:
    """The path of the PKCS#11 module: given, from the environment, or configured.

    UsageError when there is none. CardKeyError when other users can write it: it would get the PIN.
    """
    from .config_check import problem_of

    found = given or context.configuration.setting("token.module").value
    if not found:
        raise click.UsageError(f"no PKCS#11 module: give --module FILE or set {MODULE_ENVIRONMENT}")
    path = Path(str(found))
    if path.is_file() and (problem := problem_of("token.module", path)):
        raise CardKeyError(problem)
    return str(found)


def token_pin(file: Path | None, label: str) -> str:
    """The PIN of a token from a file, the environment or a prompt; CardKeyError without one."""
    from cardlib.keys.token.token_pin import ENVIRONMENT, pin_given

    pin = pin_given(file, os.environ)
    if pin is not None:
        return pin
    if not sys.stdin.isatty():
        raise CardKeyError(f"no token PIN: set {ENVIRONMENT} or give --pin-file FILE")
    return str(click.prompt(f"PIN of token {label}", hide_input=True, err=True))


def open_session(label: str, path: str, pin_file: Path | None) -> "TokenSession":
    """A session with a token, logged in. CardKeyError when there is no such token, or a wrong PIN.

    The token is looked for before the PIN is asked for.
    """
    from cardlib.keys.token.pkcs11 import tokens
    from cardlib.keys.token.token_session import TokenSession

    there = [each.label for each in tokens(path)]
    if label not in there:
        names = ", ".join(each for each in there if each) or "none"
        raise CardKeyError(f"{path} finds no token {label!r}. Tokens that are there: {names}")
    session = TokenSession(path, label, token_pin(pin_file, label))
    session.open()
    return session


def _new_in_token(label: str, own: Mapping[str, Any], values: Mapping[str, Any]) -> int:
    from cardlib.crypto import Cipher
    from cardlib.keys.roots import public_test_roots
    from cardlib.keys.token.token_making import NO_SM4, generate_roots, import_roots
    from cardlib.keys.token.token_version import found_versions

    context: Context = click.get_current_context().obj
    _refuse_what_is_for_files(context, values)
    if values["cipher"] != "aes":
        raise CardKeyError(NO_SM4)
    protocol, store = int(values["protocol"]), own["store"] or _STORE
    session = open_session(label, module_path(context, own["module"]), own["pin_file"])
    there = found_versions(session, store)
    number = own["key_version"] or (there[-1].number + 1 if there else 1)
    if values["test_keys"]:
        made = import_roots(session, store, public_test_roots(protocol, Cipher.AES, number))
    else:
        made = generate_roots(session, store, protocol, number)
    session.close()
    version = made.version
    if made.removed:
        say(f"Keys of an interrupted command, now removed from the token: {made.removed}")
    if context.as_json:
        return context.answer({"token": label, **_version(version)})
    print_line(f"{label}/{store} version {number}  {version.identity}")
    if version.is_test:
        say("These keys are published: everybody can read and change cards made with them.")
    else:
        say("Nobody has these keys outside the token. Without it, no card can be issued or read:")
        say("make a backup with the tool of the token now.")
    return Exit.GOOD


def _refuse_what_is_for_files(context: Context, values: Mapping[str, Any]) -> None:
    """Raise UsageError for an option of `rhcard keys new` that has no effect with --token."""
    known = {"test_keys", "cipher", "protocol"}
    given = [name for name, value in values.items() if name not in known and value]
    given += ["passphrase_file"] if context.passphrase_file else []
    if given:
        option = given[0].replace("_", "-")
        raise click.UsageError(f"--{option} is for a key store file: it has no effect with --token")


def _only_with_token(label: str | None, given: Mapping[str, object]) -> None:
    for option, value in given.items():
        if label is None and value:
            raise click.UsageError(f"{option} is for --token: give --token LABEL too")


def _parameters_of(add: Any) -> list[click.Parameter]:
    """The parameter that a decorator of click makes."""

    def bare() -> None: ...

    return list(click.command()(add(bare)).params)


def _print_keys(context: Context, session: "TokenSession", remove: bool) -> int:
    from cardlib.keys.token.token_making import remove_leftovers
    from cardlib.keys.token.token_version import (
        differences,
        found_versions,
        leftovers,
        retired_identities,
    )

    removed = remove_leftovers(session) if remove else 0
    unfinished, retired = len(leftovers(session)), retired_identities(session)
    versions = [
        {
            **_version(each),
            "retired": each.identity in retired,
            "wrong_keys": list(differences(session, each)),
        }
        for each in found_versions(session)
    ]
    session.close()
    code = Exit.KEY_PROBLEM if any(each["wrong_keys"] for each in versions) else Exit.GOOD
    if context.as_json:
        document = {"token": session.label, "versions": versions}
        return context.answer(
            {**document, "unfinished_keys": unfinished, "removed_keys": removed}, code
        )
    _print_versions(session.label, versions)
    if removed:
        say(f"Keys of an interrupted command, now removed: {removed}")
    if unfinished:
        say(f"Keys left by an interrupted command: {unfinished}. --remove-unfinished removes them.")
    if code:
        say("A wrong key was replaced or is damaged: do not issue cards with its version.")
    return code


def _print_versions(label: str, versions: list[dict[str, Any]]) -> None:
    rows = [
        (
            each["store"], str(each["version"]), str(each["protocol"]), each["identity"],
            each["created"], "retired" if each["retired"] else "in use",
            ", ".join(each["wrong_keys"]) or "none",
        )
        for each in versions
    ]  # fmt: skip
    columns = ("store", "version", "protocol", "identity", "made", "state", "wrong keys")
    print_table(f"root keys in token {label}", columns, rows)


def _version(version: "TokenVersion") -> dict[str, Any]:
    return {
        "store": version.store,
        "version": version.number,
        "identity": version.identity,
        "cipher": "aes",
        "protocol": version.protocol,
        "test_keys": version.is_test,
        "created": version.created,
        "check_values": dict(version.check_values),
    }


def _facts(found: "TokenFound") -> dict[str, Any]:
    from cardlib.keys.token.pkcs11 import AES_CMAC, SP800_108_COUNTER_KDF, mechanism_name
    from cardlib.keys.token.token_making import missing_mechanisms

    return {
        "label": found.label,
        "serial": found.serial,
        "maker": found.maker,
        "model": found.model,
        "pin": _pin_state(found),
        "aes_roots": not missing_mechanisms(found.mechanisms, make=False),
        "aes_roots_made_inside": not missing_mechanisms(found.mechanisms, make=True),
        "missing": list(missing_mechanisms(found.mechanisms, make=True)),
        "sm4_roots": False,
        "cmac": AES_CMAC in found.mechanisms,
        "sp800_108": SP800_108_COUNTER_KDF in found.mechanisms,
        "mechanisms": sorted(mechanism_name(each) for each in found.mechanisms),
    }


def _yes(found: "TokenFound", fact: str) -> str:
    return "yes" if _facts(found)[fact] else "no"


def _aes(found: "TokenFound") -> str:
    facts = _facts(found)
    if facts["aes_roots_made_inside"]:
        return "yes"
    missing = ", ".join(facts["missing"])
    return f"import only (no {missing})" if facts["aes_roots"] else f"no ({missing} missing)"


def _pin_state(found: "TokenFound") -> str:
    if found.is_locked:
        return "locked"
    return "set" if found.has_pin else "not set"
