"""Values for columns that a whole list lacks: the issuer and the city, which are a bureau's own."""

from collections.abc import Mapping, Sequence
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
class Filling:
    """What a whole list gets: the new values, for how many residents, and the faults then left.

    `why_no_city` says why the city's default was not taken, if the list needed it.
    """

    new: Mapping[str, str]
    faults: tuple[ListFault, ...]
    filled: tuple[FilledColumn, ...]
    why_no_city: str = ""

    def of(self, row: Row) -> Row:
        """A row with the new values."""
        if not self.new:
            return row
        values = Texts({**row.values, **self.new})
        return replace(row, values=values, faulty=row.faulty - self.new.keys())


class DefaultsSurvey:
    """Finds out from the rows, one by one, which defaults a list gets.

    A column that is there, though blank, is the list's own: a blank value stays an error. Name and
    code of the issuer are taken together or not at all. The city decides the region of the card's
    keys, so it is taken only where every resident has the issuer that it belongs to.
    """

    def __init__(self, defaults: ListDefaults) -> None:
        self._values = defaults.values
        self._lacks = set(defaults.values)
        self._own = defaults.values.get("issuer_code")
        self._count, self._other = 0, 0

    def add(self, row: Row) -> None:
        """Look at the next row."""
        self._count += 1
        self._lacks -= row.values.keys()
        if not self._other and _issuer_of(row) != self._own:
            self._other = row.line

    def found(self, faults: Sequence[ListFault]) -> Filling:
        """What the list gets, by all its rows and the faults of its form."""
        if not self._count:
            return Filling({}, tuple(faults), ())
        there = {fault.field for fault in faults if not _is_missing(fault)}
        lacks = self._lacks - there
        wanted = set(ISSUER_COLUMNS) if lacks >= set(ISSUER_COLUMNS) else set()
        why = ""
        if CITY_COLUMN in lacks:
            if self._other and not wanted:
                why = (
                    f"city_code {self._values[CITY_COLUMN]} was not taken: it is for issuer_code"
                    f" {self._own}, and line {self._other} has another"
                )
            else:
                wanted.add(CITY_COLUMN)
        new = {column: value for column, value in self._values.items() if column in wanted}
        return Filling(
            new,
            tuple(fault for fault in faults if not (_is_missing(fault) and fault.field in new)),
            tuple(FilledColumn(column, value, self._count) for column, value in new.items()),
            why,
        )


def _is_missing(fault: ListFault) -> bool:
    return fault.code is FaultCode.MISSING_COLUMN


def _issuer_of(row: Row) -> str:
    return row.values.get("issuer_code", "").strip(BLANKS)
