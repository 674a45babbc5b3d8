"""Reads a map of code values: a CSV file with the columns column, from, to, and note if wanted."""

import csv
import io
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from cardlib.layout import Kind, code_table
from cardlib.layout.characters import first_unfit

from .code_map import ANY, CodeMap
from .columns import COLUMN_BY_NAME, column_named, field_of
from .csv_form import broken, separator_of
from .fault_codes import FaultCode
from .holders import unseen_in
from .list_faults import ListFault, Wrong, printable
from .remedies import code_remedy, flag_remedy
from .rules import BLANKS
from .source import Source, read_source
from .text_survey import undecoded_byte

_NEEDED = ("column", "from", "to")
_TITLES = (*_NEEDED, "note")
_HEADER = ",".join(_NEEDED)
_REMEDIES = {
    FaultCode.WRONG_ENCODING: "save the map as UTF-8 (in Excel: CSV UTF-8)",
    FaultCode.EMPTY_FILE: f"write the header {_HEADER}, and a line for each value",
    FaultCode.FILE_TOO_LARGE: "a map has one line for each value: give the right file",
    FaultCode.TOO_MANY_LINES: "a map has one line for each value: give the right file",
}
"""What to do with a map instead of a list of residents."""

_NO_LINES = _REMEDIES[FaultCode.EMPTY_FILE]
_NO_SUCH_COLUMN = Wrong(
    FaultCode.UNKNOWN_COLUMN,
    "unknown column",
    "name a column of docs/reference/input.md that holds codes or flags",
)
_NO_CODES = Wrong(
    FaultCode.NOT_MAPPABLE,
    "the column holds no codes",
    "remove the line: a map is for columns that hold codes or flags",
)
_Line = tuple[int, list[str]]
_Mapping = tuple[int, str, str]
"""The line of a mapping, the list's own value, and the code."""


def read_code_map(path: Path) -> CodeMap:
    """Read a map in UTF-8, with every fault of it; OSError when it cannot be read."""
    source = read_source(path, "utf-8")
    if source.faults:
        return CodeMap(source.sha256, {}, tuple(_of_a_map(fault) for fault in source.faults))
    return _Reader().read(source)


def _of_a_map(fault: ListFault) -> ListFault:
    remedy = _REMEDIES.get(fault.code, fault.remedy)
    return ListFault(fault.line, fault.code, "", "", fault.problem, remedy)


class _Reader:
    """The lines of one map while they are read, and the faults so far."""

    def __init__(self) -> None:
        self._faults: list[ListFault] = []
        self._columns: dict[str, dict[str, str]] = {}
        self._first: dict[tuple[str, str], _Mapping] = {}

    def read(self, source: Source) -> CodeMap:
        """The map, or its faults."""
        lines = self._lines(source.text)
        line, titles = next(lines, (1, []))
        places = {} if self._faults else self._places(line, titles)
        for line, cells in lines if places else ():
            self._add(line, len(titles), places, cells)
        if not self._columns and not self._faults:
            wrong = Wrong(FaultCode.EMPTY_FILE, "the map has no lines", _NO_LINES)
            self._fault(1, "", "", wrong)
        return CodeMap(source.sha256, self._columns, tuple(self._faults))

    def _fault(self, line: int, title: str, value: str, wrong: Wrong) -> None:
        fault = ListFault(line, wrong.code, title, printable(value), *wrong[1:], title)
        self._faults.append(fault)

    def _lines(self, text: str) -> Iterator[_Line]:
        """Each line that is not blank, with its number; a line that is no CSV is the last."""
        lines = list(io.StringIO(text, newline=""))
        separator = separator_of(lines)
        if isinstance(separator, Wrong):
            self._fault(1, "", lines[0].strip(), separator)
            return
        delimiter, is_named = separator
        reader = csv.reader(
            ["\n", *lines[1:]] if is_named else lines, delimiter=delimiter, strict=True
        )
        start = 1
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield start, [cell.strip(BLANKS) for cell in cells]
                start = reader.line_num + 1
        except csv.Error as error:
            self._fault(start, "", lines[start - 1].strip(), broken(error, lines[start - 1]))

    def _places(self, line: int, titles: Sequence[str]) -> dict[str, int]:
        """Where each column of the map is; nothing if the header has a fault."""
        places: dict[str, int] = {}
        found = len(self._faults)
        for place, given in enumerate(titles):
            title = given.casefold()
            if title not in _TITLES:
                remedy = f"name the columns of a map {', '.join(_TITLES)}"
                wrong = Wrong(FaultCode.UNKNOWN_COLUMN, "unknown column of a map", remedy)
                self._fault(line, given, given, wrong)
            elif title in places:
                remedy = "keep one of the two columns"
                wrong = Wrong(FaultCode.DUPLICATE_COLUMN, "duplicate column", remedy)
                self._fault(line, title, given, wrong)
            places[title] = place
        if len(self._faults) == found:
            for title in _NEEDED:
                if title not in places:
                    remedy = f"begin the map with the line {_HEADER}"
                    wrong = Wrong(FaultCode.MISSING_COLUMN, "required column missing", remedy)
                    self._fault(line, title, "", wrong)
        return places if len(self._faults) == found else {}

    def _add(self, line: int, count: int, places: dict[str, int], cells: Sequence[str]) -> None:
        if len(cells) != count:
            problem = f"wrong column count: {len(cells)}, the header has {count}"
            remedy = "write as many values as the header has columns"
            wrong = Wrong(FaultCode.WRONG_COLUMN_COUNT, problem, remedy)
            self._fault(line, "", f"{len(cells)} columns", wrong)
            return
        given, own, code = (cells[places[title]] for title in _NEEDED)
        column = column_named(given)
        if column is None or not _holds_codes(column):
            self._fault(line, "column", given, _NO_CODES if column else _NO_SUCH_COLUMN)
            return
        first = self._first.setdefault((column, _as_seen(own)), (line, own, code))
        if bad_own := _wrong_own(own) or _mapped_before(first, (line, own, code)):
            self._fault(line, "from", own, bad_own)
        elif bad_code := _wrong_code(column, own, code):
            self._fault(line, "to", code, bad_code)
        else:
            self._columns.setdefault(column, {})[own] = code


def _holds_codes(column: str) -> bool:
    return field_of(COLUMN_BY_NAME[column]).kind in (Kind.CODE, Kind.FLAG)


def _as_seen(own: str) -> str:
    """Values that look alike on paper give the same: in one width, without what nobody sees."""
    kept = "".join(char for char in own if first_unfit(char) is None and not unseen_in(char))
    return unicodedata.normalize("NFKC", kept)


def _mapped_before(first: _Mapping, this: _Mapping) -> Wrong | None:
    """Whether the value has a code already; two that look alike may have the same code."""
    if first == this or (first[1] != this[1] and first[2] == this[2]):
        return None
    problem = f"mapped already in line {first[0]}"
    return Wrong(FaultCode.DUPLICATE_MAPPING, problem, "keep one of the two lines")


def _wrong_own(own: str) -> Wrong | None:
    if not own:
        remedy = f"write the list's own value, or {ANY} for every other value"
        return Wrong(FaultCode.MISSING_VALUE, "required, but blank", remedy)
    if byte := undecoded_byte(own):
        problem, remedy = f"not UTF-8: byte {byte}", _REMEDIES[FaultCode.WRONG_ENCODING]
        return Wrong(FaultCode.UNDECODED_BYTE, problem, remedy)
    return None


def _wrong_code(column: str, own: str, code: str) -> Wrong | None:
    """Why a code cannot be the code of a list's own value."""
    field = field_of(COLUMN_BY_NAME[column])
    if not code:
        remedy = "write the code; to have no value on the card, leave the value in the list blank"
        return Wrong(FaultCode.MISSING_VALUE, "required, but blank", remedy)
    if own == code == ANY:
        return None
    if field.kind is Kind.FLAG:
        if code in ("0", "1"):
            return None
        return Wrong(FaultCode.INVALID_FLAG, "a flag is 1 for yes or 0 for no", flag_remedy(code))
    table = code_table(field.table)
    if code in table.codes:
        return None
    return Wrong(FaultCode.INVALID_CODE, "not in code table", code_remedy(table, code))
