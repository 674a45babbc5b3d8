"""What openpyxl does not tell of a sheet it reads row by row: merged and hidden cells, its extent.

The sheet's XML is read once for this, in constant memory. Rows and cells that are not in order
are refused: openpyxl would pass over some of them without a word.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from zipfile import ZipFile

from .fault_codes import FaultCode
from .list_faults import Wrong
from .workbook_file import MAIN, WorkbookRefused, damaged, refused_if_damaged

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

LAST_ROW, LAST_COLUMN = 1 << 20, 1 << 14
_MOST_MERGED = 100_000
_CELL = re.compile(r"\$?([A-Z]{1,3})\$?([1-9][0-9]{0,6})")
_VALUES = (f"{MAIN}v", f"{MAIN}is", f"{MAIN}f")
_TRUE = ("1", "true")
_TOO_MANY_MERGED = Wrong(
    FaultCode.MERGED_CELL,
    f"more than {_MOST_MERGED:,} groups of merged cells",
    "unmerge all cells, and write each value in its own cell",
)


class CellRange(NamedTuple):
    """A rectangle of cells, by its first and last row and column, from 1."""

    first_row: int
    last_row: int
    first_column: int
    last_column: int


@dataclass(slots=True)
class SheetForm:
    """The form of a sheet. `rows` counts rows with a value; the last ones are of a value, or 0.

    `hidden_rows` has a 1 at the number of each row that is not shown.
    """

    rows: int = 0
    last_row: int = 0
    last_column: int = 0
    merged: list[CellRange] = field(default_factory=list)
    hidden_columns: list[tuple[int, int]] = field(default_factory=list)
    hidden_rows: bytearray = field(default_factory=lambda: bytearray(LAST_ROW + 1))


def read_form(archive: ZipFile, part: str) -> SheetForm:
    """The form of a sheet; WorkbookRefused when its XML is not that of a sheet."""
    reader = _FormReader()
    with refused_if_damaged():
        _pass_over(archive, part, reader.ends)
    return reader.form


def has_values(archive: ZipFile, part: str) -> bool:
    """Whether any cell of a sheet has a value. It stops at the first."""
    found = _FormReader()
    with refused_if_damaged():
        _pass_over(archive, part, found.ends, until=lambda: found.form.rows > 0)
    return found.form.rows > 0


def _pass_over(
    archive: ZipFile,
    part: str,
    ends: "dict[str, Callable[[Element], None]]",
    until: Callable[[], bool] = lambda: False,
) -> None:
    """Give each element that `ends` names to its function, and then drop it."""
    from defusedxml.ElementTree import iterparse

    open_elements: list[Element] = []
    with archive.open(part) as file:
        for event, element in iterparse(file, ("start", "end"), forbid_dtd=True):
            if event == "start":
                if not open_elements and element.tag != f"{MAIN}worksheet":
                    raise damaged()
                open_elements.append(element)
                continue
            open_elements.pop()
            if element.tag in ends:
                ends[element.tag](element)
                if until():
                    return
            elif len(open_elements) > 1:
                continue
            if open_elements:
                open_elements[-1].clear()


class _FormReader:
    """Gathers the form of a sheet from its elements."""

    def __init__(self) -> None:
        self.form = SheetForm()
        self.ends: dict[str, Callable[[Element], None]] = {
            f"{MAIN}row": self._row,
            f"{MAIN}col": self._column,
            f"{MAIN}mergeCell": self._merged,
        }
        self._number = 0

    def _row(self, row: "Element") -> None:
        number = int(row.get("r", self._number + 1))
        if not self._number < number <= LAST_ROW:
            raise damaged()
        self._number = number
        if row.get("hidden") in _TRUE or _is_zero(row.get("ht")):
            self.form.hidden_rows[number] = 1
        last = self._last_value(row, number)
        if last:
            self.form.rows += 1
            self.form.last_row = number
            self.form.last_column = max(self.form.last_column, last)

    def _last_value(self, row: "Element", number: int) -> int:
        """The last column with a value in a row, 0 if there is none."""
        column = last = 0
        for cell in row.iterfind(f"{MAIN}c"):
            before, address = column, cell.get("r")
            column = before + 1
            if address is not None:
                column, row_of_cell = place_of(address)
                if row_of_cell != number:
                    raise damaged()
            if not before < column <= LAST_COLUMN:
                raise damaged()
            if any(each.tag in _VALUES and (each.text or len(each)) for each in cell):
                last = column
        return last

    def _column(self, column: "Element") -> None:
        if column.get("hidden") in _TRUE or _is_zero(column.get("width")):
            first, last = int(column.attrib["min"]), int(column.attrib["max"])
            self.form.hidden_columns.append((first, last))

    def _merged(self, merged: "Element") -> None:
        if len(self.form.merged) == _MOST_MERGED:
            raise WorkbookRefused(_TOO_MANY_MERGED)
        first, _, last = merged.attrib["ref"].partition(":")
        (column, row), (last_column, last_row) = place_of(first), place_of(last or first)
        if row > last_row or column > last_column:
            raise damaged()
        if (row, column) != (last_row, last_column):
            self.form.merged.append(CellRange(row, last_row, column, last_column))


def place_of(address: str) -> tuple[int, int]:
    """The column and the row, from 1, of a cell such as C5; WorkbookRefused if it is none."""
    found = _CELL.fullmatch(address)
    if not found:
        raise damaged()
    column = 0
    for letter in found[1]:
        column = 26 * column + ord(letter) - ord("A") + 1
    return column, int(found[2])


def _is_zero(size: str | None) -> bool:
    return size is not None and float(size) == 0
