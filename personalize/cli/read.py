"""rhcard read: show a card to a person."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .exits import Exit
from .options import json_option, keys_option, open_store, passphrase_option
from .output import print_json, print_line, print_table, printable, say

if TYPE_CHECKING:
    from rich.text import Text

    from cardlib.layout import FieldValue
    from cardlib.transport.meter import Figures

    from ..terminal.reading import Reading

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
_WITHOUT = {
    "en": ("Files without a value", "file", "fields", "state"),
    "zh": ("没有值的文件", "文件", "项目数", "状态"),
}


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
    from cardlib.exchange import observed
    from cardlib.layout import FILES
    from cardlib.transport.meter import Meter

    from ..production.station import in_reader
    from ..terminal.reading import EMERGENCY_FILES, read_card

    with in_reader(card) as connection:
        key_set = open_store(keys, passphrase_file).terminal_keys if keys else None
        meter, files = Meter(), EMERGENCY_FILES if emergency else FILES
        with observed(connection, meter) as card_in_reader:
            reading = read_card(card_in_reader, key_set, files)
    if as_json:
        print_json(_document(card, reading, meter.figures, lang))
        return Exit.GOOD
    show(reading, lang, collapse=not emergency)
    say(_in_words(meter.figures))
    if keys is None:
        say("Read without keys: --keys FILE opens what is denied.")
    return Exit.GOOD


def _in_words(figures: "Figures") -> str:
    total = figures.bytes_both_ways
    seconds = figures.card_ms / 1000
    return f"{figures.commands} APDUs, {total:,} bytes; {seconds:.1f} s on a real card"


def _document(card: Path, reading: "Reading", figures: "Figures", lang: str) -> dict[str, object]:
    from cardlib.layout.words import as_json

    identity = reading.identity
    return {
        "card": str(card),
        "chip": identity.chip.hex().upper(),
        "specification": f"{identity.spec >> 4}.{identity.spec & 15}",
        "cipher": identity.cipher.name.lower(),
        "key_version": identity.key_version,
        "fields": [as_json(value, lang) for _, values in reading.files for value in values],
        "commands": figures.commands,
        "bytes": figures.bytes_both_ways,
        "real_card_seconds": round(figures.card_ms / 1000, 3),
        "exit_code": int(Exit.GOOD),
    }


def show(reading: "Reading", lang: str, *, collapse: bool) -> None:
    """A table for each file; if `collapse`, files without any value share one at the end.

    Records that were never written, at the end of a file with values, are then left out.
    """
    from cardlib.layout import NO_ENTRIES
    from cardlib.layout.words import file_title, state_in_words

    from ..terminal.show import one_state, without_blank_end

    print_line(f"{reading.identity}")
    without = []
    for file, values in reading.files:
        if collapse and one_state(values) is not None:
            state = _coloured(state_in_words(values[0], lang), values[0])
            without.append((file_title(file, lang), str(len(values)), state))
            continue
        numbered = not file.is_tlv and file.records > 1
        shown = without_blank_end(values) if collapse and numbered else values
        rows = [_row(value, lang, numbered=numbered) for value in shown]
        if values[0].detail == NO_ENTRIES:
            rows = [("", "", "", _coloured(state_in_words(values[0], lang), values[0]))]
        print_table(file_title(file, lang), _HEADINGS[lang][not numbered :], rows)
    if without:
        title, *headings = _WITHOUT[lang]
        print_table(title, headings, without)


def _row(value: "FieldValue", lang: str, *, numbered: bool) -> "Sequence[str | Text]":
    from cardlib.layout.words import field_title, state_in_words

    cells = (
        field_title(value.field, lang),
        _value(value, lang),
        _coloured(state_in_words(value, lang), value),
    )
    return (str(value.record), *cells) if numbered else cells


def _value(value: "FieldValue", lang: str) -> "Text":
    from rich.text import Text

    from cardlib.layout import Kind, State
    from cardlib.layout.words import value_in_words

    alarming = value.field.kind is Kind.FLAG and value.state is State.VALUE
    return Text(printable(value_in_words(value, lang)), "bold red" if alarming else "")


def _coloured(words: str, value: "FieldValue") -> "Text":
    from rich.text import Text

    return Text(printable(words), _COLOURS[value.state])
