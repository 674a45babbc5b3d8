"""Numbers that a spreadsheet rounded: it keeps 15 digits and writes zeros for the rest.

One rounded identity number in eleven has a right check digit, so the list is looked at as a whole.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .columns import COLUMN_BY_NAME
from .holders import NUMBER_COLUMNS
from .identity_number import identity_problem
from .rows import IDENTITY_NUMBERS, Row
from .spreadsheet import Damage, damage_in

_KEPT = 15
"""The significant digits of a number in a spreadsheet (IEEE 754 double precision)."""

_LONG = re.compile(r"[1-9]\d{15,}", re.ASCII)
_ENOUGH_ZEROS = 4
"""By chance, numbers have so many zeros at these places once in 10,000 lists."""

_SURE_ZEROS = 3
_NUMBERS = frozenset(
    column
    for column in COLUMN_BY_NAME
    if column in (*NUMBER_COLUMNS, "health_record_number", "rural_insurance_number")
    or column in ("bank_payment_account_reference", "bank_agreement_number")
    or column.startswith("hospital_patient_number_")
)
"""Codes of organizations are none of them: they may end in zeros."""

ROUNDED = Damage(
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


def rounded_numbers(rows: Iterable[Row]) -> Rounded:
    """Find the numbers that a spreadsheet rounded, by three rules.

    - All long numbers (16 digits or more) of a column end in zeros after the 15th digit, and there
      are two different ones or more, with four such zeros or more together.
    - The same for all columns of the list together.
    - The list shows a spreadsheet's damage elsewhere, or an identity number that is wrong and ends
      in 000: then every number with three such zeros or more is rounded.
    """
    whole: set[str] = set()
    zeros: dict[str, set[str]] = {}
    damaged = False
    for column, text in _numbers(rows):
        if not _LONG.fullmatch(text):
            damaged = damaged or not (text.isalnum() or damage_in(column, text) is None)
        elif text[_KEPT:].strip("0"):
            whole.update((column, ""))
        else:
            zeros.setdefault(column, set()).add(text)
            zeros.setdefault("", set()).add(text)
            damaged = damaged or _is_wrong_identity(column, text)
    found = {text for column, numbers in zeros.items() if column not in whole
             for text in numbers if _are_enough(numbers)}  # fmt: skip
    if damaged:
        found |= {text for text in zeros.get("", ()) if len(text) >= _KEPT + _SURE_ZEROS}
    return Rounded(frozenset(found))


def _numbers(rows: Iterable[Row]) -> Iterator[tuple[str, str]]:
    """Each value of a column of numbers, without blanks around; cheap, as every list is read."""
    for row in rows:
        for column in row.values.keys() & _NUMBERS:
            if value := row.values[column].strip():
                yield column, value


def _are_enough(numbers: set[str]) -> bool:
    return len(numbers) > 1 and sum(len(text) - _KEPT for text in numbers) >= _ENOUGH_ZEROS


def _is_wrong_identity(column: str, text: str) -> bool:
    return column == IDENTITY_NUMBERS[0] and identity_problem(text) is not None
