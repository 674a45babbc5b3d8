"""rhcard keys list and check: what is in a key store, without showing a key."""

from typing import TYPE_CHECKING, Any

import click

from .context import Context
from .exits import Exit
from .options import json_option, keys_option, passphrase_option
from .output import print_error, print_line, print_table, say

if TYPE_CHECKING:
    from cardlib.keys.store.store_header import StoreHeader, StoreVersion


@click.command(name="list")
@keys_option
@json_option
@click.pass_obj
def list_(context: Context) -> int:
    """Show what a key store says about itself.

    That is its versions, dates and check values, and who opens it. It needs no passphrase, and so
    it proves nothing: `rhcard keys check` does.

    \b
    Examples:
      rhcard keys list --keys keys.json
    """
    from cardlib.keys.store.store_file import read_header

    path = context.key_file()
    header = read_header(path)
    if context.as_json:
        return context.answer({"keys": str(path), **described(header)})
    if header.format == 1:
        print_line(f"{path}: a key store of format 1. One passphrase opens it.")
        say("This format says nothing else without its passphrase. Use `rhcard keys check`.")
        return Exit.GOOD
    _print(header)
    return Exit.GOOD


@click.command()
@keys_option
@passphrase_option
@json_option
@click.pass_obj
def check(context: Context) -> int:
    """Open a key store, and check what it says about itself.

    Identities and check values are calculated again. Nothing is changed. Use it on each copy that
    you keep.

    \b
    Examples:
      rhcard keys check --keys keys.json
    """
    path = context.key_file()
    store = context.open_store()
    wrong = store.differences()
    code = Exit.KEY_PROBLEM if wrong else Exit.GOOD
    if context.as_json:
        document = {"keys": str(path), **described(store.header), "test_keys": store.is_test}
        return context.answer({**document, "differences": wrong}, code)
    for each in wrong:
        print_error(f"{path}: {each}")
    for version in () if wrong else store.header.versions:
        count = len(version.check_values)
        print_line(
            f"version {version.version}  {version.identity}  {count} check values are right"
            f"{', retired' if version.retired else ''}"
        )
    if store.is_test:
        say("These keys are published: everybody can read and change cards made with them.")
    return code


def described(header: "StoreHeader") -> dict[str, Any]:
    """A header as JSON members; check values in hex."""
    return {
        "format": header.format,
        "protocol": header.protocol,
        "cipher": header.cipher and header.cipher.name.lower(),
        "created": header.created,
        "versions": [
            {
                "version": each.version,
                "identity": each.identity,
                "created": each.created,
                "retired": each.retired,
                "check_values": _in_hex(each),
            }
            for each in header.versions
        ],
        "opened_by": "custodians" if header.is_production else "passphrase",
        "custodians": list(header.custodians),
    }


def _in_hex(version: "StoreVersion") -> dict[str, str]:
    return {name: value.hex().upper() for name, value in version.check_values.items()}


def _print(header: "StoreHeader") -> None:
    active = [each.version for each in header.versions if not each.retired]
    states = dict.fromkeys(active, "makes cards of batches prepared before")
    states[max(active)] = "makes cards"
    rows = [
        (
            str(each.version),
            each.identity,
            each.created or "unknown",
            states.get(each.version, "retired: reads cards, makes none"),
        )
        for each in header.versions
    ]
    print_table("Key versions", ("version", "identity", "made", "state"), rows)
    versions = [_in_hex(each) for each in header.versions]
    headings = ("root", *(f"version {each.version}" for each in header.versions))
    names = [(name, *(each.get(name, "") for each in versions)) for name in versions[0]]
    print_table("Check values", headings, names)
    cipher = header.cipher.name if header.cipher else ""
    print_line(f"For cards of specification {header.protocol}.0 with {cipher} keys")
    if header.is_production:
        print_line(f"Two of its custodians open it: {', '.join(header.custodians)}")
    else:
        print_line("One passphrase opens it")
