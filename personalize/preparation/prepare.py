"""A list of residents to prepared cards, or to every fault it has."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from ..listing.columns import PHOTO_COLUMN
from ..listing.consistency import Resident, check_row, compact
from ..listing.holders import numbers_of
from ..listing.list_faults import ListFault
from ..listing.photos import PhotoError, PhotoShop
from ..listing.rows import read_rows
from ..listing.source import Encoding, read_source
from .groupings import lay_out, security_input
from .prepared import PreparedCard

SecurityCode = Callable[[bytes, bytes], str]
"""(card number as stored, 18 bytes; issue date as stored, 4 bytes) → three digits."""

Progress = Callable[[int, int], None]
"""(residents done, residents in all)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareOptions:
    """What the batch is prepared with.

    `photo_folder` is the input's own folder unless given; `progress` is called for each resident.
    `security_code` and `spec_version` are the key store's, asked for once there is no fault.
    """

    security_code: SecurityCode
    encoding: Encoding = "utf-8"
    photo_folder: Path | None = None
    issue_date: date = field(default_factory=date.today)
    spec_version: Callable[[], str] = lambda: "2.0"
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class Preparation:
    """What came of an input: its cards, or its faults, never some of each.

    `residents` counts the rows that could be read, `source_sha256` is hex.
    """

    faults: list[ListFault]
    cards: list[PreparedCard]
    residents: int
    source_sha256: str


def prepare(input: Path, options: PrepareOptions) -> Preparation:
    """Read, check and prepare a list of residents, CSV or JSON Lines.

    Faults of the input come back, sorted by line; OSError when the file cannot be read.
    """
    source = read_source(input, options.encoding)
    if source.faults:
        return Preparation(list(source.faults), [], 0, source.sha256)
    listing = read_rows(source.text, is_json=source.is_json)
    shop = PhotoShop(input.parent if options.photo_folder is None else options.photo_folder)
    residents: list[Resident] = []
    seen: dict[str, tuple[int, str]] = {}
    for done, row in enumerate(listing.rows, 1):
        resident = check_row(row, options.issue_date)
        _check_duplicate(resident, seen)
        _check_photo(resident, shop)
        residents.append(resident)
        if options.progress:
            options.progress(done, len(listing.rows))
    faults = [*listing.faults, *(f for resident in residents for f in resident.faults)]
    faults.sort(key=lambda fault: fault.line)
    cards = [] if faults else _cards(residents, shop, options)
    return Preparation(faults, cards, len(residents), source.sha256)


def _check_duplicate(resident: Resident, seen: dict[str, tuple[int, str]]) -> None:
    """A number of this resident that an earlier one has, in whichever column."""
    for number, column in numbers_of(resident.values).items():
        line, where = seen.setdefault(number, (resident.line, column))
        if line != resident.line:
            as_what = "" if where == column else f", where it is the {where}"
            remedy = f"{number} is one resident, who gets one card: remove a line, or correct it"
            resident.fault(column, f"duplicate of line {line}{as_what}", remedy)


def _check_photo(resident: Resident, shop: PhotoShop) -> None:
    if resident.sound(PHOTO_COLUMN):
        try:
            shop.jpeg(resident.values[PHOTO_COLUMN])
        except PhotoError as error:
            resident.fault(PHOTO_COLUMN, error.problem, error.remedy)


def _cards(
    residents: list[Resident], shop: PhotoShop, options: PrepareOptions
) -> list[PreparedCard]:
    return [_card(number, resident, shop, options) for number, resident in enumerate(residents, 1)]


def _card(
    number: int, resident: Resident, shop: PhotoShop, options: PrepareOptions
) -> PreparedCard:
    values = resident.values
    issue_date = compact(options.issue_date)
    photo = values.get(PHOTO_COLUMN)
    issuer_fields = {
        "spec_version": options.spec_version(),
        "issue_date": issue_date,
        "security_code": options.security_code(*security_input(values["card_number"], issue_date)),
    }
    laid = lay_out(values, issuer_fields, shop.jpeg(photo) if photo else None)
    return PreparedCard(
        number=number,
        line=resident.line,
        card_number=values["card_number"],
        name=values["name"],
        city_code=values["city_code"],
        values=laid.values,
        groupings=laid.groupings,
    )
