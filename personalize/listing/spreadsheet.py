"""What spreadsheets, database exports and other programs do to a value, and how it is told.

A table for values that are damaged as a whole, and one for damage in a part of a text.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from cardlib.layout.tables import read_table

from .column_classes import classes_of
from .fault_codes import FaultCode
from .list_faults import Wrong

_WHOLE, _PART = "spreadsheet_damage.csv", "text_damage.csv"
_WITH_A_WORD = "; if it is right as it stands, write a word with it, such as 1-2-2001室 or 每日8:30"
_MAY_BE_RIGHT = ("turned-into-date", "reformatted-number", "shortened-number")
"""What a whole address or medical text may be by itself: 1-2-2001, 12/3/01, 8:30, 10,000."""

_Match = re.Match[str] | None


def damage_in(column: str, text: str) -> Wrong | None:
    """Find a program's damage in a value, as it stands in a column; its width makes no difference.

    Spreadsheets, database exports, masks, escapes, and signs for lost characters are looked for.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    for find, needed, damages in _searches(classes_of(column)):
        if needed is None or needed.search(text):
            found = find(text)
            if found and found.lastgroup:
                return damages[found.lastgroup]
    return None


_Search = tuple[Callable[[str], _Match], re.Pattern[str] | None, dict[str, Wrong]]
"""Finds a damage; what a text needs so that it may find one, None if nothing; group → damage."""


@cache
def _searches(where: frozenset[str]) -> list[_Search]:
    """The searches for a class of columns: those that need a character, and those that do not."""
    searches: list[_Search] = []
    for table in (_WHOLE, _PART):
        rows = [row for row in read_table(Path(__file__).with_name(table)) if row["in"] in where]
        for chosen in ([row for row in rows if row["needs"]], [r for r in rows if not r["needs"]]):
            if chosen:
                may_be_right = table == _WHOLE and "text" in where
                pattern, damages = _pattern(chosen, _MAY_BE_RIGHT if may_be_right else ())
                needed = "".join(row["needs"] for row in chosen)
                find = pattern.fullmatch if table == _WHOLE else pattern.search
                searches.append((find, re.compile(f"[{needed}]") if needed else None, damages))
    return searches


def _pattern(
    rows: Sequence[dict[str, str]], may_be_right: Sequence[str]
) -> tuple[re.Pattern[str], dict[str, Wrong]]:
    """One pattern for lines of a table; the name of its group tells the damage."""
    damages: dict[str, Wrong] = {}
    for number, row in enumerate(rows):
        remedy = row["remedy"] + (_WITH_A_WORD if row["code"] in may_be_right else "")
        damages[f"d{number}"] = Wrong(FaultCode(row["code"]), row["problem"], remedy)
    parts = (f"(?P<d{number}>{row['pattern']})" for number, row in enumerate(rows))
    return re.compile("|".join(parts), re.DOTALL), damages
