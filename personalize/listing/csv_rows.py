"""Rows from CSV (RFC 4180)."""

import csv
import io
import itertools
from collections.abc import Iterator

from .csv_form import NO_HEADER, NOT_CHECKED, Untitled, broken, no_title, separator_of, too_many
from .fault_codes import FaultCode
from .headers import Headers
from .list_faults import Wrong
from .rows import MOST_BROKEN_LINES, Listing, Row, header_names, heading, lacking
from .texts import Texts


def read_csv(text: str) -> Listing:
    """The rows of a CSV text; what cannot be read is a fault, never an exception."""
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
    elif found := too_many(header) or heading(header):
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
    names, headers = header_names(listing, header_line, header)
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
    for _ in range(MOST_BROKEN_LINES):
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
    listing.rows.append(Row(line, Texts(values), lacking(values.keys()), headers))
