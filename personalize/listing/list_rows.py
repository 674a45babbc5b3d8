"""The rows of a list, whatever the file is, with every fault of the form."""

import io
from collections.abc import Iterable, Iterator

from .csv_rows import rows_of_csv
from .fault_codes import FaultCode
from .json_rows import rows_of_json
from .list_faults import Wrong
from .rows import Listing, Row

_NO_RESIDENTS = Wrong(FaultCode.NO_RESIDENTS, "no residents", "add a line for each resident")


def read_rows(text: str, *, is_json: bool) -> Listing:
    """The rows of a file's text; what cannot be read is a fault, never an exception."""
    listing = Listing()
    lines = io.StringIO(text, newline="\n" if is_json else "")
    listing.rows.extend(rows_of_lines(lines, listing, is_json=is_json))
    return listing


def rows_of_lines(lines: Iterable[str], listing: Listing, *, is_json: bool) -> Iterator[Row]:
    """Each row of a file's lines; what cannot be read is a fault of the listing.

    All faults are there after the last row.
    """
    return not_empty((rows_of_json if is_json else rows_of_csv)(lines, listing), listing)


def not_empty(rows: Iterable[Row], listing: Listing) -> Iterator[Row]:
    """Give the rows; if there are none and no fault says why, that is a fault."""
    row = None
    for row in rows:
        yield row
    if row is None:
        _tell_empty(listing)


def read_sheet_rows(workbook: bytes, sheet: str | None = None) -> Listing:
    """The rows of a workbook's only sheet with content, or of the one with this name.

    What cannot be read is a fault, never an exception.
    """
    from .sheet_rows import read_sheet

    listing = read_sheet(workbook, sheet)
    if not listing.rows:
        _tell_empty(listing)
    return listing


def _tell_empty(listing: Listing) -> None:
    if not listing.faults:
        listing.fault(1, "", "", _NO_RESIDENTS)
