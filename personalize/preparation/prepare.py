"""From a list to prepared cards: read it, check each row, make a card of each resident.

Reading and checking need no keys and write nothing. Only when no row has a fault are cards made.
Here that is for lists that memory can hold; `many_residents` does it with lists of any length.
"""

from collections.abc import Iterable, Iterator
from datetime import date

from cardlib.keys.issuer import Issuer

from ..listing.columns import PHOTO_COLUMN
from ..listing.consistency import Resident, Validated, compact
from ..listing.list_faults import ListFault
from ..listing.photos import PhotoShop
from ..listing.resident_list import ResidentList, read_list
from .across_rows import AcrossRows
from .prepared import PreparedCard
from .row_work import CheckRules, check_row, laid_out, with_code

__all__ = ("ResidentList", "all_faults", "make", "make_all", "read_list", "validate_all")


def validate_all(
    residents: ResidentList, photos: PhotoShop, issue_date: date
) -> Iterator[Validated]:
    """Validate each resident of a list in order: values, duplicates and photo."""
    rules, across = CheckRules(issue_date, residents.rounded, photos), AcrossRows()
    for row in residents.rows:
        resident, checked = check_row(rules, row)
        yield resident, across.faults(row, checked)


def all_faults(residents: ResidentList, validated: Iterable[Validated]) -> list[ListFault]:
    """The faults of a list and of its residents, by line."""
    return by_line(residents, (fault for _, found in validated for fault in found))


def by_line(residents: ResidentList, faults: Iterable[ListFault]) -> list[ListFault]:
    """The faults of a list's form and of its rows, by line."""
    return sorted([*residents.faults, *faults], key=lambda fault: fault.line)


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
    code = issuer.security_code(resident.values["card_number"], issued)
    return with_code(laid_out(number, resident, issuer.spec.text, issued, jpeg), code)
