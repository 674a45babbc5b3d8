"""What spreadsheets add to a CSV file: a line that names the separator, columns without a title."""

import csv
import re
from collections.abc import Sequence

from .fault_codes import FaultCode
from .list_faults import Wrong

SEPARATORS = ",\t;"
MOST_COLUMNS = 500
"""More than a list can have: each title that is not known costs a search."""

NO_HEADER, NOT_CHECKED = "no header", "too many broken lines, the rest was not checked"
_NOT_QUOTING = {NO_HEADER: FaultCode.NO_HEADER, NOT_CHECKED: FaultCode.NOT_CHECKED}
_QUOTING = 'inside a value write "" for a quote; end a value that begins with a quote with a quote'
_SEPARATOR_LINE = re.compile(r"""("?)sep=(.|\\t|)\1[\s,;]*""", re.IGNORECASE)


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
    problem = "the line sep= does not name the header's separator"
    return Wrong(FaultCode.WRONG_SEPARATOR, problem, remedy)


def too_many(header: Sequence[str]) -> Wrong | None:
    """What is wrong with a header of more titles than 500; None of any other."""
    titles = sum(bool(title.strip()) for title in header)
    if titles <= MOST_COLUMNS:
        return None
    remedy = f"keep the columns of docs/reference/input.md, at most {MOST_COLUMNS} in all"
    return Wrong(FaultCode.TOO_MANY_COLUMNS, f"too many columns: {titles}", remedy)


def column_letters(place: int) -> str:
    """What a spreadsheet calls a column by its place from 0: A, Z, AA."""
    letters = ""
    place += 1
    while place:
        place, rest = divmod(place - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def no_title(place: int, line: int) -> Wrong:
    """What is wrong with a column without a title, by its place from 0, and a line with a value."""
    problem = (
        f"column {place + 1} ({column_letters(place)}) has no title, but a value in line {line}"
    )
    return Wrong(FaultCode.UNTITLED_COLUMN, problem, "give the column a title, or remove it")


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


def broken(error: csv.Error, line: str) -> Wrong:
    """What is wrong with a line that is no CSV."""
    text = str(error)
    if text in _NOT_QUOTING:
        return Wrong(_NOT_QUOTING[text], text, _QUOTING)
    if "field limit" in text and len(line) > csv.field_size_limit():
        problem = f"a value is too long: more than {csv.field_size_limit():,} characters"
        remedy = "look for a missing quote, separator or line end in this line"
        return Wrong(FaultCode.TOO_LONG, problem, remedy)
    if "unexpected end" in text or "field limit" in text:
        text = "a quoted value is never closed"
    return Wrong(FaultCode.BROKEN_QUOTING, f"broken quoting: {text}", _QUOTING)
