"""The rows of a list, from CSV or JSON Lines, with every fault of the form."""

from .csv_rows import read_csv
from .fault_codes import FaultCode
from .json_rows import read_json
from .list_faults import Wrong
from .rows import Listing

_NO_RESIDENTS = Wrong(FaultCode.NO_RESIDENTS, "no residents", "add a line for each resident")


def read_rows(text: str, *, is_json: bool) -> Listing:
    """The rows of a file's text; what cannot be read is a fault, never an exception."""
    listing = read_json(text) if is_json else read_csv(text)
    if not listing.rows and not listing.faults:
        listing.fault(1, "", "", _NO_RESIDENTS)
    return listing
