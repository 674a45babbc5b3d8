"""Merged cells of a sheet: only the first of them has a value, and nobody knows whose it is."""

from collections.abc import Iterator, Sequence

from .csv_form import column_letters
from .fault_codes import FaultCode
from .list_faults import Wrong
from .sheet_form import CellRange
from .workbook_file import damaged

_REMEDY = "unmerge them, and write each value in its own cell"


def merged_titles(merged: Sequence[CellRange], header_line: int) -> Wrong | None:
    """What is wrong with merged cells in the row that must hold the titles of the columns."""
    for span in merged:
        if span.first_row <= header_line <= span.last_row:
            problem = (
                f"{_address(span)} are merged, and the first row with a value must hold the"
                " titles of the columns"
            )
            remedy = "delete the rows above the titles, and unmerge the titles"
            return Wrong(FaultCode.MERGED_CELL, problem, remedy)
    return None


class Merged:
    """The merged cells in our columns, row by row; rows are asked for in order."""

    def __init__(self, merged: Sequence[CellRange], names: Sequence[str | None]) -> None:
        """`names` are our columns, in the order of the sheet's."""
        of_spans = ((span, _columns(span, names)) for span in merged)
        self._waiting = sorted(((s, c) for s, c in of_spans if c), reverse=True)
        self._active: list[tuple[CellRange, list[str]]] = []
        self._told: set[CellRange] = set()
        self._most = len(names)

    def columns(self, line: int) -> set[str]:
        """Our columns that are part of merged cells in a row."""
        self._active = [each for each in self._active if each[0].last_row >= line]
        while self._waiting and self._waiting[-1][0].first_row <= line:
            span, columns = self._waiting.pop()
            if span.last_row >= line:
                self._active.append((span, columns))
        if len(self._active) > self._most:
            raise damaged()  # They overlap, which no program writes.
        return {column for _, columns in self._active for column in columns}

    def begun(self, line: int) -> Iterator[tuple[str, Wrong, str]]:
        """The groups that are met first in a row: address, what is wrong, and our first column.

        A group is told once.
        """
        for span, columns in self._active:
            if span not in self._told:
                self._told.add(span)
                problem = f"{_address(span)} are merged: only the first cell has a value"
                yield _first(span), Wrong(FaultCode.MERGED_CELL, problem, _REMEDY), columns[0]


def _columns(span: CellRange, names: Sequence[str | None]) -> list[str]:
    return [name for name in names[span.first_column - 1 : span.last_column] if name]


def _first(span: CellRange) -> str:
    return f"{column_letters(span.first_column - 1)}{span.first_row}"


def _address(span: CellRange) -> str:
    return f"{_first(span)}:{column_letters(span.last_column - 1)}{span.last_row}"
