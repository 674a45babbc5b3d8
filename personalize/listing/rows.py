"""Residents as rows of text, from CSV or JSON Lines, with every fault of the form."""

import csv
import io
import itertools
import json
from collections.abc import Iterator
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
    suggestion,
)
from .list_faults import ListFault, printable

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
_MOST_BROKEN_LINES = 100
_ONE_A_LINE = "write one whole JSON object a line, names and values in double quotes"
_QUOTING = "double the quotes inside a value, and close every value that begins with one"


@dataclass(frozen=True, slots=True)
class Row:
    """One resident: column → text as given. `faulty` columns have been reported already."""

    line: int
    values: dict[str, str]
    faulty: frozenset[str] = frozenset()


@dataclass(slots=True)
class Listing:
    """What a file holds: its rows, the faults of its form, and the columns nobody may lack."""

    rows: list[Row] = field(default_factory=list)
    faults: list[ListFault] = field(default_factory=list)

    def fault(self, line: int, name: str, value: str, problem: str, remedy: str) -> None:
        """Add one fault of the form."""
        self.faults.append(ListFault(line, printable(name), printable(value), problem, remedy))


def read_rows(text: str, *, is_json: bool) -> Listing:
    """The rows of a file's text; what cannot be read is a fault, never an exception."""
    listing = _read_json(text) if is_json else _read_csv(text)
    if not listing.rows and not listing.faults:
        listing.fault(1, "", "", "no residents", "add a line for each resident")
    return listing


# --- CSV (RFC 4180) ---------------------------------------------------------------------


def _read_csv(text: str) -> Listing:
    listing = Listing()
    lines = list(io.StringIO(text, newline="")) or [""]
    records = _csv_records(lines, max(",\t;", key=lines[0].count))
    line, header = next(((n, r) for n, r in records if r), (1, csv.Error("no header")))
    if isinstance(header, csv.Error):
        listing.fault(line, "", "", f"broken header: {header}", _QUOTING)
        return listing
    names = _header_names(listing, line, header)
    for line, record in records:
        if isinstance(record, csv.Error):
            listing.fault(line, "", lines[line - 1].rstrip("\r\n"), _broken(record), _QUOTING)
        elif any(value.strip() for value in record):
            _add_csv_row(listing, line, names, record)
    return listing


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
        yield at + 1, csv.Error("too many broken lines, the rest was not checked")


def _broken(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end" in text or "field limit" in text:
        return "broken quoting: a quoted value is never closed"
    return f"broken quoting: {text}"


def _header_names(listing: Listing, line: int, header: list[str]) -> list[str | None]:
    names: list[str | None] = []
    for title in header:
        name = column_named(title)
        if name is None:
            listing.fault(line, title, title, "unknown column", suggestion(title))
        elif name in names:
            listing.fault(line, name, title, "duplicate column", "keep one of the two")
            name = None
        names.append(name)
    for name in (*REQUIRED, "document_number"):
        both = name == "document_number" and "resident_id_number" in names
        if name not in names and not both:
            listing.fault(line, name, "", "required column missing", f"add a column {name}")
    return names


def _add_csv_row(listing: Listing, line: int, names: list[str | None], record: list[str]) -> None:
    if len(record) != len(names):
        problem = f"wrong column count: {len(record)}, the header has {len(names)}"
        remedy = "give every column a value or leave it blank; quote values that hold a comma"
        listing.fault(line, "", f"{len(record)} columns", problem, remedy)
        return
    values = {name: value for name, value in zip(names, record, strict=True) if name}
    # A required column that the header lacks is one fault there, not one in every line.
    lacking = set(REQUIRED) - values.keys()
    if not values.keys() & {"resident_id_number", "document_number"}:
        lacking.add("document_number")
    listing.rows.append(Row(line, values, frozenset(lacking)))


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
        reader.listing.fault(1, "", "[", "a JSON list, not JSON Lines", _ONE_A_LINE)
        return reader.listing
    for line, content in enumerate(text.split("\n"), 1):
        if reader.broken == _MOST_BROKEN_LINES:
            problem = "too many broken lines, the rest was not checked"
            reader.listing.fault(line, "", "", problem, _ONE_A_LINE)
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
        self.listing.fault(line, "", content.strip(), problem, _ONE_A_LINE)

    def _add(self, line: int, members: _Object) -> None:
        row = _JsonRow(self.listing, line)
        for title, value in members:
            if nested := nested_named(title):
                self._add_nested(row, nested, value)
            elif name := column_named(title):
                row.put(name, value)
            else:
                self._report_unknown(line, title, suggestion(title))
        if any(text.strip() for text in row.values.values()) or row.faulty:
            self.listing.rows.append(Row(line, row.values, frozenset(row.faulty)))

    def _add_nested(self, row: "_JsonRow", nested: str, value: object) -> None:
        path = NESTED[nested]
        records = FILE_BY_PATH[path].records
        if nested == "bank_link":
            value, records = [value] if value is not None else [], 1
        if value is not None and not isinstance(value, list):
            row.refuse(nested, value, "not a list", "write a list of objects: [{…}, {…}]")
            return
        entries = value or []
        if len(entries) > records:
            problem = f"too many: {len(entries)} entries, the card holds {records}"
            row.refuse(nested, f"{len(entries)} entries", problem, f"keep {records} of them")
        for number, entry in enumerate(entries[:records], 1):
            if isinstance(entry, _Object):
                self._add_entry(row, nested, number, entry)
            else:
                row.refuse(nested, entry, "not an object", "write it as {…} with named members")

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
                self._report_unknown(row.line, f"{nested}.{title}", f"its members are {known}")

    def _report_unknown(self, line: int, title: str, remedy: str) -> None:
        if title not in self._unknown:
            self._unknown.add(title)
            self.listing.fault(line, title, title, "unknown column", remedy)


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
        self.faulty: set[str] = set()
        self._listing = listing

    def refuse(self, name: str, value: object, problem: str, remedy: str) -> None:
        """One fault of this row, unless the field has one already."""
        if name not in self.faulty:
            self.faulty.add(name)
            self._listing.fault(self.line, name, _shown(value), problem, remedy)

    def put(self, column: str, value: object) -> None:
        """Take a member's text; anything else than text or null is a fault."""
        if column in self.values or column in self.faulty:
            self.refuse(column, "", "given twice", "keep one of the two")
        elif value is None:
            self.values[column] = ""
        elif isinstance(value, _Number):
            remedy = f'put it in quotes, with its leading zeros: "{printable(value)}"'
            self.refuse(column, value, "a number, not text", remedy)
        elif isinstance(value, bool):
            self.refuse(column, value, "true or false, not text", 'write "1" for yes, "0" for no')
        elif isinstance(value, str):
            self.values[column] = value
        else:
            self.refuse(column, value, "not text", "write the value in quotes")
