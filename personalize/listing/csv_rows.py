"""Rows from CSV (RFC 4180)."""

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .csv_form import NO_HEADER, NOT_CHECKED, Untitled, broken, no_title, separator_of, too_many
from .fault_codes import FaultCode
from .headers import Headers
from .list_faults import Wrong
from .rows import MOST_BROKEN_LINES, Listing, Row, header_names, heading, lacking
from .texts import Texts


class _Record(NamedTuple):
    """A record with the line that it begins on, and that line; or why it is broken."""

    line: int
    values: list[str] | csv.Error
    text: str


class _Lines(Iterator[str]):
    """Lines that can be gone back to, from the one where the last record began."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._rest = iter(lines)
        self._read: deque[str] = deque()
        self._at = 0

    def __next__(self) -> str:
        if self._at == len(self._read):
            self._read.append(next(self._rest))
        self._at += 1
        return self._read[self._at - 1]

    def first(self) -> str:
        """The line where the record began; "" at the end."""
        return self._read[0] if self._read else ""

    def forget(self) -> None:
        """The next record begins at the next line."""
        for _ in range(self._at):
            self._read.popleft()
        self._at = 0

    def go_back(self) -> None:
        """Begin the next record one line after the one where this one began."""
        self._at = min(1, self._at)
        self.forget()


def rows_of_csv(lines: Iterable[str], listing: Listing) -> Iterator[Row]:
    """Each row of a CSV text; what cannot be read is a fault of the listing, never an exception."""
    rest = iter(lines)
    start = [next(rest, ""), next(rest, "")]
    separator = separator_of(start)
    if isinstance(separator, Wrong):
        listing.fault(1, "", start[0].strip(), separator)
        return
    delimiter, is_named = separator
    records = _records(_again(start, rest, is_named=is_named), delimiter)
    line, header, text = next(
        (r for r in records if isinstance(r.values, csv.Error) or any(map(str.strip, r.values))),
        _Record(1, csv.Error(NO_HEADER), start[0]),
    )
    if isinstance(header, csv.Error):
        code, problem, remedy = broken(header, text)
        listing.fault(line, "", "", Wrong(code, f"broken header: {problem}", remedy))
    elif found := too_many(header) or heading(header):
        listing.fault(line, "", "", found)
    else:
        yield from _rows(listing, records, line, header)


def _again(start: list[str], rest: Iterator[str], *, is_named: bool) -> _Lines:
    """All lines; a first one that only names the separator is blank."""

    def lines() -> Iterator[str]:
        yield from (line for line in ("\n" if is_named else start[0], start[1]) if line)
        yield from rest

    return _Lines(lines())


def _rows(
    listing: Listing, records: Iterator[_Record], header_line: int, header: list[str]
) -> Iterator[Row]:
    names, headers = header_names(listing, header_line, header)
    untitled = Untitled(header)
    for line, record, text in records:
        if isinstance(record, csv.Error):
            listing.fault(line, "", text.rstrip("\r\n"), broken(record, text))
        elif any(value.strip() for value in record):
            if len(record) == len(header):
                for place in untitled.first_values(record):
                    listing.fault(header_line, "", "", no_title(place, line))
                yield _row(line, names, record, headers)
            else:
                _tell_count(listing, line, len(names), record)


def _records(lines: _Lines, delimiter: str) -> Iterator[_Record]:
    """Each record with the line it begins on; after a broken one, reading resumes a line later."""
    at = 0
    for _ in range(MOST_BROKEN_LINES):
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        start, before = at, 0
        try:
            for record in reader:
                yield _Record(start + 1, record, lines.first())
                lines.forget()
                start, before = start + reader.line_num - before, reader.line_num
            return
        except csv.Error as error:
            yield _Record(start + 1, error, lines.first())
            at = start + 1
            lines.go_back()
    if next(lines, None) is not None:
        yield _Record(at + 1, csv.Error(NOT_CHECKED), lines.first())


def _tell_count(listing: Listing, line: int, wanted: int, record: list[str]) -> None:
    problem = f"wrong column count: {len(record)}, the header has {wanted}"
    remedy = (
        "write as many values as the header has columns; put a value that contains the"
        " separator in quotes"
    )
    wrong = Wrong(FaultCode.WRONG_COLUMN_COUNT, problem, remedy)
    listing.fault(line, "", f"{len(record)} columns", wrong)


def _row(line: int, names: list[str | None], record: list[str], headers: Headers) -> Row:
    values = {name: value for name, value in zip(names, record, strict=True) if name}
    return Row(line, Texts(values), lacking(values.keys()), headers)
