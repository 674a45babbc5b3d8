"""Values for columns that a whole list lacks: the issuer and the city, which are a bureau's own."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from .fault_codes import FaultCode
from .list_faults import ListFault
from .rows import Row
from .rules import BLANKS
from .texts import Texts

ISSUER_COLUMNS = ("issuer_name", "issuer_code")
CITY_COLUMN = "city_code"


@dataclass(frozen=True, slots=True)
class ListDefaults:
    """Column → value, each checked before. A city is there only beside an issuer."""

    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FilledColumn:
    """A column that the list lacks, the value that all residents got, and how many they are."""

    column: str
    value: str
    count: int


@dataclass(frozen=True, slots=True)
class FilledRows:
    """The rows with defaults, the faults that are left, and what was filled.

    `why_no_city` says why the city's default was not taken, if the list needed it.
    """

    rows: tuple[Row, ...]
    faults: tuple[ListFault, ...]
    filled: tuple[FilledColumn, ...]
    why_no_city: str = ""


def fill_in(rows: Sequence[Row], faults: Sequence[ListFault], defaults: ListDefaults) -> FilledRows:
    """Give all residents the defaults of columns that the list lacks.

    A column that is there, though blank, is the list's own: a blank value stays an error. Name and
    code of the issuer are taken together or not at all. The city decides the region of the card's
    keys, so it is taken only where every resident has the issuer that it belongs to.
    """
    if not rows:
        return FilledRows((), tuple(faults), ())
    lacks = {column for column in defaults.values if not _is_there(column, rows, faults)}
    wanted = set(ISSUER_COLUMNS) if lacks >= set(ISSUER_COLUMNS) else set()
    if CITY_COLUMN in lacks:
        own = defaults.values["issuer_code"]
        others = [] if wanted else [row for row in rows if _issuer_of(row) != own]
        if others:
            why = (
                f"city_code {defaults.values[CITY_COLUMN]} was not taken: it is for issuer_code"
                f" {own}, and line {others[0].line} has another"
            )
            return replace(_filled(rows, faults, defaults, wanted), why_no_city=why)
        wanted.add(CITY_COLUMN)
    return _filled(rows, faults, defaults, wanted)


def _filled(
    rows: Sequence[Row], faults: Iterable[ListFault], defaults: ListDefaults, wanted: set[str]
) -> FilledRows:
    new = {column: value for column, value in defaults.values.items() if column in wanted}
    return FilledRows(
        tuple(_with(row, new) for row in rows) if new else tuple(rows),
        tuple(fault for fault in faults if not (_is_missing(fault) and fault.field in new)),
        tuple(FilledColumn(column, value, len(rows)) for column, value in new.items()),
    )


def _with(row: Row, new: Mapping[str, str]) -> Row:
    values = Texts({**row.values, **new})
    return replace(row, values=values, faulty=row.faulty - new.keys())


def _is_there(column: str, rows: Iterable[Row], faults: Iterable[ListFault]) -> bool:
    """Whether the list has a column, be it one whose values could not be read."""
    if any(fault.field == column and not _is_missing(fault) for fault in faults):
        return True
    return any(column in row.values for row in rows)


def _is_missing(fault: ListFault) -> bool:
    return fault.code is FaultCode.MISSING_COLUMN


def _issuer_of(row: Row) -> str:
    return row.values.get("issuer_code", "").strip(BLANKS)
