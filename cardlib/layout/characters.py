"""Find the characters that no field may hold, by a table of Unicode 17.0 (characters.csv).

They are control and format characters, private use, noncharacters, unassigned code points, and
U+FFFD, which says that text was lost. The interpreter's own table is not used: it may be too old
for the characters of a name (card specification 2).
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from .gb18030 import character_of_private_use
from .tables import read_table

_ORDINARY = re.compile(
    "[ -~\u00a0-\u00ac\u00ae-\u0377\u0400-\u052f\u2010-\u2027\u3000-\u303f\u3400-\u9fff"
    "\uff01-\uff5e\U00020000-\U0002a6df]*"
)
"""Ranges in which every character is allowed: ordinary text needs only this one test."""

_REMEDIES = {
    "control character": "write the value without it, on one line",
    "format character": "it cannot be seen: delete it, or type the value again",
    "half a character: lone surrogate": "type the value again",
    "noncharacter": "it is not a character: delete it, or type the value again",
    "private-use character": "other computers show another character for it: "
    "type the right one, as on the identity document",
    "replacement character": "a program lost the character that was here: "
    "type it again, as on the identity document",
    "unassigned code point": "Unicode 17.0 has no such character: "
    "type the right one, as on the identity document",
}


class Unfit(NamedTuple):
    """A character that no field may hold, and what kind of character it is."""

    char: str
    kind: str

    @property
    def problem(self) -> str:
        """What is wrong, with the code point: "format character U+200B"."""
        return f"{self.kind} U+{ord(self.char):04X}"

    @property
    def remedy(self) -> str:
        """What to do; it names the right character if an older code table tells it."""
        if right := character_of_private_use(self.char):
            return (
                f"write {right} (U+{ord(right):04X}), which GBK and older GB 18030 tables had there"
            )
        return _REMEDIES[self.kind]


def unfit_in(text: str) -> Iterator[Unfit]:
    """Find every character of the text that no field may hold, in order."""
    if _ORDINARY.fullmatch(text):
        return
    starts, ranges = _table()
    for char in text:
        last, kind = ranges[bisect_right(starts, ord(char))]
        if ord(char) <= last:
            yield Unfit(char, kind)


def first_unfit(text: str) -> Unfit | None:
    """Return the first character of the text that no field may hold, or None."""
    return None if _ORDINARY.fullmatch(text) else next(unfit_in(text), None)


def printable(text: str) -> str:
    """Return the text for a terminal: characters that no field may hold become \\x1b or \\u202e."""
    if _ORDINARY.fullmatch(text):
        return text
    unfit = {found.char for found in unfit_in(text)}
    return "".join(ascii(char)[1:-1] if char in unfit else char for char in text)


@cache
def _table() -> tuple[list[int], list[tuple[int, str]]]:
    """Read first code points, and (last, kind) of the range before each and of the last range."""
    rows = read_table(Path(__file__).with_name("characters.csv"))
    starts = [int(row["first"], 16) for row in rows]
    return starts, [(-1, ""), *((int(row["last"], 16), row["what"]) for row in rows)]
