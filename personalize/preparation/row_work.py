"""What is done with the rows of a list one by one: to check them, and to make cards of them.

These are functions of rows alone, so any process of any machine can run them: they know no key and
nothing of other rows. What rows are to each other is in `across_rows`.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import NamedTuple

from ..listing.columns import PHOTO_COLUMN
from ..listing.consistency import Resident, compact, one_a_column, resident_of, validate
from ..listing.holders import holders, numbers_of
from ..listing.list_faults import ListFault
from ..listing.photos import PhotoError, PhotoShop, Picture
from ..listing.rounding import Rounded
from ..listing.rows import Row
from ..listing.source import ListChanged
from ..listing.spreadsheet import damage_in
from .groupings import lay_out, with_security_code
from .prepared import PreparedCard

PHOTO_MARK = 16
"""Bytes of a photo's hash that are kept until its card is made."""

_NO_PHOTO = bytes(PHOTO_MARK)


class HolderNumber(NamedTuple):
    """A number of a resident, in the form to compare, and the column that has it.

    A number that a spreadsheet damaged is nobody's: `is_own` is False.
    """

    number: str
    column: str
    is_own: bool


class PhotoNote(NamedTuple):
    """What is kept of a photo until its card is made: the step that fits it, its mark."""

    step: int = 0
    mark: bytes = _NO_PHOTO


class CheckedRow(NamedTuple):
    """What one row says for itself: its faults, its numbers, the fingerprint of its photo."""

    line: int
    faults: tuple[ListFault, ...]
    numbers: tuple[HolderNumber, ...]
    fingerprint: bytes | None
    photo: PhotoNote


@dataclass(frozen=True, slots=True)
class CheckRules:
    """What checking a row depends on besides the row."""

    issue_date: date
    rounded: Rounded
    photos: PhotoShop


@dataclass(frozen=True, slots=True)
class MakeRules:
    """What making a card depends on besides the row; `spec_version` is the issuer's, as text."""

    issue_date: date
    spec_version: str
    photos: PhotoShop


class RowToMake(NamedTuple):
    """A row without faults, the number of its card, and what is known of its photo."""

    number: int
    row: Row
    photo: PhotoNote


class MadeRow(NamedTuple):
    """A card that lacks its security code, its card number, and the numbers of its holder."""

    card: PreparedCard
    card_number: str
    holders: tuple[str, ...]


def check_rows(rules: CheckRules, rows: Sequence[Row]) -> list[CheckedRow]:
    """Check each row for itself."""
    return [check_row(rules, row)[1] for row in rows]


def check_row(rules: CheckRules, row: Row) -> tuple[Resident, CheckedRow]:
    """Check one row: its values, its numbers and its photo."""
    resident, faults = validate(row, rules.issue_date, rules.rounded)
    numbers = tuple(
        HolderNumber(number, column, not (rules.rounded.holds(column, number)
                                          or damage_in(column, number)))
        for number, column in numbers_of(resident.values).items()
    )  # fmt: skip
    picture, note = None, PhotoNote()
    name = resident.values.get(PHOTO_COLUMN)
    if name and not any(fault.field == PHOTO_COLUMN for fault in faults):
        try:
            picture = rules.photos.picture(name)
            note = PhotoNote(picture.step, _mark(picture))
        except PhotoError as error:
            faults = one_a_column([*faults, row.fault(PHOTO_COLUMN, error.wrong)])
    fingerprint = picture.fingerprint if picture else None
    return resident, CheckedRow(row.line, faults, numbers, fingerprint, note)


def make_rows(rules: MakeRules, rows: Iterable[RowToMake]) -> list[MadeRow]:
    """Make the card of each row; ListChanged when a photo is not the one that was checked."""
    return [_make_row(rules, *each) for each in rows]


def _make_row(rules: MakeRules, number: int, row: Row, note: PhotoNote) -> MadeRow:
    resident = resident_of(row)
    name, jpeg = resident.values.get(PHOTO_COLUMN), None
    if name:
        try:
            picture = rules.photos.picture(name, note.step)
        except PhotoError:
            picture = None
        if picture is None or _mark(picture) != note.mark:
            raise ListChanged(
                f"the photo of line {row.line} was changed while the list was prepared. Start the"
                " command again"
            )
        jpeg = picture.jpeg
    card = laid_out(number, resident, rules.spec_version, compact(rules.issue_date), jpeg)
    return MadeRow(card, resident.values["card_number"], tuple(sorted(holders(resident.values))))


def laid_out(
    number: int, resident: Resident, spec_version: str, issued: str, jpeg: bytes | None
) -> PreparedCard:
    """Card `number` of its batch, without its security code. It is issued on YYYYMMDD."""
    issuer_fields = {"spec_version": spec_version, "issue_date": issued}
    return PreparedCard(number, resident.line, lay_out(resident.values, issuer_fields, jpeg))


def with_code(card: PreparedCard, code: str) -> PreparedCard:
    """The card with its security code."""
    return replace(card, groupings=with_security_code(card.groupings, code))


def _mark(picture: Picture) -> bytes:
    return hashlib.sha256(picture.jpeg).digest()[:PHOTO_MARK]


class PhotoNotes:
    """The note of each row's photo, in 17 bytes a row."""

    def __init__(self) -> None:
        self._steps, self._marks = bytearray(), bytearray()

    def add(self, note: PhotoNote) -> None:
        """Keep the note of the next row."""
        self._steps.append(note.step)
        self._marks += note.mark

    def __iter__(self) -> Iterator[PhotoNote]:
        for place, step in enumerate(self._steps):
            yield PhotoNote(step, bytes(self._marks[place * PHOTO_MARK : (place + 1) * PHOTO_MARK]))
