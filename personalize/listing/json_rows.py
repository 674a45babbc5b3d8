"""Rows from JSON Lines."""

import json
from collections.abc import Iterable, Iterator

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
from .csv_form import MOST_COLUMNS, NOT_CHECKED, too_many
from .fault_codes import FaultCode
from .headers import Headers, suggestion
from .list_faults import Wrong, printable
from .rows import MOST_BROKEN_LINES, Listing, Row, unknown_column
from .texts import Texts

_ONE_A_LINE = "write one JSON object on each line, with names and values in double quotes"
_GIVEN_TWICE = Wrong(FaultCode.DUPLICATE_COLUMN, "given twice", "keep one of the two members")


class _Number(str):
    """A JSON number, kept as it was written."""

    __slots__ = ()


class _Object(tuple[tuple[str, object], ...]):
    """A JSON object as its members in order, so that duplicates are seen."""

    __slots__ = ()


def rows_of_json(lines: Iterable[str], listing: Listing) -> Iterator[Row]:
    r"""Each row of JSON Lines, which end in \n; what cannot be read is a fault of the listing."""
    reader = _JsonReader(listing)
    is_first = True
    for line, content in enumerate(lines, 1):
        if reader.broken == MOST_BROKEN_LINES:
            wrong = Wrong(FaultCode.NOT_CHECKED, NOT_CHECKED, _ONE_A_LINE)
            listing.fault(line, "", "", wrong)
            return
        if not content.strip():
            continue
        if is_first and content.lstrip().startswith("["):
            wrong = Wrong(FaultCode.NOT_JSON_LINES, "a JSON list, not JSON Lines", _ONE_A_LINE)
            listing.fault(1, "", "[", wrong)
            return
        is_first = False
        if row := reader.row(line, content.removesuffix("\n")):
            yield row


class _JsonReader:
    """Rows from JSON lines; a member that no field has is one fault, at its first line."""

    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        self.broken = 0
        self._unknown: set[str] = set()

    def row(self, line: int, content: str) -> Row | None:
        """The row of one line; None if it has none, or only a fault."""
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
                return self._row(line, found)
            problem = "not a JSON object"
        self.broken += 1
        wrong = Wrong(FaultCode.BROKEN_JSON, problem, _ONE_A_LINE)
        self.listing.fault(line, "", content.strip(), wrong)
        return None

    def _row(self, line: int, members: _Object) -> Row | None:
        row = _JsonRow(self.listing, line)
        if found := too_many([title for title, _ in members]):
            self.listing.fault(line, "", "", found)
            return None
        for title, value in members:
            if nested := nested_named(title):
                self._add_nested(row, nested, value)
            elif name := column_named(title):
                row.put(name, value, title)
            else:
                self._report_unknown(line, title, suggestion(title))
        if any(text.strip() for text in row.values.values()) or row.faulty:
            return Row(line, Texts(row.values), frozenset(row.faulty), Headers(row.titles))
        return None

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
                self.listing.fault(line, title, title, unknown_column(remedy))


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
