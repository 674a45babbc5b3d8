"""The rows of a list, whatever the file is, with every fault of the form."""

from .csv_rows import read_csv
from .fault_codes import FaultCode
from .json_rows import read_json
from .list_faults import Wrong
from .rows import Listing

_NO_RESIDENTS = Wrong(FaultCode.NO_RESIDENTS, "no residents", "add a line for each resident")


def read_rows(text: str, *, is_json: bool) -> Listing:
    """The rows of a file's text; what cannot be read is a fault, never an exception."""
    return _not_empty(read_json(text) if is_json else read_csv(text))


def read_sheet_rows(workbook: bytes, sheet: str | None = None) -> Listing:
    """The rows of a workbook's only sheet with content, or of the one with this name.

    What cannot be read is a fault, never an exception.
    """
    from .sheet_rows import read_sheet

    return _not_empty(read_sheet(workbook, sheet))


def _not_empty(listing: Listing) -> Listing:
    if not listing.rows and not listing.faults:
        listing.fault(1, "", "", _NO_RESIDENTS)
    return listing
