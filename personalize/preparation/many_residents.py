"""Lists of any length: checked, and made into cards, by several processes, in constant memory.

The rows are read twice: to check them all, and to make cards when no fault was found. Between, a
few bytes of each resident are kept: the numbers and photos that nobody else may have.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from itertools import islice
from typing import TypeVar

from cardlib.keys.issuer import Issuer

from ..listing.consistency import compact
from ..listing.list_faults import ListFault
from ..listing.photos import PhotoShop
from ..listing.resident_list import ResidentList
from ..listing.source import ListChanged
from .across_rows import AcrossRows
from .prepare import by_line
from .prepared import PreparedCard
from .row_work import (
    CheckRules,
    MakeRules,
    PhotoNotes,
    RowToMake,
    check_rows,
    make_rows,
    with_code,
)
from .workers import Workers

CHUNK = 100
"""Residents that a process gets at a time; their numbers fit into one request to a key agent."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class CheckedList:
    """The faults of a list and of its residents, by line, and the notes of the photos."""

    faults: list[ListFault]
    photos: PhotoNotes = field(repr=False)


def check_list(
    residents: ResidentList,
    photos: PhotoShop,
    issue_date: date,
    workers: Workers,
    done: Callable[[int], None] = lambda count: None,
) -> CheckedList:
    """Check each resident of a list: values, duplicates and photo. `done` is told how many are."""
    rules = CheckRules(issue_date, residents.rounded, photos)
    across, notes, faults, count = AcrossRows(), PhotoNotes(), list[ListFault](), 0
    for rows, checked in workers.run(partial(check_rows, rules), _chunks(residents.rows)):
        for row, each in zip(rows, checked, strict=True):
            faults += across.faults(row, each)
            notes.add(each.photo)
        count += len(rows)
        done(count)
    return CheckedList(by_line(residents, faults), notes)


def made_cards(
    residents: ResidentList,
    checked: CheckedList,
    photos: PhotoShop,
    issuer: Issuer,
    issue_date: date,
    workers: Workers,
) -> Iterator[PreparedCard]:
    """Make the cards of a checked list without faults, in order.

    ListChanged when the list or a photo is not what was checked. The issuer is asked in groups.
    """
    rules = MakeRules(issue_date, issuer.spec.text, photos)
    chunks = _chunks(_to_make(residents, checked))
    issued = compact(issue_date)
    for _, made in workers.run(partial(make_rows, rules), chunks):
        codes = issuer.security_codes([each.card_number for each in made], issued)
        issuer.holder_hashes([number for each in made for number in each.holders])
        for each, code in zip(made, codes, strict=True):
            yield with_code(each.card, code)


def _to_make(residents: ResidentList, checked: CheckedList) -> Iterator[RowToMake]:
    notes = iter(checked.photos)
    for number, row in enumerate(residents.rows, 1):
        note = next(notes, None)
        if note is None:
            raise ListChanged(
                f"{residents.name} was changed while it was read. Start the command again"
            )
        yield RowToMake(number, row, note)


def _chunks(items: Iterable[_T]) -> Iterator[tuple[_T, ...]]:
    rest = iter(items)
    while chunk := tuple(islice(rest, CHUNK)):
        yield chunk
