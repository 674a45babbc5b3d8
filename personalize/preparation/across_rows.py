"""What the rows of a list are to each other: no number and no photo belongs to two residents."""

from collections.abc import Iterator

from ..listing.columns import PHOTO_COLUMN
from ..listing.consistency import one_a_column
from ..listing.fault_codes import FaultCode
from ..listing.holders import NUMBER_COLUMNS
from ..listing.list_faults import ListFault, Wrong
from ..listing.rows import Row
from .row_work import CheckedRow

_PLACE = {column: place for place, column in enumerate(NUMBER_COLUMNS)}
_BITS = 2
"""Of the place of a column, below the line, in one number: a tuple takes three times as much."""


class AcrossRows:
    """Takes the rows in order, and knows the numbers and photos of those before."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._photos: dict[bytes, int] = {}

    def faults(self, row: Row, checked: CheckedRow) -> tuple[ListFault, ...]:
        """All faults of the next row: its own, and those that it has beside the rows before."""
        found = [*self._same_numbers(row, checked), *self._same_photo(row, checked)]
        return one_a_column([*checked.faults, *found]) if found else checked.faults

    def _same_numbers(self, row: Row, checked: CheckedRow) -> Iterator[ListFault]:
        """A number of this resident that an earlier one has, in whichever column."""
        for number, column, is_own in checked.numbers:
            if not is_own:
                continue
            first = self._numbers.setdefault(number, row.line << _BITS | _PLACE[column])
            line, where = first >> _BITS, NUMBER_COLUMNS[first & (1 << _BITS) - 1]
            if line != row.line:
                as_what = "" if where == column else f", where it is in {row.headers.named(where)}"
                remedy = (
                    "a resident gets one card only: remove one of the lines, or correct the number"
                )
                problem = f"duplicate of line {line}{as_what}"
                yield row.fault(column, Wrong(FaultCode.DUPLICATE_HOLDER, problem, remedy))

    def _same_photo(self, row: Row, checked: CheckedRow) -> Iterator[ListFault]:
        """The line of another resident that has the same picture."""
        if checked.fingerprint is None:
            return
        line = self._photos.setdefault(checked.fingerprint, row.line)
        known = (self._numbers.get(number) for number, *_ in checked.numbers)
        of_resident = {each >> _BITS for each in known if each is not None}
        if line not in (row.line, *of_resident):
            which = f"line {line} or line {row.line}"
            remedy = f"find out whom it shows, and name the right photo in {which}"
            wrong = Wrong(FaultCode.DUPLICATE_PHOTO, f"same photo as line {line}", remedy)
            yield row.fault(PHOTO_COLUMN, wrong)
