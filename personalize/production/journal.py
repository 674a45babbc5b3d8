"""The journal of a batch: which chip each card got, and how far it is.

There is one row for each card, in SQLite with synchronous=FULL: when a function returns, its change
is on the disk. A row holds the card's number in the batch. Of the resident the journal knows only
keyed hashes of the holder's numbers. Hash and chip are UNIQUE: no resident gets two cards, and no
chip is used twice.
"""

import errno
import os
import sqlite3
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from cardlib.errors import DAMAGE, CardError, StorageError
from cardlib.facts import ChipSerial

from ..preparation.batch import Batch, BatchHeader
from ..register.conflict import LOST, JournalConflict
from ..register.states import TRANSITIONS, Act, CardState
from . import journal_form
from .journal_log import begin_run, connect, log_fits, mark

NAME = "journal.sqlite"
_NAMED, _MOST_BYTES = 5, 1 << 30
_PUT_BACK = "Put journal.sqlite back from the newest copy of the batch folder. No card was changed"
_RESTORE = (
    "Cards may exist that it does not know, and a resident could get a second one. " + _PUT_BACK
)

_SELECT = "SELECT number, chip, state, problem, changed FROM card"
_WAITING = "FROM card WHERE state = ? AND number NOT IN (SELECT number FROM other_card)"


class JournalMissing(JournalConflict):
    """There is no journal, or an empty one."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}: there is a PIN file, but no journal. {_RESTORE}")


_OF_THE_COMPUTER = {
    sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}  # fmt: skip
_BEFORE = {
    CardState.PERSONALIZED: TRANSITIONS[Act.PERSONALIZED].before,
    CardState.ACTIVATING: TRANSITIONS[Act.ACTIVATING].before,
    CardState.ACTIVE: TRANSITIONS[Act.ACTIVATED].before,
}
_DOUBLED = ("this chip already has another card", "two cards are for the same resident")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Entry:
    """One card's row: its number in the batch, its chip (None before it has one), its state."""

    number: int
    chip: ChipSerial | None
    state: CardState
    problem: str
    changed: str


def _entry(row: tuple[int, bytes | None, str, str, str]) -> Entry:
    """Raises ValueError or FormatError when a value is damaged."""
    chip = None if row[1] is None else ChipSerial(row[1])
    return Entry(row[0], chip, CardState(row[2]), row[3], row[4])


class Journal:
    """One batch's journal; a context manager that closes it."""

    def __init__(self, database: sqlite3.Connection, path: Path) -> None:
        """Use `open_journal`."""
        self._database, self._path, self._run = database, path, 0

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
        """Close the database."""
        self._database.close()

    def entries(self) -> tuple[Entry, ...]:
        """All rows in the order of the batch."""
        return self._decoded(_entry, f"{_SELECT} ORDER BY number")

    def entry(self, number: int) -> Entry:
        """One card's row; JournalConflict when the journal has none."""
        entries = self._decoded(_entry, f"{_SELECT} WHERE number = ?", number)
        if not entries:
            raise JournalConflict(f"{self._path}: there is no card {number}")
        return entries[0]

    def spoiled(self) -> frozenset[ChipSerial]:
        """The chips that were given up. They are never used for this batch again."""
        chips = self._decoded(lambda row: ChipSerial(row[0]), "SELECT chip FROM spoiled")
        return frozenset(chips)

    def of_chip(self, chip: bytes) -> Entry | None:
        """The row of the card that a chip is bound to; None if there is none."""
        entries = self._decoded(_entry, f"{_SELECT} WHERE chip = ?", chip)
        return entries[0] if entries else None

    def of_holder(self, holder: bytes) -> int | None:
        """The number of the card for a holder, by one of the holder's hashes; None if none."""
        rows = self._rows("SELECT number FROM holder WHERE hash = ?", holder)
        return int(rows[0][0]) if rows else None

    def has_waiting(self) -> bool:
        """Whether a card of the batch waits for a chip, and may be made."""
        return bool(self._rows(f"SELECT 1 {_WAITING} LIMIT 1", CardState.PREPARED))

    def begun(self) -> dict[int, ChipSerial]:
        """The chips of the cards that were begun and are not active, by number."""
        query = f"{_SELECT} WHERE state NOT IN (?, ?)"
        found = self._decoded(_entry, query, CardState.PREPARED, CardState.ACTIVE)
        return {entry.number: entry.chip for entry in found if entry.chip}

    def other_cards(self) -> dict[int, ChipSerial]:
        """The cards whose residents have another card, which this batch did not make: its chip."""
        query = "SELECT number, chip FROM other_card ORDER BY changed DESC"
        return dict(self._decoded(lambda row: (int(row[0]), ChipSerial(row[1])), query))

    def other_card(self, number: int) -> ChipSerial | None:
        """The chip of another card that a card's resident has; None if there is none."""
        return self.other_cards().get(number)

    def hold(self, number: int, other: bytes) -> None:
        """Never begin or finish a card: its resident has another one, with the chip `other`."""
        with self._committed():
            row = (number, other, _now())
            self._database.execute("INSERT OR IGNORE INTO other_card VALUES (?, ?, ?)", row)
            self._database.execute("UPDATE card SET changed = ? WHERE number = ?", (row[2], number))

    def untouched(self) -> list[int]:
        """The numbers of the cards whose row was never changed since the journal was begun."""
        oldest = "SELECT min(changed) FROM card"
        query = f"SELECT number FROM card WHERE state = ? AND changed = ({oldest}) ORDER BY number"
        return [int(number) for (number,) in self._rows(query, CardState.PREPARED)]

    def check_pins(self, pinned: Collection[int]) -> None:
        """JournalConflict when there are PINs (by card number) that this journal cannot explain.

        A card gets its PIN just before its chip is recorded. So after a cut the next card may
        have a PIN already. More of them mean that this journal is older than the PIN file.
        """
        untouched = self.untouched()
        beyond = sorted(set(untouched[1:]).intersection(pinned))
        if beyond:
            raise JournalConflict(
                f"{self._path}: cards {_some(beyond)} have a PIN already, but this journal has no"
                f" chip for them: it is older than the PIN file. {_RESTORE}"
            )

    def take(self, chip: bytes, assign: Callable[[int], object]) -> int | None:
        """Bind a blank chip (8 bytes) to the next card that waits, in one transaction.

        Returns the card's number, or None when no card waits. `assign` is called with the number
        before the chip is bound: what it does, such as saving the PIN, is on the disk before that.
        """
        if chip in self.spoiled():
            raise JournalConflict(f"chip {chip.hex().upper()} was given up with --spoiled")
        with self._committed():
            waiting = f"SELECT min(number) {_WAITING}"
            ((number,),) = self._database.execute(waiting, (CardState.PREPARED,)).fetchall()
            if number is not None:
                assign(number)
                self._update(number, {CardState.PREPARED}, CardState.PERSONALIZING, chip)
        return None if number is None else int(number)

    def take_over(self, number: int) -> None:
        """Nothing to do: only one run at a time works on a batch that has its own journal."""

    def release(self, number: int) -> None:
        """Unbind a chip that was not changed."""
        self._change(number, {CardState.PERSONALIZING}, CardState.PREPARED, None)

    def advance(self, number: int, state: CardState) -> None:
        """Record that a card was personalized, is now being activated, or is active."""
        self._change(number, _BEFORE[state], state, self.entry(number).chip)

    def not_activated(self, number: int) -> None:
        """Record that a card that was to be activated refused, and was not activated."""
        chip = self.entry(number).chip
        self._change(number, {CardState.ACTIVATING}, CardState.PERSONALIZED, chip)

    def note(self, number: int, problem: str) -> None:
        """Record what went wrong with a card. The text must not name the resident."""
        with self._committed():
            self._database.execute(
                "UPDATE card SET problem = ?, changed = ? WHERE number = ?",
                (problem, _now(), number),
            )

    def give_up(self, chip: bytes) -> int:
        """Put a card whose chip is lost or broken back to `prepared`; returns its number.

        JournalConflict when the chip is not in this journal, or when its card is active, or may be.
        """
        name = chip.hex().upper()
        entry = self.of_chip(chip)
        if entry is None:
            raise JournalConflict(
                f"{self._path}: no card was started on chip {name}. Check the number of the chip"
            )
        if entry.state is CardState.ACTIVE:
            raise JournalConflict(f"chip {name}: its card is active, so it is not given up. {LOST}")
        if entry.state is CardState.ACTIVATING:
            raise JournalConflict(
                f"chip {name}: its card was being activated, and may be active. So it is not given"
                f" up. Run `rhcard issue` with this card: it is finished, or refused. {LOST}"
            )
        with self._committed():
            row = (chip, entry.number, _now())
            self._database.execute("INSERT INTO spoiled VALUES (?, ?, ?)", row)
            self._update(entry.number, {entry.state}, CardState.PREPARED, None)
        return entry.number

    def _change(
        self, number: int, before: Collection[CardState], after: CardState, chip: bytes | None
    ) -> None:
        with self._committed():
            self._update(number, before, after, chip)

    def _update(
        self, number: int, before: Collection[CardState], after: CardState, chip: bytes | None
    ) -> None:
        wanted = sorted(before)
        marks = ", ".join("?" * len(wanted))
        done = self._database.execute(
            "UPDATE card SET state = ?, chip = ?, problem = '', changed = ?"
            f" WHERE number = ? AND state IN ({marks})",
            (after, chip, _now(), number, *wanted),
        )
        if done.rowcount != 1:
            found, should = self.entry(number).state, " or ".join(wanted)
            raise JournalConflict(
                f"{self._path}: card {number} is {found}, but it should be {should}"
            )

    def _decoded(
        self, decode: Callable[[Any], _T], query: str, *values: int | bytes | str
    ) -> tuple[_T, ...]:
        try:
            return tuple(map(decode, self._rows(query, *values)))
        except DAMAGE:
            raise JournalConflict(f"{self._path}: damaged: a row holds a wrong value") from None

    def _rows(self, query: str, *values: int | bytes | str) -> list[tuple[Any, ...]]:
        try:
            return self._database.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise failed(self._path, error) from None

    @contextmanager
    def _committed(self, *, counted: bool = True) -> Iterator[None]:
        """Make one transaction: it is on the disk when this ends, or nothing is changed."""
        try:
            if counted and not self._run:
                self._run = begin_run(self._database)
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.rollback()
                raise
            self._commit()
        except sqlite3.IntegrityError as error:
            raise JournalConflict(f"{self._path}: {_DOUBLED['holder' in str(error)]}") from None
        except sqlite3.Error as error:
            raise failed(self._path, error) from None

    def _commit(self) -> None:
        if self._run:
            mark(self._database, self._run)
        self._database.commit()

    def begin_or_check(
        self, header: BatchHeader, holders: Mapping[bytes, int], *, begin: bool
    ) -> None:
        """Write the first rows of a new journal if allowed, or check it. Use `open_journal`."""
        with self._committed(counted=False):
            if begin and self._rows("PRAGMA user_version") == [(0,)]:
                numbers, now = sorted(set(holders.values())), _now()
                cards = [(number, CardState.PREPARED, now) for number in numbers]
                journal_form.begin(self._database, _named(header), holders, cards)
            self.check(header, holders)
        self.renew()

    def renew(self) -> None:
        """Give a journal of an older version that was checked the form of this one."""
        if self._rows("PRAGMA user_version") != [(journal_form.VERSION,)]:
            with self._committed():
                journal_form.renew(self._database)

    def check(self, header: BatchHeader, holders: Mapping[bytes, int]) -> None:
        """JournalMissing when this journal was not begun; JournalConflict when of another batch."""
        ((version,),) = self._rows("PRAGMA user_version")
        if version == 0:
            raise JournalMissing(self._path)
        if version not in journal_form.READABLE:
            raise JournalConflict(journal_form.of_version(self._path, version))
        found = self._rows("SELECT * FROM batch")
        rows = dict(self._rows("SELECT hash, number FROM holder"))
        if found != [_named(header)] or rows != holders:
            raise JournalConflict(
                f"{self._path}: this journal belongs to another batch, or to other keys."
                f" {_PUT_BACK}"
            )


def open_journal(
    folder: Path, header: BatchHeader, holders: Mapping[bytes, int], *, begin: bool = True
) -> Journal:
    """Open a batch's journal, or `begin` one with a row `prepared` for each of its cards.

    `holders` are those of the batch. JournalConflict when the file belongs to another batch, is
    damaged, was written by another version, or names other holders; JournalMissing when there is
    none and none may begin.
    """
    path = folder / NAME
    if not is_there(path) and not begin:
        raise JournalMissing(path)
    try:
        check_log(path)
        journal = Journal(connect(path), path)
        try:
            journal.begin_or_check(header, holders, begin=begin)
        except BaseException:
            journal.close()
            raise
    except sqlite3.Error as error:
        raise failed(path, error) from None
    return journal


def batch_journal(batch: Batch, *, begin: bool = True) -> Journal:
    """Open the journal of a batch, or `begin` it; no record of the batch is decrypted."""
    return open_journal(batch.folder, batch.header, batch.holders, begin=begin)


def is_there(path: Path) -> bool:
    """Whether a journal is there; JournalConflict when it, or a log of it, is no regular file."""
    for tail in ("-wal", "-journal", "-shm", ""):
        file = path.with_name(path.name + tail)
        there = os.path.lexists(file)
        if there and not stat.S_ISREG((found := file.lstat()).st_mode):
            raise JournalConflict(f"{file}: it must be a regular file, not a link or a device")
        if there and found.st_size > _MOST_BYTES:
            raise JournalConflict(f"{file}: damaged: no journal is so large")
    return there


def check_log(path: Path) -> None:
    """JournalConflict when the log beside a journal is not its own: it must not be replayed."""
    if is_there(path) and not log_fits(path):
        raise JournalConflict(
            f"{path}: {path.name}-wal beside it is the log of another copy of it. {_RESTORE}. Put"
            f" {path.name}-wal back with it; if that copy has none, delete the one here"
        )


def failed(path: Path, error: sqlite3.Error) -> CardError:
    """What to raise for a journal that cannot be used: the computer's error, or the journal's."""
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in _OF_THE_COMPUTER:
        return StorageError(errno.EIO, str(error), str(path))
    return JournalConflict(f"{path}: it cannot be used ({error}). {_PUT_BACK}")


def _named(header: BatchHeader) -> tuple[str, str, int]:
    return header.batch_id, header.key_store_identity, header.key_version


def _some(numbers: list[int]) -> str:
    """The first numbers of a long list."""
    more = f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else ""
    return ", ".join(map(str, numbers[:_NAMED])) + more


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
