"""What spreadsheets add to a CSV file: a line that names the separator, columns without a title."""

import re
from collections.abc import Sequence
from typing import NamedTuple

SEPARATORS = ",\t;"
MOST_COLUMNS = 500
"""More than a list can have: each title that is not known costs a search."""

_SEPARATOR_LINE = re.compile(r"""("?)sep=(.|\\t|)\1[\s,;]*""", re.IGNORECASE)


class Wrong(NamedTuple):
    """What is wrong with the file's form, and what to do."""

    problem: str
    remedy: str


def separator_of(lines: Sequence[str]) -> tuple[str, bool] | Wrong:
    """The separator, and whether the first line only names it: `sep=;`, as spreadsheets write it.

    Without such a line it is the one that the first line has most of.
    """
    found = _SEPARATOR_LINE.fullmatch(lines[0].rstrip("\r\n"))
    if not found:
        return max(SEPARATORS, key=lines[0].count), False
    named = "\t" if found[2] == "\\t" else found[2]
    header = lines[1] if len(lines) > 1 else ""
    if named and named in SEPARATORS and (named in header or not set(SEPARATORS) & set(header)):
        return named, True
    remedy = "remove the line: the header shows the separator (comma, semicolon or tab)"
    return Wrong("the line sep= does not name the header's separator", remedy)


def too_many(header: Sequence[str]) -> Wrong | None:
    """What is wrong with a header of more titles than 500; None of any other."""
    titles = sum(bool(title.strip()) for title in header)
    if titles <= MOST_COLUMNS:
        return None
    remedy = f"keep the columns of docs/reference/input.md, at most {MOST_COLUMNS} in all"
    return Wrong(f"too many columns: {titles}", remedy)


def column_letters(place: int) -> str:
    """What a spreadsheet calls a column by its place from 0: A, Z, AA."""
    letters = ""
    place += 1
    while place:
        place, rest = divmod(place - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


class Untitled:
    """The columns without a title that have no value so far; they are passed over."""

    def __init__(self, header: Sequence[str]) -> None:
        self._blank = [place for place, title in enumerate(header) if not title.strip()]

    def first_values(self, record: Sequence[str]) -> list[int]:
        """The places of those that have their first value in this record."""
        found = [place for place in self._blank if record[place].strip()]
        if found:
            self._blank = [place for place in self._blank if place not in found]
        return found
