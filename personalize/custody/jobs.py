"""What the key agent remembers of cards: which chip is for which record, and who had how many.

An SQLite file. Everything is on the disk before a transaction ends (synchronous=FULL), so that no
restart gives a caller more cards, or a record a second chip.
"""

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

from cardlib.errors import CardError, CardKeyError, KeysUnavailable, StorageError
from cardlib.facts import ChipSerial
from cardlib.keys.issuer import CardJob

from .policy import Caller
from .roles import Role

_FORMAT = 1
_MINUTE = 60
_WAIT = 5.0
"""Seconds to wait for another program that reads the file."""
_SCHEMA = """
CREATE TABLE jobs (
    batch BLOB NOT NULL, number INTEGER NOT NULL, chip BLOB NOT NULL UNIQUE,
    state TEXT NOT NULL, caller TEXT NOT NULL, gave_up TEXT
);
CREATE UNIQUE INDEX one_chip ON jobs (batch, number) WHERE state != 'given up';
CREATE TABLE chips (
    caller TEXT NOT NULL, chip BLOB NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (caller, chip)
) WITHOUT ROWID;
CREATE INDEX newest ON chips (caller, last);
CREATE TABLE counts (caller TEXT PRIMARY KEY, cards INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE log (number INTEGER NOT NULL);
INSERT INTO log VALUES (0);
"""


_SAMS = "CREATE TABLE IF NOT EXISTS sams (chip BLOB PRIMARY KEY, roles TEXT NOT NULL) WITHOUT ROWID"


class JobState(StrEnum):
    """How far the agent has seen a job."""

    CLAIMED = "claimed"
    ACTIVATING = "being activated"
    ACTIVATED = "activated"
    GIVEN_UP = "given up"


class JobBook:
    """The open file. Its methods are called inside `transaction`, by one thread at a time."""

    def __init__(
        self,
        path: Path,
        clock: Callable[[], float] = time.time,
        running: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the file, or make it. Raises StorageError when it cannot be used.

        Who sets the computer's `clock` changes no limit: it is read once, and from then on time is
        what `running` says, in seconds. It never begins before what the file knows.
        """
        self.path, self._running = path, running
        self._open: sqlite3.Connection | None = None
        with self._stored():
            path.touch(0o600)
            made = sqlite3.connect(path, _WAIT, isolation_level=None, check_same_thread=False)
            self._open = made
            for pragma in (
                "journal_mode=DELETE",
                "synchronous=FULL",
                "fullfsync=ON",
                "secure_delete=ON",
            ):
                made.execute(f"PRAGMA {pragma}")
            version = made.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                made.executescript(f"BEGIN;{_SCHEMA};PRAGMA user_version={_FORMAT};COMMIT")
            elif version != _FORMAT:
                raise CardError(f"{path}: a newer version of this program wrote it. Use that one")
            made.execute(_SAMS)
        newest = self._number("SELECT IFNULL(MAX(last), 0) FROM chips")
        self._began = max(clock(), newest) - running()

    def __repr__(self) -> str:
        return f"<jobs {self.path}>"

    def close(self) -> None:
        """Close the file."""
        if self._open is not None:
            self._open.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep all that is noted inside, or nothing. Raises StorageError when it is not stored."""
        with self._stored():
            self.do("BEGIN")
        try:
            yield
            with self._stored():
                self.do("COMMIT")
        except BaseException:
            if self._open is not None and self._open.in_transaction:
                with self._stored():
                    self.do("ROLLBACK")
            raise

    def claim(self, job: CardJob, caller: Caller) -> JobState:
        """Bind a record and a chip to one another, for ever; return how far the job is.

        It may be claimed again. Raises CardKeyError when the record has another chip that was not
        given up, or when the chip is or was for another record.
        """
        self.check_no_sam(job.chip)
        of_chip = self.row("SELECT batch, number, state FROM jobs WHERE chip = ?", bytes(job.chip))
        if of_chip is not None:
            if of_chip[:2] != (job.batch.bytes, job.number):
                raise CardKeyError(
                    f"chip {job.chip} is for another record. A chip is never used for a second"
                    " one: take another blank card"
                )
            state = JobState(of_chip[2])
            if state is JobState.GIVEN_UP:
                raise CardKeyError(f"chip {job.chip} was given up: take another blank card")
            return state
        if (other := self._chip_of(job)) is not None:
            raise CardKeyError(
                f"record {job.number} of this batch is for chip {other.hex().upper()}. Give that"
                " chip up first"
            )
        row = (job.batch.bytes, job.number, bytes(job.chip), JobState.CLAIMED, caller.name)
        self.do("INSERT INTO jobs (batch, number, chip, state, caller) VALUES (?,?,?,?,?)", *row)
        return JobState.CLAIMED

    def claim_sam(self, chip: ChipSerial, roles: Iterable[str]) -> None:
        """Bind a chip to the roles of a SAM, for ever. It may be claimed again for the same roles.

        Raises CardKeyError when it has other roles, or is or was a card: then its issuer keys may
        be known to whoever had the card's transport keys.
        """
        if self.state_of(chip) is not None:
            raise CardKeyError(f"chip {chip} is for a card: it cannot become a SAM. Take another")
        wanted = " ".join(sorted(set(roles)))
        row = self.row("SELECT roles FROM sams WHERE chip = ?", bytes(chip))
        if row is None:
            self.do("INSERT INTO sams VALUES (?, ?)", bytes(chip), wanted)
        elif row[0] != wanted:
            raise CardKeyError(
                f"chip {chip} is a SAM for {row[0]}: it is loaded again for these roles only. Take"
                " another blank SAM"
            )

    def check_no_sam(self, chip: ChipSerial) -> None:
        """Raise CardKeyError when a chip is a SAM."""
        if self.row("SELECT 1 FROM sams WHERE chip = ?", bytes(chip)) is not None:
            raise CardKeyError(f"chip {chip} is a SAM: no card is made of it")

    def state_of(self, chip: bytes) -> JobState | None:
        """How far the job of a chip is; None when it has none."""
        row = self.row("SELECT state FROM jobs WHERE chip = ?", bytes(chip))
        return None if row is None else JobState(row[0])

    def activating(self, chip: bytes) -> None:
        """Note that ACTIVATE is made for a chip: from now on it may be active."""
        self.do(
            "UPDATE jobs SET state = ? WHERE chip = ? AND state = ?",
            JobState.ACTIVATING, bytes(chip), JobState.CLAIMED,
        )  # fmt: skip

    def activated(self, chip: bytes) -> None:
        """Note that a chip was activated: it cannot be given up any more."""
        self.do("UPDATE jobs SET state = ? WHERE chip = ?", JobState.ACTIVATED, bytes(chip))

    def give_up(self, job: CardJob, caller: Caller) -> None:
        """Let a record have another chip. Once more for the same job changes nothing.

        A job that was never claimed needs nothing. Raises CardKeyError when the chip was activated,
        or when the caller may give up no more chips. One that may be active is a custodian's to
        give up.
        """
        row = self.row(
            "SELECT state FROM jobs WHERE batch = ? AND number = ? AND chip = ?",
            job.batch.bytes, job.number, bytes(job.chip),
        )  # fmt: skip
        if row is None or row[0] == JobState.GIVEN_UP:
            return
        if row[0] == JobState.ACTIVATED:
            raise CardKeyError(
                f"chip {job.chip} was activated: a second card for its resident is not made"
            )
        if row[0] == JobState.ACTIVATING and Role.CUSTODIAN not in caller.roles:
            raise CardKeyError(
                f"chip {job.chip} was being activated, and may be active: a custodian must give it"
                " up, who has seen the card"
            )
        so_far = self._number("SELECT COUNT(*) FROM jobs WHERE gave_up = ?", caller.name)
        if so_far >= caller.give_ups:
            raise CardKeyError(
                f"{caller.name} may not give up more chips: it gave up {so_far}. The limit is"
                " give_ups in the agent's policy"
            )
        self.do(
            "UPDATE jobs SET state = ?, gave_up = ? WHERE chip = ?",
            JobState.GIVEN_UP, caller.name, bytes(job.chip),
        )  # fmt: skip

    def count(self, caller: Caller, chip: bytes) -> None:
        """Note that a caller works with a chip.

        Raises KeysUnavailable when it had as many chips as it may, in all or in this minute.
        """
        now = int(self._began + self._running())
        known = self.row(
            "SELECT last FROM chips WHERE caller = ? AND chip = ?", caller.name, bytes(chip)
        )
        if known is not None and 0 <= now - known[0] < _MINUTE:
            return
        minute = self._number(
            "SELECT COUNT(*) FROM chips WHERE caller = ? AND last > ?", caller.name, now - _MINUTE
        )
        _check_limit(caller, minute, caller.cards_a_minute, "cards in a minute", "cards_a_minute")
        if known is None:
            in_all = self.cards_of(caller.name)
            _check_limit(caller, in_all, caller.cards, "cards in all", "cards")
            self._add(caller, 1)
        self.do("INSERT OR REPLACE INTO chips VALUES (?, ?, ?)", caller.name, bytes(chip), now)

    def count_records(self, caller: Caller, count: int) -> None:
        """Note that a caller seals so many records. Raises KeysUnavailable when it may not."""
        in_all = self.cards_of(caller.name)
        if caller.cards is not None and in_all + count > caller.cards:
            _check_limit(caller, in_all, min(in_all, caller.cards), "cards in all", "cards")
        self._add(caller, count)

    def _add(self, caller: Caller, count: int) -> None:
        self.do(
            "INSERT INTO counts VALUES (?, ?) ON CONFLICT DO UPDATE SET cards = cards + ?",
            caller.name, count, count,
        )  # fmt: skip

    def cards_of(self, caller: str) -> int:
        """How many chips a caller had in all."""
        return self._number("SELECT IFNULL(SUM(cards), 0) FROM counts WHERE caller = ?", caller)

    def note_log(self, number: int) -> None:
        """Note the number of the log entry that says what is noted in this transaction."""
        self.do("UPDATE log SET number = ?", number)

    def log_number(self) -> int:
        """The number of the log's newest entry when something was noted last."""
        return self._number("SELECT number FROM log")

    @property
    def has_changed(self) -> bool:
        """Whether something was noted in this transaction."""
        return self._open is not None and self._open.total_changes != self._before

    _before = 0

    def _chip_of(self, job: CardJob) -> bytes | None:
        row = self.row(
            "SELECT chip FROM jobs WHERE batch = ? AND number = ? AND state != ?",
            job.batch.bytes, job.number, JobState.GIVEN_UP,
        )  # fmt: skip
        return None if row is None else bytes(row[0])

    def do(self, statement: str, *values: object) -> sqlite3.Cursor:
        """Run a statement of SQL. Raises StorageError when that cannot be done."""
        if self._open is None:
            raise StorageError(0, "it is not open", str(self.path))
        if statement == "BEGIN":
            self._before = self._open.total_changes
        with self._stored():
            return self._open.execute(statement, values)

    def row(self, statement: str, *values: object) -> tuple[Any, ...] | None:
        """Return the first row that a statement finds; None when there is none."""
        row: tuple[Any, ...] | None = self.do(statement, *values).fetchone()
        return row

    def _number(self, statement: str, *values: object) -> int:
        row = self.row(statement, *values)
        return int(row[0]) if row else 0

    @contextmanager
    def _stored(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageError(0, f"the file of jobs: {error}", str(self.path)) from None
        except OSError as error:
            if isinstance(error, CardError):
                raise
            raise StorageError(error.errno, error.strerror, str(self.path)) from None


def _check_limit(caller: Caller, so_far: int, most: int | None, what: str, key: str) -> None:
    if most is not None and so_far >= most:
        raise KeysUnavailable(
            f"{caller.name} may not have so many {what}: it had {so_far}. The limit is {key} in the"
            " agent's policy"
        )
