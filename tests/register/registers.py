"""Registers for tests, in SQLite and in a real PostgreSQL."""

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from cardlib.errors import CardKeyError
from cardlib.facts import ChipSerial
from personalize.register import schema
from personalize.register.bureau import BatchFacts, Register, RegisterReader
from personalize.register.checkpoints import make_checkpoint
from personalize.register.opening import open_register
from personalize.register.states import CardState
from personalize.register.work import LEASE, BatchWork

TAG_KEY = "0" * 32
BATCH = BatchFacts("11111111-1111-1111-1111-111111111111", TAG_KEY, 1, 3)
OTHER = BatchFacts("22222222-2222-2222-2222-222222222222", TAG_KEY, 1, 2)


def tag(name: str) -> bytes:
    """A holder's tag."""
    return hashlib.sha256(name.encode()).digest()


TAGS = {tag("first"): 1, tag("second"): 2, tag("third"): 3}
OTHER_TAGS = {tag("second"): 1, tag("fourth"): 2}


def chip(number: int) -> ChipSerial:
    """A chip serial."""
    return ChipSerial(number.to_bytes(8, "big"))


def seal(number: int, attempt: int) -> tuple[bytes, bytes]:
    """A PIN that a test sealed."""
    return f"mailer {number} {attempt}".encode(), f"claim {number} {attempt}".encode()


class TestSigner:
    """Signs by a hash with a word that only this test knows."""

    __test__ = False

    def sign_checkpoint(self, content: bytes) -> bytes:
        """Sign."""
        return hashlib.sha256(b"known to the test" + content).digest()

    def check_checkpoint(self, content: bytes, signature: bytes) -> None:
        """Check."""
        if signature != self.sign_checkpoint(content):
            raise CardKeyError("it is not signed by this issuer")


@dataclass(frozen=True)
class Place:
    """Where a register of a test is."""

    where: str
    stations: Path

    def open(self, station: str = "one") -> Register:
        """The register for a station."""
        return open_register(self.where, station, self.stations, TAG_KEY, patience=20)

    def work(
        self, register: Register, facts: BatchFacts = BATCH, *, lease: int = LEASE
    ) -> BatchWork:
        """A batch of the register, entered when it is not there yet."""
        register.enter(facts, TAGS if facts is BATCH else OTHER_TAGS)
        return BatchWork(register, facts, lease=lease)


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty database of either kind."""
    if request.param == "SQLite":
        return Place(str(tmp_path / "bureau.sqlite"), tmp_path / "stations")
    url: str = request.getfixturevalue("database_url")
    return Place(url, tmp_path / "stations")


NOT_IN_JOURNAL = {
    ("card", "lease_until"): "a lease is short, and a claim's token counts after it",
    ("card", "problem"): "free text for the operator, which the journal does not keep",
}
"""The columns that the journal does not hold: `verify` and `put_back` cannot tell them."""


def rows_of(reader: RegisterReader) -> dict[str, list[tuple[object, ...]]]:
    """All that the journal holds, by table, in order; without the events' own table."""

    def query(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
        found = {}
        for table in schema.metadata.sorted_tables:
            columns = [c for c in table.c if (table.name, c.name) not in NOT_IN_JOURNAL]
            rows = connection.execute(select(*columns).order_by(*table.primary_key))
            found[table.name] = [tuple(row) for row in rows]
        return found

    return reader.read(query)


def work_a_day(place: Place) -> None:
    """Two stations, two batches, and all that can happen to a card; with two checkpoints."""
    with place.open() as one, place.open("two") as two:
        first, second = place.work(one), place.work(two, OTHER)
        make(first, chip(1))
        first.take(chip(2), seal)
        first.give_up(chip(2))
        first.take(chip(3), seal)
        second.hold(1, chip(77))
        theirs = BatchWork(two, BATCH)
        theirs.take_over(2)
        theirs.advance(2, CardState.ACTIVATING)
        theirs.not_activated(2)
        make_checkpoint(one, TestSigner())
        second.take(chip(4), seal)
        second.release(2)
        first.take(chip(4), seal)
        first.note(3, "the reader lost the card")
        make_checkpoint(two, TestSigner())
        make(second, chip(5))


def make(work: BatchWork, serial: ChipSerial) -> int | None:
    """Make the next card on a chip."""
    number = work.take(serial, seal)
    for state in (CardState.ACTIVATING, CardState.ACTIVE):
        if number is not None:
            work.advance(number, state)
    return number


def copied(where: str, to: Path) -> str:
    """A copy of an SQLite database, also while it is used."""
    with (
        closing(sqlite3.connect(where)) as before,
        closing(sqlite3.connect(to)) as after,
    ):
        before.backup(after)
    return str(to)
