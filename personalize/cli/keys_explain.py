"""rhcard keys explain: how a key comes from its root, step by step, without showing a key."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .context import Context
from .exits import Exit
from .options import json_option, keys_option, passphrase_option
from .output import print_line, say

if TYPE_CHECKING:
    from cardlib.facts import Region
    from cardlib.keys.diversification import Scheme
    from cardlib.keys.explanation import Asked, Explanation

_OPTION_OF = {
    "chip": "--chip",
    "region": "--region",
    "challenge": "--challenge",
    "command": "--command",
    "reply": "--reply",
    "scheme": "--template",
    "data": "--data",
    "card_number": "--card-number",
    "issue_date": "--issue-date",
}
"""The option that gives each member of `Asked`."""
_T = TypeVar("_T")


@click.command(name="explain")
@click.argument("names", metavar="KEY...", nargs=-1, required=True)
@click.option("--chip", metavar="SERIAL", help="The chip serial, 16 hex digits.")
@click.option(
    "--region",
    metavar="CODE",
    help="For level-2 keys: the city code or its first two digits, or the region factor in 16 hex"
    " digits.",
)
@click.option(
    "--challenge",
    metavar="HEX",
    help="Explain also the process key for this challenge, 8 bytes: any key of version 1, and the"
    " IRK.",
)
@click.option(
    "--command",
    metavar="HEX",
    help="Explain also the session keys of version 2: the 40 data bytes of EXTERNAL AUTHENTICATE.",
)
@click.option("--reply", metavar="HEX", help="With --command: the card's 40 bytes.")
@click.option(
    "--template",
    metavar="NAME|TEXT",
    help="For the transport keys: how another maker's blank cards are diversified. See"
    " docs/reference/diversification.md.",
)
@click.option(
    "--data",
    metavar="HEX",
    help="With --template: the first 10 bytes of the card's reply to INITIALIZE UPDATE. Default:"
    " what our cards answer, the chip serial and 0000.",
)
@click.option("--card-number", metavar="NUMBER", help="For security-code: the card number.")
@click.option("--issue-date", metavar="YYYYMMDD", help="For security-code: the issue date.")
@click.option(
    "--key-version",
    "version",
    type=click.IntRange(1, 7),
    metavar="NUMBER",
    help="The version of the root keys. Default: the newest that makes cards.",
)
@keys_option
@passphrase_option
@json_option
@click.pass_obj
def explain(
    context: Context, /, names: tuple[str, ...], version: int | None, **given: str | None
) -> int:
    """Show how the keys of a card are calculated from the root keys.

    KEY is the name of a card key, or transport, issuer or security-code. Each step is printed with
    its formula, its input and the check value of what comes out. No key is printed. Use it to find
    where another program calculates something else.

    \b
    Examples:
      rhcard keys explain PUK_DDF1 --chip 5248430000000001 --keys keys.json
      rhcard keys explain transport --chip 5248430000000001 --keys keys.json
    """
    from cardlib.keys.explanation import explained

    scheme = _scheme(given.pop("template"))
    texts = {name: text for name, text in given.items() if text is not None}
    members = {*texts, *({"scheme"} if scheme else ())}
    _check_options(names, members, None, scheme)
    asked = _asked(texts, scheme)
    store = context.open_store()
    _check_options(names, members, store.protocol, scheme)
    roots = store.roots(store.newest.key_version if version is None else version)
    found = [explained(roots, name, asked) for name in names]
    if context.as_json:
        return context.answer({"keys": [_as_json(each) for each in found]})
    for explanation in found:
        _show(explanation)
    say("No key was printed. A check value shows whether two keys are equal, and no more.")
    return Exit.GOOD


def _check_options(
    names: tuple[str, ...], given: set[str], protocol: int | None, scheme: "Scheme | None"
) -> None:
    """Usage errors: an option that is needed and not given, or given and without any effect."""
    from cardlib.errors import CardKeyError
    from cardlib.keys.explanation import uses

    useful: set[str] = set()
    for name in names:
        try:
            needed, may = uses(name, protocol, scheme)
        except CardKeyError as error:
            raise click.BadParameter(str(error), param_hint="'KEY'") from None
        if missing := sorted(_OPTION_OF[member] for member in needed - given):
            raise click.UsageError(f"{name} needs {' and '.join(missing)}.")
        useful |= needed | may
    if useless := sorted(_OPTION_OF[member] for member in given - useful):
        keys = f" with keys of version {protocol}" if protocol else ""
        raise click.UsageError(
            f"{useless[0]} has no effect on {', '.join(names)}{keys}: leave it out."
        )
    if len(given & {"command", "reply"}) == 1:
        raise click.UsageError("give --command and --reply together, or neither.")


def _scheme(text: str | None) -> "Scheme | None":
    from cardlib.keys.diversification import read_template

    return None if text is None else _read("--template", read_template, text)


def _read(option: str, read: Callable[[str], _T], text: str) -> _T:
    """Read an option's text; a usage error when it is wrong."""
    from cardlib.errors import FormatError

    try:
        return read(text)
    except FormatError as error:
        raise click.BadParameter(str(error), param_hint=f"'{option}'") from None


def _asked(texts: Mapping[str, str], scheme: "Scheme | None") -> "Asked":
    from cardlib.facts import ChipSerial
    from cardlib.keys.diversification import DATA_SIZE
    from cardlib.keys.explanation import Asked
    from cardlib.keys.mutual import CRYPTOGRAM_SIZE

    readers: dict[str, Callable[[str], Any]] = {
        "chip": ChipSerial.parse,
        "region": _region,
        "challenge": _bytes(8),
        "command": _bytes(CRYPTOGRAM_SIZE),
        "reply": _bytes(CRYPTOGRAM_SIZE),
        "data": _bytes(DATA_SIZE),
        "card_number": _storable("card_number"),
        "issue_date": _storable("issue_date"),
    }
    values = {name: _read(_OPTION_OF[name], readers[name], text) for name, text in texts.items()}
    return Asked(scheme=scheme, **values)


def _region(text: str) -> "Region":
    from cardlib.facts import Region

    return Region(_bytes(8)(text)) if len(text) == 16 else Region.of_city(text)


def _bytes(size: int) -> Callable[[str], bytes]:
    from cardlib.errors import FormatError

    def read(text: str) -> bytes:
        try:
            value = bytes.fromhex(text)
        except ValueError:
            value = b""
        if len(value) != size:
            raise FormatError(f"write {2 * size} hex digits ({size} bytes)")
        return value

    return read


def _storable(name: str) -> Callable[[str], str]:
    """Read a value of the issuer's file; FormatError when no card can hold it."""
    from cardlib.layout import encode
    from cardlib.layout.load import ISSUER_FILE

    field = next(each for each in ISSUER_FILE.fields if each.name == name)

    def read(text: str) -> str:
        encode(field, text)
        return text

    return read


def _as_json(explanation: "Explanation") -> dict[str, Any]:
    return {
        "key": explanation.name,
        "what": explanation.what,
        "root": explanation.root,
        "root_check_value": explanation.root_check_value.hex().upper(),
        "root_check": explanation.root_check,
        "steps": [
            {
                "makes": step.makes,
                "formula": step.formula,
                "parts": [
                    {"name": part.name, "value": part.value.hex().upper()} for part in step.parts
                ],
                "input": step.whole_input.hex().upper(),
                "check_value": step.check_value.hex().upper() if step.check_value else None,
                "check": step.check,
                "shown": dict(step.shown),
            }
            for step in explanation.steps
        ],
    }


def _show(explanation: "Explanation") -> None:
    print_line(f"{explanation.name}: {explanation.what}")
    root = explanation.root_check_value.hex().upper()
    _line(explanation.root, f"check value {root} ({explanation.root_check})")
    for number, step in enumerate(explanation.steps, 1):
        print_line("", f"  {number}. {step.makes} = {step.formula}")
        for part in step.parts:
            _line(part.name, part.value.hex().upper())
        if len(step.parts) > 1:
            _line("input", step.whole_input.hex().upper())
        for name, text in step.shown:
            _line(name, text)
        if step.check_value:
            _line("check value", f"{step.check_value.hex().upper()} ({step.check})")
    print_line("")


def _line(name: str, text: str) -> None:
    print_line(f"     {name:<16} {text}")
