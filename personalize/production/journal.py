"""The journal of a batch: which chip got which card, and how far each one is, on disk first.

One row a card, in SQLite with synchronous=FULL: what a function here returned from is on the disk.
A row holds the card's number within the batch and a keyed hash of its card number, and nothing else
about the resident; UNIQUE on both the hash and the chip is what makes "once" a fact.
"""

import hmac
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any

from cardlib.errors import CardError
from cardlib.facts import ChipSerial

NAME = "journal.sqlite"
_VERSION = 1

_SCHEMA = """
CREATE TABLE batch (identity TEXT NOT NULL);
CREATE TABLE card (
    number  INTEGER PRIMARY KEY,
    holder  BLOB NOT NULL UNIQUE,
    chip    BLOB UNIQUE CHECK (length(chip) = 8),
    state   TEXT NOT NULL,
    problem TEXT NOT NULL DEFAULT '',
    changed TEXT NOT NULL,
    CHECK ((state = 'prepared') = (chip IS NULL))
);
CREATE TABLE spoiled (chip BLOB PRIMARY KEY, number INTEGER NOT NULL, changed TEXT NOT NULL);
"""
_SELECT = "SELECT number, chip, state, problem, changed FROM card"


class JournalConflict(CardError):
    """The journal, the batch and the cards do not agree, or somebody else is at work on them."""


class Stage(StrEnum):
    """How far a card is; each stage is written down before the next one begins."""

    PREPARED = "prepared"
    STARTED = "started"
    PERSONALIZED = "personalized"
    VERIFIED = "verified"
    ACTIVE = "active"


_ORDER = list(Stage)


@dataclass(frozen=True, slots=True)
class Entry:
    """One card's row: its number in the batch, chip serial (8 bytes, None before), and stage."""

    number: int
    chip: ChipSerial | None
    stage: Stage
    problem: str
    changed: str


def _entry(row: tuple[int, bytes | None, str, str, str]) -> Entry:
    chip = None if row[1] is None else ChipSerial(row[1])
    return Entry(row[0], chip, Stage(row[2]), row[3], row[4])


def holder_hash(key: bytes, card_number: str) -> bytes:
    """HMAC-SHA-256 of a card number: tells equal holders without naming them."""
    return hmac.digest(key, card_number.encode(), "sha256")


class Journal:
    """One batch's journal; a context manager that closes it."""

    def __init__(self, database: sqlite3.Connection, path: Path) -> None:
        """Use `open_journal`."""
        self._database, self._path = database, path

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the database back."""
        self._database.close()

    def entries(self) -> tuple[Entry, ...]:
        """All rows in the order of the batch."""
        return tuple(map(_entry, self._rows(f"{_SELECT} ORDER BY number")))

    def entry(self, number: int) -> Entry:
        """One card's row; JournalConflict when the journal has none."""
        rows = self._rows(f"{_SELECT} WHERE number = ?", number)
        if not rows:
            raise JournalConflict(f"{self._path}: has no card {number}")
        return _entry(rows[0])

    def spoiled(self) -> frozenset[ChipSerial]:
        """The chips that were given up: never to be used for this batch again."""
        return frozenset(ChipSerial(chip) for (chip,) in self._rows("SELECT chip FROM spoiled"))

    def start(self, number: int, chip: bytes) -> None:
        """Bind a blank chip (8 bytes) to a card, before the chip is touched."""
        if chip in self.spoiled():
            raise JournalConflict(f"chip {chip.hex().upper()} was given up")
        self._change(number, Stage.PREPARED, Stage.STARTED, chip)

    def release(self, number: int) -> None:
        """Unbind a chip that was found to be still as it was."""
        self._change(number, Stage.STARTED, Stage.PREPARED, None)

    def advance(self, number: int, stage: Stage) -> None:
        """Write down that a card reached the stage after its present one."""
        before = _ORDER[_ORDER.index(stage) - 1]
        self._change(number, before, stage, self.entry(number).chip)

    def note(self, number: int, problem: str) -> None:
        """Keep what went wrong with a card; the text names no resident."""
        with self._committed():
            self._database.execute(
                "UPDATE card SET problem = ?, changed = ? WHERE number = ?",
                (problem, _now(), number),
            )

    def give_up(self, chip: bytes) -> int:
        """Put a card whose chip is lost or broken back to `prepared`; returns its number.

        JournalConflict when the chip is not in this journal, or its card is active already.
        """
        name = chip.hex().upper()
        entry = next((each for each in self.entries() if each.chip == chip), None)
        if entry is None:
            raise JournalConflict(f"{self._path}: no card was started on chip {name}")
        if entry.stage is Stage.ACTIVE:
            raise JournalConflict(f"chip {name}: its card is active; block it and issue anew")
        with self._committed():
            row = (chip, entry.number, _now())
            self._database.execute("INSERT INTO spoiled VALUES (?, ?, ?)", row)
            self._update(entry.number, entry.stage, Stage.PREPARED, None)
        return entry.number

    def _change(self, number: int, before: Stage, after: Stage, chip: bytes | None) -> None:
        with self._committed():
            self._update(number, before, after, chip)

    def _update(self, number: int, before: Stage, after: Stage, chip: bytes | None) -> None:
        done = self._database.execute(
            "UPDATE card SET state = ?, chip = ?, problem = '', changed = ?"
            " WHERE number = ? AND state = ?",
            (after, chip, _now(), number, before),
        )
        if done.rowcount != 1:
            found = self.entry(number).stage
            raise JournalConflict(f"{self._path}: card {number} is {found}, not {before}")

    def _rows(self, query: str, *values: int) -> list[tuple[Any, ...]]:
        try:
            return self._database.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise JournalConflict(f"{self._path}: {error}") from None

    @contextmanager
    def _committed(self) -> Iterator[None]:
        """One transaction: on the disk when this ends, or not done at all."""
        try:
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                yield
        except sqlite3.IntegrityError:
            raise JournalConflict(f"{self._path}: this chip already has another card") from None
        except sqlite3.Error as error:
            raise JournalConflict(f"{self._path}: {error}") from None


def open_journal(folder: Path, identity: str, holders: Iterable[bytes]) -> Journal:
    """Open a batch's journal, or begin one with a row `prepared` for each holder hash.

    `identity` names the batch. JournalConflict when the file is another batch's, is damaged, or
    names other holders.
    """
    path = folder / NAME
    expected = list(holders)
    try:
        journal = Journal(_connect(path), path)
    except sqlite3.Error as error:
        raise JournalConflict(f"{path}: {error}") from None
    try:
        _begin_or_check(journal, identity, expected)
    except BaseException:
        journal.close()
        raise
    return journal


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, timeout=5)
    try:
        path.chmod(0o600)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
    except BaseException:
        database.close()
        raise
    return database


def _begin_or_check(journal: Journal, identity: str, holders: list[bytes]) -> None:
    database, path = journal._database, journal._path
    with journal._committed(), closing(database.cursor()) as cursor:
        (version,) = cursor.execute("PRAGMA user_version").fetchone()
        if version == 0:
            _begin(cursor, identity, holders)
        elif version != _VERSION:
            raise JournalConflict(f"{path}: journal of version {version}, this is {_VERSION}")
        (found,) = cursor.execute("SELECT identity FROM batch").fetchone()
        rows = [holder for (holder,) in cursor.execute("SELECT holder FROM card ORDER BY number")]
    if found != identity or rows != holders:
        raise JournalConflict(f"{path}: the journal of another batch or of other keys")


def _begin(cursor: sqlite3.Cursor, identity: str, holders: list[bytes]) -> None:
    for statement in _SCHEMA.split(";\n"):
        cursor.execute(statement)
    cursor.execute("INSERT INTO batch VALUES (?)", (identity,))
    cursor.executemany(
        "INSERT INTO card (number, holder, state, changed) VALUES (?, ?, ?, ?)",
        [(n, holder, Stage.PREPARED, _now()) for n, holder in enumerate(holders, 1)],
    )
    cursor.execute(f"PRAGMA user_version = {_VERSION}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
