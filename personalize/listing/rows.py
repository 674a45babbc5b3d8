"""Residents as rows of text, whatever the file was, and the faults of its form."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import zip_longest

from .columns import BANK_LINK, COLUMN_BY_NAME, column_named
from .fault_codes import FaultCode
from .headers import Headers, meant_by, suggestion
from .list_faults import ListFault, Wrong, mask_account, printable

REQUIRED = (
    "name",
    "sex",
    "birth_date",
    "card_number",
    "card_category",
    "issuer_name",
    "issuer_code",
    "city_code",
)
IDENTITY_NUMBERS = ("resident_id_number", "document_number")
"""Every resident needs one of them."""

MOST_BROKEN_LINES = 100
_HEADING = Wrong(
    FaultCode.MISSING_COLUMN,
    "no column has this name, and the first line with a value must hold the titles of the columns",
    "delete the lines above the titles; if these are the titles, write each in its own column",
)
_DUPLICATE = Wrong(FaultCode.DUPLICATE_COLUMN, "duplicate column", "keep one of the two columns")


@dataclass(frozen=True, slots=True)
class Row:
    """One resident: column → text as given. `faulty` columns have been reported already."""

    line: int
    values: Mapping[str, str]
    faulty: frozenset[str] = frozenset()
    headers: Headers = field(default_factory=Headers)

    def fault(self, column: str, wrong: Wrong) -> ListFault:
        """A fault of one of the row's values."""
        value = self.values.get(column, "").strip()
        if COLUMN_BY_NAME[column].path == BANK_LINK:
            value = mask_account(value)
        title = self.headers.of(column)
        cell = self.headers.cell(column, self.line)
        return ListFault(self.line, wrong.code, column, printable(value), *wrong[1:], title, cell)


@dataclass(slots=True)
class Listing:
    """What a file holds: its rows, and the faults of its form; of a workbook, the sheet's name."""

    rows: list[Row] = field(default_factory=list)
    faults: list[ListFault] = field(default_factory=list)
    sheet: str = ""

    def fault(
        self, line: int, name: str, value: str, wrong: Wrong, column: str = "", cell: str = ""
    ) -> None:
        """Add one fault of the form; `column` is the list's own header, if that is not `name`."""
        shown = (printable(text) for text in (name, value, column.strip() or name))
        name, value, column = shown
        self.faults.append(ListFault(line, wrong.code, name, value, *wrong[1:], column, cell))


def header_names(
    listing: Listing, line: int, header: Sequence[str], letters: Sequence[str] = ()
) -> tuple[list[str | None], Headers]:
    """The column of each title, None for one that names none; faults of the header are added.

    `letters` is what a workbook calls the column of each title.
    """
    names: list[str | None] = []
    own: dict[str, str] = {}
    meant: set[str] = set()
    places: dict[str, str] = {}
    for title, letter in zip_longest(header, letters, fillvalue=""):
        name = column_named(title)
        cell = f"{letter}{line}" if letter else ""
        if name is None and title.strip():
            listing.fault(line, title, title, unknown_column(suggestion(title)), cell=cell)
            meant.update(meant_by(title))
        elif name is not None and name in own:
            listing.fault(line, name, title, _DUPLICATE, title, cell)
            name = None
        elif name is not None:
            own[name] = title
            if letter:
                places[name] = letter
        names.append(name)
    headers = Headers(own, places)
    # A column that was probably only misspelled is one fault, at its header.
    _tell_missing(listing, line, headers, own.keys() | meant)
    return names, headers


def heading(titles: Sequence[str]) -> Wrong | None:
    """What is wrong when the line of the titles has one only, and that one names no column."""
    filled = [title for title in titles if title.strip()]
    if len(filled) != 1 or column_named(filled[0]) is not None or meant_by(filled[0]):
        return None
    return _HEADING


def unknown_column(remedy: str) -> Wrong:
    """What is wrong with a column that no field has."""
    return Wrong(FaultCode.UNKNOWN_COLUMN, "unknown column", remedy)


def _tell_missing(listing: Listing, line: int, headers: Headers, there: Set[str]) -> None:
    for wanted in (*((name,) for name in REQUIRED), IDENTITY_NUMBERS):
        if there.isdisjoint(wanted):
            title = " or ".join(map(headers.named, wanted))
            remedy = f"add a column {title}"
            missing = Wrong(FaultCode.MISSING_COLUMN, "required column missing", remedy)
            listing.fault(line, wanted[-1], "", missing, title)


def lacking(columns: Set[str]) -> frozenset[str]:
    """The required columns that a header lacks: one fault there, and not one in every line."""
    lacks = set(REQUIRED) - columns
    if columns.isdisjoint(IDENTITY_NUMBERS):
        lacks.add("document_number")
    return frozenset(lacks)
