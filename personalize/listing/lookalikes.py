"""Characters that look like the right one in a list, and what is right (lookalikes.csv)."""

import re
import unicodedata
from functools import cache
from pathlib import Path
from typing import NamedTuple

from cardlib.layout.tables import read_table

_COMPATIBILITY = "\uf900-\ufaff\U0002f800-\U0002fa1f"
_RADICALS = "\u2e80-\u2fdf\u31c0-\u31ef"
_HAN = re.compile("[\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_NAME = re.compile(r"name|contact_name_\d")


class LookAlike(NamedTuple):
    """A character in a text that looks like another one, and the text with that one instead."""

    char: str
    right: str
    text: str

    @property
    def problem(self) -> str:
        """What it is, with both code points, since they look alike."""
        return f"look-alike character U+{ord(self.char):04X}, {self.right} is U+{self._code_point}"

    @property
    def remedy(self) -> str:
        """The value as it should be."""
        return f"write {self.text}, with {self.right} (U+{self._code_point})"

    @property
    def _code_point(self) -> str:
        return f"{ord(self.right):04X}"


def first_look_alike(column: str, text: str) -> LookAlike | None:
    """The first look-alike in a column's text. In a name, dots other than · (U+00B7) count too."""
    is_name = bool(_NAME.fullmatch(column))
    if not _suspects(is_name).search(text):
        return None
    found = [_right(text, place, is_name) for place in range(len(text))]
    corrected = "".join(right or char for right, char in zip(found, text, strict=True))
    pairs = zip(text, found, strict=True)
    return next((LookAlike(char, right, corrected) for char, right in pairs if right), None)


def _right(text: str, place: int, is_name: bool) -> str | None:
    """What the character at that place should be; None if it is right."""
    char, table = text[place], _table()
    beside = text[max(place - 1, 0) : place] + text[place + 1 : place + 2]
    if is_name and char in table["name"]:
        return table["name"][char]
    if is_name and char in table["name beside Han"] and _HAN.search(beside):
        return table["name beside Han"][char]
    right = table["text"].get(char) or unicodedata.normalize("NFC", char)
    return right if right != char and _suspects(False).match(char) else None


@cache
def _suspects(is_name: bool) -> re.Pattern[str]:
    """Matches every look-alike, and more: what it does not match is right."""
    dots = [*_table()["name"], *_table()["name beside Han"]] if is_name else []
    return re.compile(f"[{_RADICALS}{_COMPATIBILITY}{''.join(dots)}]")


@cache
def _table() -> dict[str, dict[str, str]]:
    """Where a look-alike is one → the look-alike → the right character."""
    tables: dict[str, dict[str, str]] = {}
    for row in read_table(Path(__file__).with_name("lookalikes.csv")):
        right = chr(int(row["right"], 16))
        tables.setdefault(row["where"], {})[chr(int(row["look_alike"], 16))] = right
    return tables
