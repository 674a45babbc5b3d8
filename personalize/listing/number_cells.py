"""Where a list may have a number in a cell of a workbook, though all our columns are text.

A spreadsheet keeps 15 digits of a number, and no zero that it begins with. So a number is right
only where neither can be missed.
"""

from functools import cache
from typing import NamedTuple

from cardlib.layout import Kind, code_table

from .columns import COLUMN_BY_NAME, field_of

_ANY_LENGTH = 0


class NumberRule(NamedTuple):
    """How many digits a number must have (0: any), and why no digit can be missed then."""

    digits: int
    reason: str


_BY_COLUMN = {"city_code": NumberRule(6, "a code of GB/T 2260 has 6 digits and begins with no 0")}
_BY_KIND = {
    Kind.FLAG: NumberRule(1, "a flag is 1 or 0"),
    Kind.DATE: NumberRule(8, "YYYYMMDD has 8 digits, and no year begins with 0"),
}
_CODE = NumberRule(_ANY_LENGTH, "no code of its table begins with 0, except 0 itself")


@cache
def number_rule(column: str) -> NumberRule | None:
    """When a number is right in a column; None if it never is."""
    field = field_of(COLUMN_BY_NAME[column])
    if field.kind is Kind.CODE:
        table = code_table(field.table)
        return _CODE if table.closed and not any(map(_begins_with_zero, table.codes)) else None
    return _BY_COLUMN.get(column) or _BY_KIND.get(field.kind)


def _begins_with_zero(code: str) -> bool:
    return code.startswith("0") and code != "0"


def number_text(column: str, number: object) -> str | None:
    """The text that a number stands for in a column; None if a digit of it may be missed."""
    rule = number_rule(column)
    if rule is None or not isinstance(number, int | float) or isinstance(number, bool):
        return None
    if not (0 <= number < 10**15 and number == int(number)):
        return None
    text = str(int(number))
    return text if rule.digits in (_ANY_LENGTH, len(text)) else None
