"""PIN letters as text, CSV or PDF. A letter never holds a full card number.

A letter and its card travel apart. Who finds a letter must not learn the card number, which is
often the resident's identity number: the last four characters are enough to tell two cards apart.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from cardlib.layout.characters import printable

from .fitting import Box, FittedText, fit
from .print_faults import CannotPrint, PrintFault
from .typefaces import Typefaces, opened_typefaces
from .typesetting import typeset

_TEMPLATE = "pin_letters.typ"
_SHOWN = 4
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a cell must not begin with, in the two widths of a character: spreadsheets run it (OWASP,
CSV injection)."""
_TEXT_MARK = "'"
_COLUMNS = ("name", "address", "card", "chip", "PIN")
_BOXES = {
    "name": Box(84.0, 10.0, 12.0, 7.0),
    "address": Box(84.0, 12.0, 11.0, 7.0),
    "card": Box(84.0, 5.0, 11.0, 7.0),
}


class LetterForm(StrEnum):
    """How letters are written."""

    TEXT = "text"
    CSV = "csv"
    PDF = "pdf"


@dataclass(frozen=True, slots=True)
class PinLetter:
    """What one letter says. Its repr shows no PIN and nothing of the resident.

    `number` is that of the card in the batch, `line` that of the list; `address` may be "".
    """

    number: int
    line: int
    chip: str
    name: str = field(repr=False)
    card_number: str = field(repr=False)
    pin: str = field(repr=False)
    address: str = field(default="", repr=False)

    @property
    def masked(self) -> str:
        """The card number with a star for all but its last four characters.

        A number of four characters or less is all stars.
        """
        shown = self.card_number[-_SHOWN:] if len(self.card_number) > _SHOWN else ""
        return shown.rjust(len(self.card_number), "*")


def pin_letters(
    letters: Sequence[PinLetter], form: LetterForm, typefaces: Typefaces | None = None
) -> bytes:
    """The letters in their order: UTF-8 text with a form feed between two, CSV, or PDF.

    A PDF is printed with `typefaces`, else with Noto Sans CJK as it is installed. CannotPrint names
    every text with a missing glyph, and every one that is too long. The form feed is the page break
    of a printer.
    """
    if form is LetterForm.TEXT:
        return "\f".join(map(_as_text, letters)).encode()
    if form is LetterForm.CSV:
        return _as_csv(letters)
    if typefaces is not None:
        return _as_pdf(letters, typefaces)
    with opened_typefaces() as installed:
        return _as_pdf(letters, installed)


def _as_text(letter: PinLetter) -> str:
    lines = [
        letter.name,
        letter.address,
        "",
        f"居民健康卡 Resident health card {letter.masked}",
        f"芯片号 Chip {letter.chip}",
        f"密码 PIN {letter.pin}",
    ]
    return "".join(f"{printable(line)}\n" for line in lines)


def _as_csv(letters: Sequence[PinLetter]) -> bytes:
    """RFC 4180 in UTF-8, with the mark at the start by which a spreadsheet knows it."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(_COLUMNS)
    for letter in letters:
        row = (letter.name, letter.address, letter.masked, letter.chip, letter.pin)
        writer.writerow([csv_cell(value) for value in row])
    return out.getvalue().encode("utf-8-sig")


def csv_cell(value: str) -> str:
    """A text that a spreadsheet does not run: one that looks like a formula gets a ' before it."""
    return f"{_TEXT_MARK}{value}" if value.startswith(_FORMULA) else value


def _as_pdf(letters: Sequence[PinLetter], typefaces: Typefaces) -> bytes:
    faults: list[PrintFault] = []
    data: list[dict[str, object]] = []
    for letter in letters:
        texts = {"name": letter.name, "address": letter.address, "card": letter.masked}
        fitted = {name: fit(text, _BOXES[name], typefaces) for name, text in texts.items()}
        good = {name: each for name, each in fitted.items() if isinstance(each, FittedText)}
        faults += [
            PrintFault(letter.number, letter.line, name, each.problem, each.remedy)
            for name, each in fitted.items()
            if not isinstance(each, FittedText)
        ]
        shown = {name: each.as_dict() for name, each in good.items()}
        data.append({**shown, "chip": letter.chip, "pin": letter.pin})
    if faults:
        raise CannotPrint(faults)
    return typeset(_TEMPLATE, {"letters": data}, typefaces)
