"""The text of a cell of a workbook, or why the cell is no text."""

import re
from datetime import date, time, timedelta

from cardlib.layout import Kind

from .columns import COLUMN_BY_NAME, field_of
from .fault_codes import FaultCode
from .list_faults import Wrong
from .number_cells import number_text

_AS_TEXT = "format the column as text, and type or import the values again"
_ESCAPE = re.compile("_x([0-9A-Fa-f]{4})_")

_PLAIN = (str, int, float, date, time, timedelta)

_NUMBER = Wrong(
    FaultCode.NUMBER_CELL,
    "the cell is a number: Excel keeps 15 digits only, and no zero at the beginning",
    _AS_TEXT,
)
_DATE = Wrong(FaultCode.TURNED_INTO_DATE, "the cell is a date or a time, not text", _AS_TEXT)
_NO_TEXT = {
    "n": _NUMBER,
    "d": _DATE,
    "b": Wrong(FaultCode.TURNED_INTO_TRUTH, "the cell is true or false, not text", _AS_TEXT),
    "e": Wrong(
        FaultCode.FORMULA_ERROR,
        "the cell is an error value",
        "repair the formula, or write the value",
    ),
    "f": Wrong(
        FaultCode.FORMULA,
        "the cell is a formula, not text",
        "copy the column and paste it as values; then format it as text",
    ),
}
"""Type of a cell (openpyxl's letter) → what is wrong with it. No value is shown."""


def cell_text(column: str, data_type: str, value: object) -> str | Wrong:
    """The text of a cell in one of our columns, "" if it is blank; else what is wrong with it."""
    if value is None:
        return ""
    if isinstance(value, str) and data_type not in _NO_TEXT:
        return unescaped(value)
    if data_type == "n":
        text = number_text(column, value)
        return _NUMBER if text is None else text
    if data_type == "d" and isinstance(value, date):
        return _date(column, value)
    return _NO_TEXT.get(data_type, _NUMBER)


def title_text(value: object) -> str:
    """The text of a cell of the header; of a cell that is no text, what it may show."""
    if value is None:
        return ""
    return unescaped(str(value)) if isinstance(value, _PLAIN) else "="


def unescaped(text: str) -> str:
    """The text with the characters that a workbook writes as _xHHHH_ (ECMA-376 22.9.2.19)."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text) if "_x" in text else text


def _date(column: str, value: date) -> Wrong:
    if field_of(COLUMN_BY_NAME[column]).kind is not Kind.DATE:
        return _DATE
    remedy = f"format the column as text, and write the date as YYYYMMDD: {value:%Y%m%d}"
    return Wrong(_DATE.code, _DATE.problem, remedy)
