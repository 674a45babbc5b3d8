"""rhcard keys import, export and receipt: root keys in the hands of several people."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cardlib.errors import CardKeyError, file_error

from .agent_socket import socket_option
from .component_entry import (
    SEALED_FORMAT,
    begun,
    check_terminal,
    component_option,
    confirmed,
    entered,
)
from .context import Context
from .exits import Exit
from .failures import Stopped
from .operator_files import Signers, operator_options, signed
from .options import NewPath, check_output_folder, json_option
from .output import print_line, say
from .signals import held_back

if TYPE_CHECKING:
    from cardlib.keys.agent.agent_connection import AgentConnection

_expect_option = click.option(
    "--expect",
    metavar="VALUE",
    help="The check value of what the components make. Without it, each operator confirms it.",
)
_version_option = click.option(
    "--version",
    "version",
    type=click.IntRange(1, 7),
    metavar="NUMBER",
    help="The key version. Default: the newest.",
)


@click.command(name="import")
@click.option(
    "--key",
    "what",
    required=True,
    metavar="NAME",
    help="transport, issuer, cvk, the name of a card key such as RK1_DF02, or set: all keys.",
)
@component_option
@_expect_option
@json_option
@click.pass_obj
@operator_options
def import_(
    context: Context,
    what: str,
    signers: Signers,
    component_files: tuple[Path, ...],
    expect: str | None,
) -> int:
    """Bring a key in, from components that different people enter.

    There are 2 or 3 components, one for each --operator. The key agent makes a new key version:
    this key is new, and all others are those of before. Until all have confirmed the check value,
    nothing changes. Ctrl-C at any time leaves all as it was.

    \b
    Examples:
      rhcard keys import --key transport --operator ann.op --operator bob.op
    """
    check_terminal(expect)
    _check_name(what, "import")
    connection = signers.connection()
    keys = signers.opened("import", most=3)
    hosted = begun(connection, "import", what, keys)
    components, values = entered(hosted, component_files)
    confirmed(hosted, values, expect)
    about = _about(hosted.plan.ceremony, what, components, values)
    done = to_its_end(
        lambda: connection.call(
            "ceremony-import",
            ceremony=hosted.handle,
            **signed(connection, "import", about, keys),
        )
    )
    return _told_of_version(context, done, f"{what} is imported")


def _about(
    ceremony: str, what: str, components: Sequence[str], values: Mapping[str, str]
) -> dict[str, Any]:
    """What a statement about a ceremony says of it."""
    return {
        "ceremony": ceremony,
        "what": what,
        "components": list(components),
        "check_values": dict(values),
    }


def _check_name(what: str, action: str) -> None:
    from ..custody.component import SET, SINGLE_KEYS

    if what not in (*SINGLE_KEYS, SET):
        names = ", ".join((*SINGLE_KEYS[-3:], SET))
        raise click.BadParameter(
            f"there is no key {what!r} to {action}: give {names}, or the name of a card key"
            " (`rhcard keys list`)",
            param_hint="'--key'",
        )


def to_its_end(change: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Ask the agent for the change, and wait for its answer even if Ctrl-C is pressed now.

    Stopped, which says how to find out, when it is pressed twice.
    """
    try:
        with held_back():
            return change()
    except KeyboardInterrupt:
        raise Stopped(
            "stopped while the key agent was at work: it may be done. `rhcard keys receipt` shows"
            " whether there is a new receipt"
        ) from None


def _told_of_version(context: Context, done: Mapping[str, Any], words: str) -> int:
    """Say which version of the keys there is now, and where its receipt is."""
    if context.as_json:
        values = {each["name"]: each["value"] for each in done["check_values"]}
        return context.answer({**done, "check_values": values})
    print_line(f"key version {done['version']}  {done['identity']}")
    say(f"{words[0].upper()}{words[1:]}. Print the receipt: rhcard keys receipt {done['receipt']}")
    return Exit.GOOD


@click.command()
@click.option(
    "--key",
    "whats",
    required=True,
    multiple=True,
    metavar="NAME",
    help="transport, issuer, cvk, the name of a card key, or set: all keys. With --wrapped it may"
    " be repeated.",
)
@_version_option
@click.option(
    "--wrapped",
    is_flag=True,
    help="Under an exchange key, which operators enter as components: TR-31 version D for AES keys;"
    " for SM4 keys a block of our own.",
)
@component_option
@_expect_option
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER|FILE",
    help="The folder for one sealed component file an operator; with --wrapped, the new file.",
)
@json_option
@click.pass_obj
@operator_options
def export(
    context: Context,
    *,
    whats: tuple[str, ...],
    version: int | None,
    wrapped: bool,
    signers: Signers,
    component_files: tuple[Path, ...],
    expect: str | None,
    out: Path,
) -> int:
    """Take a key out of the key agent, encrypted or in components.

    Without --wrapped it is split into 2 or 3 components, one for each operator, and each file opens
    only with that operator's passphrase. One of them alone says nothing about the key.

    \b
    Examples:
      rhcard keys export --key set --operator ann.op --operator bob.op --out parts
    """
    for what in whats:
        _check_name(what, "export")
    if wrapped:
        NewPath().convert(out, None, None)
        check_terminal(expect)
    elif component_files or expect is not None or len(whats) != 1:
        raise click.UsageError("--component, --expect and several --key are for --wrapped")
    else:
        check_output_folder(out, "--out")
    connection = signers.connection()
    known = connection.call("versions")["versions"]
    cipher = _exchange_cipher(known, whats) if wrapped else ""
    keys = signers.opened("export", most=3)
    found = version or int(known[0]["version"])
    if not wrapped:
        return _components(context, connection, keys, (whats[0], found), out)
    hosted = begun(connection, "export", "exchange", keys, cipher)
    components, values = entered(hosted, component_files)
    confirmed(hosted, values, expect)
    about = _about(hosted.plan.ceremony, "exchange", components, values)
    parameters = {**about, "form": "wrapped", "keys": list(whats), "version": found}
    done = to_its_end(
        lambda: connection.call(
            "ceremony-export",
            ceremony=hosted.handle,
            **signed(connection, "export", parameters, keys),
        )
    )
    _write(out, "".join(f"{block['text']}\n" for block in done["blocks"]))
    return _told(context, [out], done["receipt"])


def _exchange_cipher(known: Sequence[Mapping[str, Any]], whats: Sequence[str]) -> str:
    """The cipher of the exchange key: that of the keys, which must be all of one."""
    from cardlib.crypto import Cipher

    from ..custody.component import SET, cipher_of

    if SET in whats:
        raise click.UsageError("--wrapped takes single keys: name each with --key")
    cards = Cipher(known[0]["cipher"])
    ciphers = {cipher_of(what, cards).name for what in whats}
    if len(ciphers) > 1:
        raise click.UsageError(
            "AES keys and SM4 keys need exchange keys of their own: export them one after the"
            " other. transport and issuer are always AES"
        )
    return ciphers.pop()


def _components(
    context: Context,
    connection: "AgentConnection",
    keys: Sequence[Any],
    which: tuple[str, int],
    out: Path,
) -> int:
    what, version = which
    names = [f"{key.name}.{what}-{version}.component.json" for key in keys]
    if taken := [name for name in names if (out / name).exists()]:
        raise click.BadParameter(f"{out / taken[0]} exists already", param_hint="'--out'")
    parameters = {"form": "components", "what": what, "version": version}
    done = to_its_end(
        lambda: connection.call(
            "export-components", **signed(connection, "export", parameters, keys)
        )
    )
    out.mkdir(parents=True, exist_ok=True)
    for name, each in zip(names, done["components"], strict=True):
        entry = {
            "format": SEALED_FORMAT,
            "what": what,
            "version": version,
            "operator": each["operator"],
            "check_value": each["check_value"],
            "sealed": each["sealed"].hex(),
        }
        _write(out / name, json.dumps(entry, indent=1) + "\n")
    for value in done["check_values"]:
        say(f"  {value['name']:<10} {value['value']}")
    return _told(context, [out / name for name in names], done["receipt"])


def _write(path: Path, text: str) -> None:
    from cardlib.unfinished import write_new

    try:
        write_new(path, text.encode("ascii"))
    except OSError as error:
        raise file_error(CardKeyError, error, path) from None


def _told(context: Context, files: Sequence[Path], receipt: int) -> int:
    if context.as_json:
        return context.answer({"files": [str(file) for file in files], "receipt": receipt})
    print_line(*map(str, files))
    say(f"Print the receipt: rhcard keys receipt {receipt}")
    return Exit.GOOD


def rotated(context: Context, signers: Signers, *, transport: bool) -> int:
    """Have the agent make a new version of the keys, for two operators."""
    connection = signers.connection()
    newest = max(each["version"] for each in connection.call("versions")["versions"])
    parameters, keys = {"transport": transport, "version": newest + 1}, signers.opened("rotate")
    done = to_its_end(
        lambda: connection.call("rotate", **signed(connection, "rotate", parameters, keys))
    )
    return _told_of_version(context, done, "a new version is made")


def retired(context: Context, signers: Signers, version: int) -> int:
    """Have the agent retire a version of the keys, for two operators."""
    connection = signers.connection()
    connection.call("versions")
    parameters, keys = {"version": version}, signers.opened("retire")
    done = to_its_end(
        lambda: connection.call("retire", **signed(connection, "retire", parameters, keys))
    )
    return _told_of_version(context, done, f"version {version} makes no more cards")


@click.command()
@click.argument("number", type=click.IntRange(1), required=False, metavar="[NUMBER]")
@socket_option
@json_option
@click.pass_obj
def receipt(context: Context, number: int | None, socket_path: Path) -> int:
    """Print the receipt of a ceremony. It holds no secret.

    It says who did what with the root keys, and when, with all check values. Without a number,
    say which receipts there are.

    \b
    Examples:
      rhcard keys receipt 1
    """
    from cardlib.keys.agent.agent_connection import AgentConnection

    connection = AgentConnection(socket_path)
    if number is None:
        numbers = connection.call("receipts")["receipts"]
        if context.as_json:
            return context.answer({"receipts": numbers})
        print_line(*map(str, numbers))
        if not numbers:
            say("There is no receipt yet.")
        return Exit.GOOD
    lines = connection.call("receipt", number=number)["lines"]
    if context.as_json:
        return context.answer({"number": number, "lines": lines})
    print_line(*lines)
    return Exit.GOOD
