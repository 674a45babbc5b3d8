"""Residents as rows of text, from CSV or JSON Lines, with every fault of the form."""

import csv
import io
import itertools
import json
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field

from cardlib.layout import FILE_BY_PATH

from .columns import (
    BANK_LINK,
    COLUMN_BY_NAME,
    NESTED,
    column_named,
    member_named,
    nested_columns,
    nested_named,
)
from .csv_form import (
    MOST_COLUMNS,
    NO_HEADER,
    NOT_CHECKED,
    Untitled,
    broken,
    no_title,
    separator_of,
    too_many,
)
from .fault_codes import FaultCode
from .headers import Headers, meant_by, suggestion
from .list_faults import ListFault, Wrong, mask_account, printable
from .texts import Texts

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

_MOST_BROKEN_LINES = 100
_ONE_A_LINE = "write one JSON object on each line, with names and values in double quotes"
_DUPLICATE = Wrong(FaultCode.DUPLICATE_COLUMN, "duplicate column", "keep one of the two columns")
_GIVEN_TWICE = Wrong(FaultCode.DUPLICATE_COLUMN, "given twice", "keep one of the two members")
_NO_RESIDENTS = Wrong(FaultCode.NO_RESIDENTS, "no residents", "add a line for each resident")


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
        return ListFault(self.line, wrong.code, column, printable(value), *wrong[1:], title)


@dataclass(slots=True)
class Listing:
    """What a file holds: its rows, and the faults of its form."""

    rows: list[Row] = field(default_factory=list)
    faults: list[ListFault] = field(default_factory=list)

    def fault(self, line: int, name: str, value: str, wrong: Wrong, column: str = "") -> None:
        """Add one fault of the form; `column` is the list's own header, if that is not `name`."""
        shown = (printable(text) for text in (name, value, column.strip() or name))
        name, value, column = shown
        self.faults.append(ListFault(line, wrong.code, name, value, *wrong[1:], column))


def read_rows(text: str, *, is_json: bool) -> Listing:
    """The rows of a file's text; what cannot be read is a fault, never an exception."""
    listing = _read_json(text) if is_json else _read_csv(text)
    if not listing.rows and not listing.faults:
        listing.fault(1, "", "", _NO_RESIDENTS)
    return listing


# --- CSV (RFC 4180) ---------------------------------------------------------------------


def _read_csv(text: str) -> Listing:
    listing = Listing()
    lines = list(io.StringIO(text, newline="")) or [""]
    separator = separator_of(lines)
    if isinstance(separator, Wrong):
        listing.fault(1, "", lines[0].strip(), separator)
        return listing
    delimiter, is_named = separator
    if is_named:
        lines[0] = "\n"
    records = _csv_records(lines, delimiter)
    line, header = next(
        ((n, r) for n, r in records if isinstance(r, csv.Error) or any(map(str.strip, r))),
        (1, csv.Error(NO_HEADER)),
    )
    if isinstance(header, csv.Error):
        code, problem, remedy = broken(header, lines[line - 1])
        listing.fault(line, "", "", Wrong(code, f"broken header: {problem}", remedy))
    elif found := too_many(header):
        listing.fault(line, "", "", found)
    else:
        _add_csv_rows(listing, lines, records, line, header)
    return listing


def _add_csv_rows(
    listing: Listing,
    lines: list[str],
    records: Iterator[tuple[int, list[str] | csv.Error]],
    header_line: int,
    header: list[str],
) -> None:
    names, headers = _header_names(listing, header_line, header)
    untitled = Untitled(header)
    for line, record in records:
        if isinstance(record, csv.Error):
            wrong = broken(record, lines[line - 1])
            listing.fault(line, "", lines[line - 1].rstrip("\r\n"), wrong)
        elif any(value.strip() for value in record):
            if len(record) == len(header):
                for place in untitled.first_values(record):
                    listing.fault(header_line, "", "", no_title(place, line))
            _add_csv_row(listing, line, names, record, headers)


def _csv_records(lines: list[str], delimiter: str) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Each record with the line it begins on; after a broken one, reading resumes a line later."""
    at = 0
    for _ in range(_MOST_BROKEN_LINES):
        reader = csv.reader(itertools.islice(lines, at, None), delimiter=delimiter, strict=True)
        start = at
        try:
            for record in reader:
                yield start + 1, record
                start = at + reader.line_num
            return
        except csv.Error as error:
            yield start + 1, error
            at = start + 1
    if at < len(lines):
        yield at + 1, csv.Error(NOT_CHECKED)


def _header_names(
    listing: Listing, line: int, header: list[str]
) -> tuple[list[str | None], Headers]:
    names: list[str | None] = []
    own: dict[str, str] = {}
    meant: set[str] = set()
    for title in header:
        name = column_named(title)
        if name is None and title.strip():
            listing.fault(line, title, title, _unknown(suggestion(title)))
            meant.update(meant_by(title))
        elif name is not None and name in own:
            listing.fault(line, name, title, _DUPLICATE, title)
            name = None
        elif name is not None:
            own[name] = title
        names.append(name)
    headers = Headers(own)
    # A column that was probably only misspelled is one fault, at its header.
    _tell_missing(listing, line, headers, own.keys() | meant)
    return names, headers


def _unknown(remedy: str) -> Wrong:
    return Wrong(FaultCode.UNKNOWN_COLUMN, "unknown column", remedy)


def _tell_missing(listing: Listing, line: int, headers: Headers, there: Set[str]) -> None:
    for wanted in (*((name,) for name in REQUIRED), IDENTITY_NUMBERS):
        if there.isdisjoint(wanted):
            title = " or ".join(map(headers.named, wanted))
            remedy = f"add a column {title}"
            missing = Wrong(FaultCode.MISSING_COLUMN, "required column missing", remedy)
            listing.fault(line, wanted[-1], "", missing, title)


def _add_csv_row(
    listing: Listing,
    line: int,
    names: list[str | None],
    record: list[str],
    headers: Headers,
) -> None:
    if len(record) != len(names):
        problem = f"wrong column count: {len(record)}, the header has {len(names)}"
        remedy = (
            "write as many values as the header has columns; put a value that contains the"
            " separator in quotes"
        )
        wrong = Wrong(FaultCode.WRONG_COLUMN_COUNT, problem, remedy)
        listing.fault(line, "", f"{len(record)} columns", wrong)
        return
    values = {name: value for name, value in zip(names, record, strict=True) if name}
    # A required column that the header lacks is one fault there, not one in every line.
    lacking = set(REQUIRED) - values.keys()
    if values.keys().isdisjoint(IDENTITY_NUMBERS):
        lacking.add("document_number")
    listing.rows.append(Row(line, Texts(values), frozenset(lacking), headers))


# --- JSON Lines -------------------------------------------------------------------------


class _Number(str):
    """A JSON number, kept as it was written."""

    __slots__ = ()


class _Object(tuple[tuple[str, object], ...]):
    """A JSON object as its members in order, so that duplicates are seen."""

    __slots__ = ()


def _read_json(text: str) -> Listing:
    reader = _JsonReader()
    if text.lstrip().startswith("["):
        wrong = Wrong(FaultCode.NOT_JSON_LINES, "a JSON list, not JSON Lines", _ONE_A_LINE)
        reader.listing.fault(1, "", "[", wrong)
        return reader.listing
    for line, content in enumerate(text.split("\n"), 1):
        if reader.broken == _MOST_BROKEN_LINES:
            wrong = Wrong(FaultCode.NOT_CHECKED, NOT_CHECKED, _ONE_A_LINE)
            reader.listing.fault(line, "", "", wrong)
            break
        if content.strip():
            reader.read(line, content)
    return reader.listing


class _JsonReader:
    """Rows from JSON lines; a member that no field has is one fault, at its first line."""

    def __init__(self) -> None:
        self.listing = Listing()
        self.broken = 0
        self._unknown: set[str] = set()

    def read(self, line: int, content: str) -> None:
        """Add the row of one line, or its fault."""
        try:
            found = json.loads(
                content,
                object_pairs_hook=_Object,
                parse_int=_Number,
                parse_float=_Number,
                parse_constant=_Number,
            )
        except json.JSONDecodeError as error:
            problem = f"broken JSON: {error.msg} at character {error.colno}"
        except RecursionError:
            problem = "broken JSON: nested too deep"
        else:
            if isinstance(found, _Object):
                self._add(line, found)
                return
            problem = "not a JSON object"
        self.broken += 1
        wrong = Wrong(FaultCode.BROKEN_JSON, problem, _ONE_A_LINE)
        self.listing.fault(line, "", content.strip(), wrong)

    def _add(self, line: int, members: _Object) -> None:
        row = _JsonRow(self.listing, line)
        if found := too_many([title for title, _ in members]):
            self.listing.fault(line, "", "", found)
            return
        for title, value in members:
            if nested := nested_named(title):
                self._add_nested(row, nested, value)
            elif name := column_named(title):
                row.put(name, value, title)
            else:
                self._report_unknown(line, title, suggestion(title))
        if any(text.strip() for text in row.values.values()) or row.faulty:
            row_of_text = Row(line, Texts(row.values), frozenset(row.faulty), Headers(row.titles))
            self.listing.rows.append(row_of_text)

    def _add_nested(self, row: "_JsonRow", nested: str, value: object) -> None:
        path = NESTED[nested]
        records = FILE_BY_PATH[path].records
        if nested == "bank_link":
            value, records = [value] if value is not None else [], 1
        if value is not None and not isinstance(value, list):
            row.retype(nested, value, "not a list", "write a list of objects: [{…}, {…}]")
            return
        entries = value or []
        if len(entries) > records:
            problem = f"too many: {len(entries)} entries, the card holds {records}"
            remedy = f"keep {records} of the entries"
            wrong = Wrong(FaultCode.TOO_MANY_ENTRIES, problem, remedy)
            row.refuse(nested, f"{len(entries)} entries", wrong)
        for number, entry in enumerate(entries[:records], 1):
            if isinstance(entry, _Object):
                self._add_entry(row, nested, number, entry)
            else:
                row.retype(nested, entry, "not an object", "write the entry as an object: {…}")

    def _add_entry(self, row: "_JsonRow", nested: str, number: int, entry: _Object) -> None:
        path = NESTED[nested]
        for title, value in entry:
            name = member_named(path, title)
            column = nested_columns(path).get((number, name)) if name else None
            if column is None and path == BANK_LINK:
                # The flat columns' own names are understood inside the object too.
                named = COLUMN_BY_NAME.get(title)
                column = title if named and named.path == path else None
            if column:
                row.put(column, value)
            else:
                known = ", ".join(dict.fromkeys(key[1] for key in nested_columns(path)))
                self._report_unknown(
                    row.line, f"{nested}.{title}", f"use one of the members {known}"
                )

    def _report_unknown(self, line: int, title: str, remedy: str) -> None:
        if title not in self._unknown and len(self._unknown) <= MOST_COLUMNS:
            self._unknown.add(title)
            if len(self._unknown) > MOST_COLUMNS:
                problem = f"too many unknown columns: only {MOST_COLUMNS} of them are reported"
                wrong = Wrong(FaultCode.TOO_MANY_COLUMNS, problem, "keep the members that we know")
                self.listing.fault(line, title, title, wrong)
            else:
                self.listing.fault(line, title, title, _unknown(remedy))


def _shown(value: object) -> str:
    """A member's value in a fault; what is inside lists and objects stays out."""
    if isinstance(value, tuple | list):
        return "{…}" if isinstance(value, _Object) else "[…]"
    return value if isinstance(value, str) else json.dumps(value)


class _JsonRow:
    """One resident while its members are gathered."""

    def __init__(self, listing: Listing, line: int) -> None:
        self.line = line
        self.values: dict[str, str] = {}
        self.titles: dict[str, str] = {}
        self.faulty: set[str] = set()
        self._listing = listing

    def refuse(self, name: str, value: object, wrong: Wrong) -> None:
        """One fault of this row, unless the field has one already."""
        if name not in self.faulty:
            self.faulty.add(name)
            title = self.titles.get(name, "")
            self._listing.fault(self.line, name, _shown(value), wrong, title)

    def retype(self, name: str, value: object, problem: str, remedy: str) -> None:
        """One fault: the value is of another JSON type than is needed."""
        self.refuse(name, value, Wrong(FaultCode.WRONG_JSON_TYPE, problem, remedy))

    def put(self, column: str, value: object, title: str = "") -> None:
        """Take a member's text; anything else than text or null is a fault.

        `title` is what the list calls the member, if it is no member of an entry.
        """
        if title:
            self.titles.setdefault(column, title)
        if column in self.values or column in self.faulty:
            self.refuse(column, "", _GIVEN_TWICE)
        elif value is None:
            self.values[column] = ""
        elif isinstance(value, _Number):
            remedy = f'put it in quotes, with its leading zeros: "{printable(value)}"'
            self.retype(column, value, "a number, not text", remedy)
        elif isinstance(value, bool):
            self.retype(column, value, "true or false, not text", 'write "1" for yes, "0" for no')
        elif isinstance(value, str):
            self.values[column] = value
        else:
            self.retype(column, value, "not text", "write the value in quotes")
