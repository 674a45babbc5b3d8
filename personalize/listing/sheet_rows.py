"""Rows from a sheet of an Excel workbook: the same rows as from CSV, or faults by cell address."""

import warnings
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import NamedTuple

from .csv_form import Untitled, column_letters, no_title, too_many
from .fault_codes import FaultCode
from .headers import Headers
from .list_faults import Wrong
from .merged_cells import Merged, merged_titles
from .rows import Listing, Row, header_names, heading, lacking
from .sheet_cells import cell_text, title_text
from .sheet_choice import chosen
from .sheet_form import SheetForm, read_form
from .source import DIVIDE, MOST_LINES
from .texts import Texts
from .workbook_file import (
    Sheet,
    WorkbookRefused,
    damaged,
    open_workbook,
    refused_if_damaged,
    sheets_of,
)

_MOST_FAULTS = 20_000
_WIDEST = 1_000
_NAMED = 5
_NOT_CHECKED = Wrong(
    FaultCode.NOT_CHECKED,
    f"{_MOST_FAULTS:,} cells are no text, the rest was not checked",
    "format all columns as text, and import the values again",
)
_HIDDEN = (
    "show all rows and columns (clear the filter), and delete what does not belong in the list"
)


class TypedCell(NamedTuple):
    """The type of a cell, as openpyxl names it, and its value."""

    data_type: str
    value: object


def read_sheet(raw: bytes, wanted: str | None = None) -> Listing:
    """The rows of the one sheet of a workbook that has content, or of the sheet `wanted`.

    What cannot be read is a fault, never an exception.
    """
    listing = Listing()
    try:
        with open_workbook(raw) as archive:
            sheet = chosen(archive, sheets_of(archive), wanted)
            listing.sheet = sheet.name
            form = read_form(archive, sheet.part)
        if found := _too_large(form):
            raise WorkbookRefused(found)
        with warnings.catch_warnings():
            # What openpyxl cannot write again (validations, missing styles) is worth no word.
            warnings.simplefilter("ignore")
            _SheetReader(listing, form).read(cells_of(raw, sheet, form))
    except WorkbookRefused as refused:
        listing.fault(1, "", "", refused.wrong)
    return listing


def _too_large(form: SheetForm) -> Wrong | None:
    if form.rows > MOST_LINES:
        problem = f"too many rows: {form.rows:,}, and {MOST_LINES:,} are the most"
        return Wrong(FaultCode.TOO_MANY_LINES, problem, DIVIDE)
    if form.last_column > _WIDEST:
        problem = (
            f"too many columns: there is a value in column {column_letters(form.last_column - 1)}"
        )
        remedy = f"delete all columns after the list; {_WIDEST:,} columns are the most"
        return Wrong(FaultCode.TOO_MANY_COLUMNS, problem, remedy)
    return None


def cells_of(raw: bytes, sheet: Sheet, form: SheetForm) -> Iterator[tuple[int, list[TypedCell]]]:
    """Each row with a value: its number, and its cells from column A to the last one with a value.

    The rows come one after the other, so that memory does not grow with them.
    """
    from openpyxl import load_workbook
    from openpyxl.worksheet._read_only import ReadOnlyWorksheet

    if not form.rows:
        return
    with refused_if_damaged():
        book = load_workbook(BytesIO(raw), read_only=True, keep_links=False)
        worksheet = book[sheet.name]
        if not isinstance(worksheet, ReadOnlyWorksheet):
            raise damaged()
        # Programs write wrong dimensions, and openpyxl would leave out what is outside of them.
        worksheet.reset_dimensions()
        rows = worksheet.iter_rows(1, form.last_row, 1, form.last_column)
        for number, row in enumerate(rows, 1):
            cells = [TypedCell(cell.data_type, cell.value) for cell in row]
            if any(cell.value not in (None, "") for cell in cells):
                yield number, cells
        book.close()


class _SheetReader:
    """Fills a listing from the rows of one sheet."""

    def __init__(self, listing: Listing, form: SheetForm) -> None:
        self._listing, self._form = listing, form
        self._hidden: list[int] = []
        self._bad_cells = 0

    def read(self, rows: Iterator[tuple[int, list[TypedCell]]]) -> None:
        """Add all rows; the first one is the header."""
        line, cells = next(((n, c) for n, c in rows if _is_filled(c)), (1, []))
        titles = [title_text(cell.value) for cell in cells]
        wrong = merged_titles(self._form.merged, line) or too_many(titles) or heading(titles)
        if wrong:
            self._listing.fault(line, "", "", wrong)
            return
        if not titles:
            return
        letters = [column_letters(place) for place in range(len(titles))]
        names, headers = header_names(self._listing, line, titles, letters)
        self._tell_hidden_columns(line, names, headers)
        merged = Merged(self._form.merged, names)
        untitled, has_blanks = Untitled(titles), not all(title.strip() for title in titles)
        for number, row in rows:
            if not _is_filled(row):
                continue
            if has_blanks:
                for place in untitled.first_values([title_text(cell.value) for cell in row]):
                    cell = f"{letters[place]}{number}"
                    self._listing.fault(line, "", "", no_title(place, number), cell=cell)
            self._add(number, names, row, merged, headers)
            if self._bad_cells > _MOST_FAULTS:
                self._listing.fault(number, "", "", _NOT_CHECKED)
                break
        self._tell_hidden_rows(line)

    def _add(
        self,
        line: int,
        names: Sequence[str | None],
        row: Sequence[TypedCell],
        merged: Merged,
        headers: Headers,
    ) -> None:
        values: dict[str, str] = {}
        faulty = merged.columns(line)
        for span, wrong, column in merged.begun(line):
            self._bad_cells += 1
            self._listing.fault(line, column, "", wrong, headers.of(column), span)
        for name, cell in zip(names, row, strict=True):
            if name is None:
                continue
            text = "" if name in faulty else cell_text(name, *cell)
            if isinstance(text, Wrong):
                self._bad_cells += 1
                self._listing.fault(
                    line, name, "", text, headers.of(name), headers.cell(name, line)
                )
                faulty.add(name)
                text = ""
            values[name] = text
        if self._form.hidden_rows[line]:
            self._hidden.append(line)
        known = lacking(values.keys()) | faulty
        self._listing.rows.append(Row(line, Texts(values), known, headers))

    def _tell_hidden_rows(self, header_line: int) -> None:
        hidden = [header_line] if self._form.hidden_rows[header_line] else []
        hidden += self._hidden
        if hidden:
            named = ", ".join(map(str, hidden[:_NAMED])) + (", …" if len(hidden) > _NAMED else "")
            rows = "row with values is" if len(hidden) == 1 else "rows with values are"
            problem = f"{len(hidden)} {rows} hidden: {named}"
            self._listing.fault(hidden[0], "", "", Wrong(FaultCode.HIDDEN_CELLS, problem, _HIDDEN))

    def _tell_hidden_columns(
        self, line: int, names: Sequence[str | None], headers: Headers
    ) -> None:
        for place, name in enumerate(names, 1):
            if name and any(low <= place <= high for low, high in self._form.hidden_columns):
                wrong = Wrong(FaultCode.HIDDEN_CELLS, "the column is hidden", _HIDDEN)
                cell = headers.cell(name, line)
                self._listing.fault(line, name, "", wrong, headers.of(name), cell)


def _is_filled(cells: Sequence[TypedCell]) -> bool:
    """Whether a row has a value, and not only blanks."""
    return any(title_text(cell.value).strip() for cell in cells)
