"""rhcard read: show a card to a person."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .exits import Exit
from .options import json_option, keys_option, open_store, passphrase_option
from .output import print_json, print_table, say

if TYPE_CHECKING:
    from rich.text import Text

    from cardlib.layout import FieldValue, FileSpec

    from ..reading import Reading

_COLOURS = {
    "value": "",
    "negative": "green",
    "empty": "dim",
    "unwritten": "dim",
    "denied": "yellow",
    "missing": "magenta",
    "corrupt": "bold red",
}
_HEADINGS = {"en": ("record", "field", "value", "state"), "zh": ("记录", "项目", "值", "状态")}
_ALL = {"en": "all {0} fields", "zh": "全部 {0} 项"}


@click.command(name="read")
@click.argument("card", metavar="CARD", type=click.Path(path_type=Path))
@keys_option
@click.option("--lang", type=click.Choice(["en", "zh"]), default="en", show_default=True)
@click.option("--emergency", is_flag=True, help="Only what an emergency room sees; no PIN.")
@passphrase_option
@json_option
def command(
    card: Path,
    *,
    keys: Path | None,
    lang: str,
    emergency: bool,
    passphrase_file: Path | None,
    as_json: bool,
) -> int:
    """Show the software card CARD, field by field, each with its state.

    Without --keys only the issuer's data can be read; the rest is shown as denied.
    """
    from ..reading import EMERGENCY_FILES, read_card
    from ..station import in_reader

    with in_reader(card) as connection:
        key_set = open_store(keys, passphrase_file).card_keys if keys else None
        if emergency:
            reading = read_card(connection, key_set, EMERGENCY_FILES)
        else:
            reading = read_card(connection, key_set)
    if as_json:
        print_json(_document(card, reading, lang))
        return Exit.GOOD
    show(reading, lang, collapse=not emergency)
    if keys is None:
        say("Read without keys: --keys FILE opens what is denied.")
    return Exit.GOOD


def _document(card: Path, reading: "Reading", lang: str) -> dict[str, object]:
    from ..show import as_json

    identity = reading.identity
    return {
        "card": str(card),
        "chip": identity.chip.hex().upper(),
        "specification": f"{identity.spec >> 4}.{identity.spec & 15}",
        "cipher": identity.cipher.name.lower(),
        "key_version": identity.key_version,
        "fields": [as_json(value, lang) for _, values in reading.files for value in values],
        "exit_code": int(Exit.GOOD),
    }


def show(reading: "Reading", lang: str, *, collapse: bool) -> None:
    """Print a table for each file; a file without any value is one row if `collapse`."""
    from ..show import file_title, one_state

    identity = reading.identity
    click.echo(
        f"chip {identity.chip.hex().upper()}  specification {identity.spec >> 4}."
        f"{identity.spec & 15}  {identity.cipher.name}  key version {identity.key_version}"
    )
    for file, values in reading.files:
        alike = collapse and len(values) > 1 and one_state(values) is not None
        rows = [_row_for_all(values, lang)] if alike else [_row(file, v, lang) for v in values]
        print_table(file_title(file, lang), _HEADINGS[lang], rows)


def _row(file: "FileSpec", value: "FieldValue", lang: str) -> "Sequence[str | Text]":
    from ..show import field_title, value_in_words

    record = "" if file.is_tlv or not value.record else str(value.record)
    return (
        record,
        field_title(value.field, lang),
        _value(value_in_words(value, lang), value),
        _state(value, lang),
    )


def _row_for_all(values: "Sequence[FieldValue]", lang: str) -> "Sequence[str | Text]":
    return "", _ALL[lang].format(len(values)), "", _state(values[0], lang)


def _value(words: str, value: "FieldValue") -> "Text":
    from rich.text import Text

    from cardlib.layout import Kind

    from .output import printable

    warning = value.field.kind is Kind.FLAG and value.state == "value"
    return Text(printable(words), "bold red" if warning else "")


def _state(value: "FieldValue", lang: str) -> "Text":
    from rich.text import Text

    from ..show import state_in_words
    from .output import printable

    return Text(printable(state_in_words(value, lang)), _COLOURS[value.state])
