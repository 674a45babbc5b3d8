"""Characters that look like the right one in a list, and what is right (lookalikes.csv)."""

import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from cardlib.layout.tables import read_table

from .column_classes import classes_of
from .holders import NUMBER_COLUMNS

_COMPATIBILITY = "\uf900-\ufaff\U0002f800-\U0002fa1f"
_RADICALS = "\u2e80-\u2fdf\u31c0-\u31ef"
_WIDE = "\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\U0001d400-\U0001d7ff"
"""Letters and digits of full width, and those of mathematics."""

_HAN = re.compile("[\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_LATIN, _LATIN_OR_DIGIT = re.compile("[A-Za-z]"), re.compile("[0-9A-Za-z]")
_LINES = {"name": ("text", "name"), "number": ("text", "number"), "document": ("text", "number")}
"""The lines of the table that count wherever the character stands, by what the column holds."""

_ONE_WIDTH = ("name", "number")
_OTHER_DIGITS = "\u00b2\u00b3\u00b9\u2070-\u2089\u2160-\u217f\u2460-\u24ea"
"""Raised, lowered, Roman and circled ones."""

_NO_ASCII_DIGIT = re.compile(rf"(?![0-9])\d|[{_OTHER_DIGITS}]")


class LookAlike(NamedTuple):
    """A character in a text that looks like another one, and the text with that one instead."""

    char: str
    right: str
    text: str

    @property
    def problem(self) -> str:
        """What it is, with both code points, since they look alike."""
        return f"look-alike character U+{ord(self.char):04X}, {self._right} is U+{self._code_point}"

    @property
    def remedy(self) -> str:
        """The value as it should be."""
        return f"write {self.text}, with {self._right} (U+{self._code_point})"

    @property
    def _right(self) -> str:
        return "a blank" if self.right == " " else self.right

    @property
    def _code_point(self) -> str:
        return f"{ord(self.right):04X}"


def first_look_alike(column: str, text: str) -> LookAlike | None:
    """The first look-alike in a column's text, or the first character that Unicode composes.

    In a name, dots other than · (U+00B7) count too; in a number, letters and digits beyond ASCII.
    Width and blanks of a document's number make no difference (`holders.comparable`).
    """
    if text.isascii():
        return None
    where = _where(column)
    if _suspects(where).search(text):
        found = [_right(text, place, where) for place in range(len(text))]
        corrected = "".join(right or char for right, char in zip(found, text, strict=True))
        pairs = zip(text, found, strict=True)
        if first := next(((char, right) for char, right in pairs if right), None):
            return LookAlike(*first, corrected)
    return None if unicodedata.is_normalized("NFC", text) else _decomposed(text)


def _where(column: str) -> str:
    """What the column holds: a name, a document's number, another number, or any other text."""
    classes = classes_of(column)
    if "references" not in classes:
        return "name" if "names" in classes else "text"
    return "document" if column in NUMBER_COLUMNS else "number"


def _right(text: str, place: int, where: str) -> str | None:
    """What the character at that place should be; None if it is right."""
    char = text[place]
    beside = text[max(place - 1, 0) : place] + text[place + 1 : place + 2]
    for line, right in _table().get(char, {}).items():
        if right == " " and where == "document":
            continue
        if line in _LINES.get(where, ("text",)):
            return right
        if line == "name beside Han" and where == "name" and _HAN.search(beside):
            return right
        latin = _LATIN if where in ("name", "text") else _LATIN_OR_DIGIT
        if line == "beside Latin" and latin.search(beside):
            return right
    right = _usual(char, where)
    return right if right != char and len(right) == 1 else None


def _usual(char: str, where: str) -> str:
    """The usual form of a character: by Unicode's NFC; in names and numbers also of one width."""
    if where in _ONE_WIDTH and re.match(f"[{_WIDE}]", char):
        return unicodedata.normalize("NFKC", char)
    if where == "number" and _NO_ASCII_DIGIT.match(char):
        digit = unicodedata.decimal(char, None)
        return unicodedata.normalize("NFKC", char) if digit is None else str(digit)
    usual = unicodedata.normalize("NFC", char)
    return usual if re.match(f"[{_COMPATIBILITY}]", char) else char


def _decomposed(text: str) -> LookAlike:
    """The first character that Unicode writes as one with the one before, or in another order."""
    composed = unicodedata.normalize("NFC", text)
    place = next(n for n, (a, b) in enumerate(zip(text, composed, strict=False)) if a != b)
    marks = (char for char in text[place:] if unicodedata.combining(char))
    return LookAlike(next(marks, text[place]), composed[place], composed)


@cache
def _suspects(where: str) -> re.Pattern[str]:
    """Matches every look-alike, and more: what it does not match is right."""
    listed = "".join(re.escape(char) for char in _table())
    more = _WIDE if where in _ONE_WIDTH else ""
    digits = f"|{_NO_ASCII_DIGIT.pattern}" if where == "number" else ""
    return re.compile(f"[{_RADICALS}{_COMPATIBILITY}{more}{listed}]{digits}")


@cache
def _table() -> Mapping[str, Mapping[str, str]]:
    """The look-alike → where it is one → the right character."""
    table: dict[str, dict[str, str]] = {}
    for row in read_table(Path(__file__).with_name("lookalikes.csv")):
        right = chr(int(row["right"], 16))
        table.setdefault(chr(int(row["look_alike"], 16)), {})[row["where"]] = right
    return table
