"""rhcard read: show a card to a person."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .context import Context
from .exits import Exit
from .options import (
    NewPath,
    configured_keys_option,
    json_option,
    no_keys_option,
    one_card_options,
    passphrase_option,
    profile_options,
    sam_options,
)
from .output import Styled, print_error, print_line, print_table, say
from .terminal_keys import terminal_keys

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from cardlib.keys import KeySet
    from cardlib.layout import FieldValue
    from cardlib.transport.meter import Figures

    from ..terminal.reading import Reading
    from .cards import OpenedCard

_PHOTO_FILE = "DDF1/EF07"
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
@click.argument("named", metavar="[CARD|CHIP]", required=False)
@one_card_options
@configured_keys_option
@no_keys_option
@sam_options
@click.option(
    "--cards",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder that holds the card, if it is named by its chip.",
)
@click.option(
    "--lang",
    type=click.Choice(["en", "zh"]),
    default="en",
    show_default=True,
    help="Language of the labels.",
)
@click.option(
    "--emergency", is_flag=True, help="Only what an emergency room sees. It needs no PIN."
)
@click.option(
    "--photo",
    type=NewPath(),
    metavar="FILE",
    help="Write the holder's photo to FILE. A file that exists is not overwritten.",
)
@profile_options
@passphrase_option
@json_option
@click.pass_obj
def command(
    context: Context,
    named: str | None,
    *,
    card_file: str | None,
    reader: str | None,
    cards: Path | None,
    lang: str,
    emergency: bool,
    photo: Path | None,
) -> int:
    """Show what is on a card.

    The card is in a PC/SC reader (--reader), or it is a software card: a .card file, or its chip
    serial (16 hex digits) together with --cards. Without any of them, it is the card in a reader,
    if only one reader has a card.

    Each field is shown with its value. If it has none, the state says why: the answer is "no", the
    field is empty, it was never written, a key is needed (and which one), it is not on the card, or
    it is damaged.

    With --sam the keys are those of a SAM. Fields that it has no key for are "denied".

    Without keys only the issuer's data can be read. The card is not changed.

    A deployed card may not say what it is. Read it with --profile field.

    \b
    Examples:
      rhcard read CARD.card --keys keys.json
      rhcard read CARD.card --keys keys.json --emergency --lang zh
      rhcard read CARD.card --keys keys.json --photo photo.jpg
      rhcard read --reader 0 --keys keys.json
      rhcard read CARD.card --sam MY.sam --emergency
    """
    from cardlib.exchange import observed
    from cardlib.layout import FILES
    from cardlib.transport.meter import Meter

    from ..terminal.reading import EMERGENCY_FILES, read_card
    from .profile_choice import chosen

    how = chosen(context)
    if photo and emergency:
        raise click.UsageError("--photo reads the holder's photo, which --emergency leaves out")
    if named is not None and card_file is not None:
        raise click.UsageError("give one card: CARD or --card FILE")
    opened, key_set = _opened(context, named or card_file, reader, cards)
    meter = Meter()
    with opened as card, observed(card.connection, meter) as watched:
        reading = read_card(watched, key_set, EMERGENCY_FILES if emergency else FILES, how)
    problem = _write_photo(reading, photo) if photo else ""
    code = Exit.REFUSED if problem else Exit.GOOD
    if context.as_json:
        document = _document(card.place, reading, meter.figures, lang)
        document["profile"] = context.profile
        if photo:
            document["photo"] = None if problem else str(photo)
        return context.answer(document | ({"error": problem} if problem else {}), code)
    show(reading, lang, collapse=not emergency)
    say(_in_words(meter.figures))
    for remark in (*_remarks(reading), *_without_keys(context, reading)):
        say(remark)
    if problem:
        print_error(problem)
    elif photo:
        say(f"The photo is in {photo}.")
    return code


def _opened(
    context: Context, file: str | None, reader: str | None, cards: Path | None
) -> "tuple[AbstractContextManager[OpenedCard], KeySet | None]":
    """The card and the keys. Without a SAM the card is found before a passphrase is asked for."""
    from .cards import check_named
    from .reader_choice import open_one

    if context.sam:
        check_named(file, reader, cards)
        keys = terminal_keys(context)
        return open_one(context, file, reader, cards), keys
    opened = open_one(context, file, reader, cards)
    context.take_configured_keys()
    return opened, terminal_keys(context)


def _without_keys(context: Context, reading: "Reading") -> list[str]:
    """What to say of fields that need a key that was not at hand."""
    if not (context.keys or context.sam or context.agent):
        return ["Read without keys. Give --keys FILE to read the fields that are denied."]
    values = (value for _, each in reading.files for value in each)
    if context.sam and any(value.state == "denied" for value in values):
        return ["The SAM does not hold the keys of the denied fields: it is for another role."]
    return []


def _remarks(reading: "Reading") -> list[str]:
    """What to say of a card that does not describe itself: what is not known, or not sure."""
    place, refusal = reading.serial_place, reading.internal_refusal
    said = []
    if not reading.serial_is_sure:
        said.append(f"The chip serial is taken from this place, which may be wrong: {place}.")
    elif place != "historical tag":
        said.append(f"The chip serial is in this place: {place}.")
    if reading.identity.cipher is None:
        said.append(
            "The card does not say its cipher and key version. That it is of specification 1.0 is"
            " what the profile says."
        )
    if refusal is not None:
        said.append(
            f"The card refused INTERNAL AUTHENTICATE ({refusal:04X}): nothing proves that it is"
            " genuine. One key was tried instead, and the card took it."
        )
    return said


def _write_photo(reading: "Reading", path: Path) -> str:
    """Write the photo to a new file that only its owner may read; else say why there is none."""
    from cardlib.layout.words import state_in_words

    (value,) = next(values for file, values in reading.files if file.path == _PHOTO_FILE)
    if not isinstance(value.value, bytes) or value.state != "value":
        return f"{path} was not written. The photo on the card: {state_in_words(value)}."
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(value.value)
    return ""


def _in_words(figures: "Figures") -> str:
    total = figures.bytes_both_ways
    seconds = figures.card_ms / 1000
    return f"{figures.commands} APDUs, {total:,} bytes. A real card takes about {seconds:.1f} s."


def _document(
    place: Mapping[str, str | None], reading: "Reading", figures: "Figures", lang: str
) -> dict[str, Any]:
    from cardlib.layout.words import as_json

    identity = reading.identity
    return {
        **place,
        "chip": identity.chip.hex().upper(),
        "specification": identity.spec_text,
        "cipher": identity.cipher_name,
        "key_version": identity.key_version,
        "fields": [as_json(value, lang) for _, values in reading.files for value in values],
        "commands": figures.commands,
        "bytes": figures.bytes_both_ways,
        "real_card_seconds": round(figures.card_ms / 1000, 3),
        "serial_place": reading.serial_place,
        "serial_is_sure": reading.serial_is_sure,
        "internal_refusal": reading.internal_refusal and f"{reading.internal_refusal:04X}",
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


def _row(value: "FieldValue", lang: str, *, numbered: bool) -> "Sequence[str | Styled]":
    from cardlib.layout.words import field_title, state_in_words

    cells = (
        field_title(value.field, lang),
        _value(value, lang),
        _coloured(state_in_words(value, lang), value),
    )
    return (str(value.record), *cells) if numbered else cells


def _value(value: "FieldValue", lang: str) -> Styled:
    from cardlib.layout import Kind, State
    from cardlib.layout.words import value_in_words

    alarming = value.field.kind is Kind.FLAG and value.state is State.VALUE
    return Styled(value_in_words(value, lang), "bold red" if alarming else "")


def _coloured(words: str, value: "FieldValue") -> Styled:
    return Styled(words, _COLOURS[value.state])
