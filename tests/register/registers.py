"""Registers for tests, in SQLite and in a real PostgreSQL."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cardlib.errors import CardKeyError
from cardlib.facts import ChipSerial
from personalize.register.bureau import BatchFacts, Register
from personalize.register.opening import open_register
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


Opening = Callable[[], Register]
