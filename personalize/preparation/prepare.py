"""From a list to prepared cards: read it, validate each row, make a card of each resident.

Reading and validating need no keys and write nothing. Only when no row has a fault are cards made.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from cardlib.keys.issuer import Issuer

from ..listing.code_map import CodeMap, MappedColumn, map_rows
from ..listing.columns import PHOTO_COLUMN
from ..listing.consistency import Resident, Validated, compact, one_a_column, validate
from ..listing.fault_codes import FaultCode
from ..listing.holders import numbers_of
from ..listing.list_defaults import FilledColumn, ListDefaults, fill_in
from ..listing.list_faults import ListFault, Wrong
from ..listing.list_rows import read_rows, read_sheet_rows
from ..listing.photos import PhotoError, PhotoShop
from ..listing.rounding import Rounded, rounded_numbers
from ..listing.rows import Row
from ..listing.source import Encoding, read_source
from ..listing.spreadsheet import damage_in
from .groupings import lay_out
from .prepared import PreparedCard


@dataclass(frozen=True, slots=True)
class ResidentList:
    """A list of residents as read: its rows, and the faults of its form.

    `name` is the file's name, `sha256` (hex) names its bytes, `sheet` is the sheet of a workbook.
    `mapped` is what a map of code values changed, `filled` what the defaults gave, `why_no_city`
    why the default city was not taken.
    """

    name: str
    sha256: str
    rows: tuple[Row, ...]
    faults: tuple[ListFault, ...]
    mapped: tuple[MappedColumn, ...] = ()
    filled: tuple[FilledColumn, ...] = ()
    why_no_city: str = ""
    is_workbook: bool = False
    sheet: str = ""


def read_list(
    path: Path,
    encoding: Encoding = "utf-8",
    code_map: CodeMap | None = None,
    defaults: ListDefaults | None = None,
    sheet: str | None = None,
) -> ResidentList:
    """Read a list: CSV, JSON Lines or an Excel workbook; OSError when the file cannot be read.

    Of a workbook it is the only sheet with content, or the named `sheet`. With a map, the rows
    have the card's codes in the place of the list's own. Defaults are for columns that the list
    lacks.
    """
    source = read_source(path, encoding, workbooks=True)
    if source.faults:
        return ResidentList(path.name, source.sha256, (), source.faults)
    if source.workbook:
        listing = read_sheet_rows(source.workbook, sheet)
    else:
        listing = read_rows(source.text, is_json=source.is_json)
    faults = tuple(listing.faults)
    residents = ResidentList(
        path.name,
        source.sha256,
        tuple(listing.rows),
        faults,
        is_workbook=bool(source.workbook),
        sheet=listing.sheet,
    )
    if code_map is not None:
        found = map_rows(listing.rows, code_map)
        faults += found.faults
        residents = replace(residents, rows=found.rows, faults=faults, mapped=found.columns)
    if defaults is None:
        return residents
    given = fill_in(residents.rows, residents.faults, defaults)
    return replace(
        residents,
        rows=given.rows,
        faults=given.faults,
        filled=given.filled,
        why_no_city=given.why_no_city,
    )


def validate_all(
    residents: ResidentList, photos: PhotoShop, issue_date: date
) -> Iterator[Validated]:
    """Validate each resident of a list in order: values, duplicates and photo."""
    seen: dict[str, tuple[int, str]] = {}
    shown: dict[bytes, int] = {}
    rounded = rounded_numbers(residents.rows)
    for row in residents.rows:
        resident, faults = validate(row, issue_date, rounded)
        doubles = _duplicates(row, resident, seen, rounded)
        pictures = _photo_faults(row, resident, faults, photos, seen, shown)
        yield resident, one_a_column([*faults, *doubles, *pictures])


def all_faults(residents: ResidentList, validated: Iterable[Validated]) -> list[ListFault]:
    """The faults of a list and of its residents, by line."""
    faults = [*residents.faults, *(fault for _, found in validated for fault in found)]
    return sorted(faults, key=lambda fault: fault.line)


def make_all(
    validated: Iterable[Validated], photos: PhotoShop, issuer: Issuer, issue_date: date
) -> Iterator[PreparedCard]:
    """Make the cards of residents without faults, in order, each when it is asked for."""
    for number, (resident, _) in enumerate(validated, 1):
        photo = resident.values.get(PHOTO_COLUMN)
        yield make(number, resident, issuer, issue_date, photos.jpeg(photo) if photo else None)


def make(
    number: int, resident: Resident, issuer: Issuer, issue_date: date, jpeg: bytes | None = None
) -> PreparedCard:
    """Make the card of one resident without faults: card `number` of its batch."""
    issued = compact(issue_date)
    issuer_fields = {
        "spec_version": issuer.spec.text,
        "issue_date": issued,
        "security_code": issuer.security_code(resident.values["card_number"], issued),
    }
    return PreparedCard(number, resident.line, lay_out(resident.values, issuer_fields, jpeg))


def _duplicates(
    row: Row, resident: Resident, seen: dict[str, tuple[int, str]], rounded: Rounded
) -> Iterator[ListFault]:
    """A number of this resident that an earlier one has, in whichever column.

    A number that a spreadsheet damaged is nobody's: it has its own fault.
    """
    for number, column in numbers_of(resident.values).items():
        if rounded.holds(column, number) or damage_in(column, number):
            continue
        line, where = seen.setdefault(number, (row.line, column))
        if line != row.line:
            as_what = "" if where == column else f", where it is in {row.headers.named(where)}"
            remedy = "a resident gets one card only: remove one of the lines, or correct the number"
            problem = f"duplicate of line {line}{as_what}"
            yield row.fault(column, Wrong(FaultCode.DUPLICATE_HOLDER, problem, remedy))


def _photo_faults(
    row: Row,
    resident: Resident,
    faults: Iterable[ListFault],
    photos: PhotoShop,
    seen: Mapping[str, tuple[int, str]],
    shown: dict[bytes, int],
) -> Iterator[ListFault]:
    """What is wrong with the photo, or the line of another resident that has the same picture."""
    name = resident.values.get(PHOTO_COLUMN)
    if not name or any(fault.field == PHOTO_COLUMN for fault in faults):
        return
    try:
        fingerprint = photos.fingerprint(name)
    except PhotoError as error:
        yield row.fault(PHOTO_COLUMN, error.wrong)
        return
    line = shown.setdefault(fingerprint, row.line) if fingerprint else row.line
    of_resident = {seen[n][0] for n in numbers_of(resident.values) if n in seen}
    if line not in (row.line, *of_resident):
        which = f"line {line} or line {row.line}"
        remedy = f"find out whom it shows, and name the right photo in {which}"
        wrong = Wrong(FaultCode.DUPLICATE_PHOTO, f"same photo as line {line}", remedy)
        yield row.fault(PHOTO_COLUMN, wrong)
