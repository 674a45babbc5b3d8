"""Numbers that a spreadsheet rounded: it keeps 15 digits and writes zeros for the rest.

One rounded identity number in eleven has a right check digit, so the list is looked at as a whole.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from .columns import COLUMN_BY_NAME
from .fault_codes import FaultCode
from .holders import NUMBER_COLUMNS
from .identity_number import identity_problem
from .list_faults import Wrong
from .rows import IDENTITY_NUMBERS, Row
from .spreadsheet import damage_in

_KEPT = 15
"""The significant digits of a number in a spreadsheet (IEEE 754 double precision)."""

_LONG = re.compile(r"[1-9]\d{15,}", re.ASCII)
_ENOUGH_ZEROS = 4
"""By chance, numbers have so many zeros at these places once in 10,000 lists."""

_SURE_ZEROS = 3
_ENOUGH_AMONG_WHOLE = 4
_MORE_THAN_CHANCE = 20
_Place = tuple[str, int]
"""A column, and a length of numbers in it."""

_LIST: _Place = ("", 0)
_NUMBERS = frozenset(
    column
    for column in COLUMN_BY_NAME
    if column in (*NUMBER_COLUMNS, "health_record_number", "rural_insurance_number")
    or column in ("bank_payment_account_reference", "bank_agreement_number")
    or column.startswith("hospital_patient_number_")
)
"""Codes of organizations are none of them: they may end in zeros."""

_READ = _NUMBERS | {column for column in COLUMN_BY_NAME if "phone" in column}
"""A telephone number is too short to be rounded, but it shows other damage."""

ROUNDED = Wrong(
    FaultCode.ROUNDED_NUMBER,
    "a spreadsheet rounded the number: all digits after the 15th are 0",
    "format the column as text in the spreadsheet, fill in the numbers again from the source,"
    " and export again",
)


@dataclass(frozen=True, slots=True)
class Rounded:
    """The numbers of one list that a spreadsheet rounded."""

    numbers: frozenset[str] = field(default_factory=frozenset, repr=False)

    def holds(self, column: str, text: str) -> bool:
        """Whether the value of a column is one of them."""
        return text in self.numbers and column in _NUMBERS


class RoundingSurvey:
    """Finds the numbers that a spreadsheet rounded, by four rules, from the rows one by one.

    A long number has 16 digits or more; it ends in zeros if all digits after the 15th are 0.

    1. All long numbers of one length in a column end in zeros, and there are two different ones or
       more, with four such zeros or more together.
    2. The same for all long numbers of the list.
    3. Four different numbers of one length in a column end in zeros, and those are 20 times as
       many as by chance: one in five with 17 digits, one in fifty with 18 or more.
    4. The list shows a spreadsheet's damage elsewhere, or an identity number that is wrong and ends
       in 000: then every number with three such zeros or more is rounded.

    It keeps only those that end in zeros.
    """

    def __init__(self) -> None:
        self._whole: Counter[_Place] = Counter()
        self._zeros: dict[_Place, set[str]] = {}
        self._damaged = False

    def add(self, row: Row) -> None:
        """Look at the numbers of the next row."""
        for column in row.values.keys() & _READ:
            if text := row.values[column].strip():
                self._add(column, text)

    def _add(self, column: str, text: str) -> None:
        if not _LONG.fullmatch(text):
            self._damaged = self._damaged or not (text.isalnum() or damage_in(column, text) is None)
            return
        place = column, len(text)
        if text[_KEPT:].strip("0"):
            self._whole[place] += 1
            self._whole[_LIST] += 1
        else:
            self._damaged = self._damaged or _is_wrong_identity(column, text)
            self._zeros.setdefault(place, set()).add(text)
            self._zeros.setdefault(_LIST, set()).add(text)

    def found(self) -> Rounded:
        """The numbers that were rounded, from all rows so far."""
        found = {text for place, numbers in self._zeros.items() for text in numbers
                 if _are_rounded(place, numbers, self._whole[place])}  # fmt: skip
        if self._damaged:
            certain = _KEPT + _SURE_ZEROS
            found |= {text for text in self._zeros.get(_LIST, ()) if len(text) >= certain}
        return Rounded(frozenset(found))


def rounded_numbers(rows: Iterable[Row]) -> Rounded:
    """The numbers of these rows that a spreadsheet rounded (see RoundingSurvey)."""
    survey = RoundingSurvey()
    for row in rows:
        survey.add(row)
    return survey.found()


def _are_rounded(place: _Place, numbers: set[str], whole: int) -> bool:
    """Whether numbers that end in zeros are too many for chance, beside `whole` other ones."""
    if not whole:
        return len(numbers) > 1 and sum(len(text) - _KEPT for text in numbers) >= _ENOUGH_ZEROS
    if place == _LIST or len(numbers) < _ENOUGH_AMONG_WHOLE:
        return False
    one_in: int = 10 ** min(place[1] - _KEPT, _SURE_ZEROS)
    return len(numbers) * one_in >= _MORE_THAN_CHANCE * (len(numbers) + whole)


def _is_wrong_identity(column: str, text: str) -> bool:
    return column == IDENTITY_NUMBERS[0] and identity_problem(text) is not None
