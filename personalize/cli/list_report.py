"""What `rhcard prepare` says of a list: its errors, and what defaults and a map changed."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cardlib.layout.characters import printable

from .context import Context
from .exits import Exit
from .output import print_error, print_table, say

if TYPE_CHECKING:
    from ..listing.list_faults import ListFault
    from ..listing.resident_list import ResidentList

_SHOWN, _LINES = 20, 5
"""How many errors are shown one by one, and how many lines of each group."""


def show_mapped(residents: "ResidentList") -> None:
    """Show what each value of a mapped column became, and how many of them there are."""
    if not residents.mapped:
        return
    from cardlib.layout import code_table

    from ..listing.columns import COLUMN_BY_NAME, field_of

    rows: list[tuple[str, ...]] = []
    for each in residents.mapped:
        table = field_of(COLUMN_BY_NAME[each.column]).table
        for (own, code), count in sorted(each.counts.items()):
            label = code_table(table).label(code) if table else ("no", "yes")[code == "1"]
            rows.append((each.column, own, f"{code} {label or ''}".strip(), str(count)))
        if not each.counts:
            rows.append((each.column, "", "", "0"))
    print_table("Mapped", ("column", "in the list", "on the card", "values"), rows)
    if any("blood_group" in each.column for each in residents.mapped):
        say("Before you issue, compare three residents whose blood group you know for certain.")


def show_filled(residents: "ResidentList", source: str) -> None:
    """Show which default was taken for how many residents."""
    if residents.filled:
        rows = [(each.column, each.value, str(each.count)) for each in residents.filled]
        headings = ("column that the list lacks", "on the cards", "residents")
        print_table(f"Defaults from {source}", headings, rows)


def report(context: Context, source: Path, faults: "Sequence[ListFault]", sheet: str = "") -> int:
    count = f"{len(faults)} error{'' if len(faults) == 1 else 's'}"
    of_sheet = f", sheet {printable(sheet)}" if sheet else ""
    message = f"{source}{of_sheet}: {count}. No batch was written."
    if context.as_json:
        rows = [fault.as_dict() for fault in faults]
        where = {"sheet": sheet} if sheet else {}
        return context.answer({**where, "faults": rows, "error": message}, Exit.BAD_INPUT)
    title = count if len(faults) <= _SHOWN else f"The first {_SHOWN} of {count}"
    place = "cell or row" if sheet else "line"
    headings: tuple[str, ...] = (place, "column", "value", "problem", "remedy")
    rows_of_text = [
        (f.cell or str(f.line), _column(f), f.value, f.problem, f.remedy) for f in faults[:_SHOWN]
    ]
    print_table(title, headings, rows_of_text)
    if len(faults) > _SHOWN:
        headings = ("errors", "column", "code", "meaning", "lines")
        print_table(f"All {count}, by column and problem", headings, _grouped(faults))
        say("--json gives every error.")
    print_error(message)
    return Exit.BAD_INPUT


def _grouped(faults: "Sequence[ListFault]") -> list[tuple[str, ...]]:
    """One row for the errors of a column that have one code; the most frequent first."""
    groups: dict[tuple[str, str], list[ListFault]] = {}
    for fault in faults:
        groups.setdefault((fault.field, fault.code), []).append(fault)
    rows: list[tuple[str, ...]] = []
    for alike in sorted(groups.values(), key=len, reverse=True):
        lines = ", ".join(str(each.line) for each in alike[:_LINES])
        more = ", …" if len(alike) > _LINES else ""
        code = alike[0].code
        rows.append((str(len(alike)), _column(alike[0]), code, code.meaning, lines + more))
    return rows


def _column(fault: "ListFault") -> str:
    """The column as the list calls it, with our name if the list's own is Chinese."""
    from ..listing.headers import with_name

    return with_name(fault.column, fault.field)
