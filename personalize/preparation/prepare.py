"""From a list to prepared cards: read it, validate each row, make a card of each resident.

Reading and validating need no keys and write nothing. Only when no row has a fault are cards made.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from cardlib.keys import Issuer

from ..listing.columns import PHOTO_COLUMN
from ..listing.consistency import Resident, check_row, compact
from ..listing.holders import numbers_of
from ..listing.list_faults import ListFault
from ..listing.photos import PhotoError, PhotoShop
from ..listing.rows import Row, read_rows
from ..listing.source import Encoding, read_source
from .groupings import lay_out
from .prepared import PreparedCard


@dataclass(frozen=True, slots=True)
class ResidentList:
    """A list of residents as read: its rows, and the faults of its form.

    `name` is the file's name, `sha256` (hex) names its bytes.
    """

    name: str
    sha256: str
    rows: tuple[Row, ...]
    faults: tuple[ListFault, ...]


def read_list(path: Path, encoding: Encoding = "utf-8") -> ResidentList:
    """Read a list of residents, CSV or JSON Lines; OSError when the file cannot be read."""
    source = read_source(path, encoding)
    if source.faults:
        return ResidentList(path.name, source.sha256, (), source.faults)
    listing = read_rows(source.text, is_json=source.is_json)
    return ResidentList(path.name, source.sha256, tuple(listing.rows), tuple(listing.faults))


def validate(residents: ResidentList, photos: PhotoShop, issue_date: date) -> Iterator[Resident]:
    """Each resident of a list in order, with every fault of its row, its photo, or a double."""
    seen: dict[str, tuple[int, str]] = {}
    for row in residents.rows:
        resident = check_row(row, issue_date)
        _check_duplicate(resident, seen)
        _check_photo(resident, photos)
        yield resident


def all_faults(residents: ResidentList, validated: Iterable[Resident]) -> list[ListFault]:
    """The faults of a list and of its residents, by line."""
    faults = [*residents.faults, *(fault for each in validated for fault in each.faults)]
    return sorted(faults, key=lambda fault: fault.line)


def make_all(
    validated: Sequence[Resident], photos: PhotoShop, issuer: Issuer, issue_date: date
) -> Iterator[PreparedCard]:
    """The cards of residents without faults, in order, each made when it is asked for."""
    for number, resident in enumerate(validated, 1):
        photo = resident.values.get(PHOTO_COLUMN)
        yield make(number, resident, issuer, issue_date, photos.jpeg(photo) if photo else None)


def make(
    number: int, resident: Resident, issuer: Issuer, issue_date: date, jpeg: bytes | None = None
) -> PreparedCard:
    """The card of one resident without faults, as number `number` of its batch."""
    issued = compact(issue_date)
    issuer_fields = {
        "spec_version": issuer.spec.text,
        "issue_date": issued,
        "security_code": issuer.security_code(resident.values["card_number"], issued),
    }
    return PreparedCard(number, resident.line, lay_out(resident.values, issuer_fields, jpeg))


def _check_duplicate(resident: Resident, seen: dict[str, tuple[int, str]]) -> None:
    """A number of this resident that an earlier one has, in whichever column."""
    for number, column in numbers_of(resident.values).items():
        line, where = seen.setdefault(number, (resident.line, column))
        if line != resident.line:
            as_what = "" if where == column else f", where it is the {where}"
            remedy = f"{number} is one resident, who gets one card: remove a line, or correct it"
            resident.fault(column, f"duplicate of line {line}{as_what}", remedy)


def _check_photo(resident: Resident, photos: PhotoShop) -> None:
    if resident.sound(PHOTO_COLUMN):
        try:
            photos.jpeg(resident.values[PHOTO_COLUMN])
        except PhotoError as error:
            resident.fault(PHOTO_COLUMN, error.problem, error.remedy)
