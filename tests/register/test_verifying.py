"""`verify` finds and names every change of the register that its journal does not tell."""

import json
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Boolean, Integer, LargeBinary

from cardlib.errors import CardKeyError, FormatError
from personalize.register import schema, verifying
from personalize.register.checkpoints import Checkpoint, make_checkpoint, read_checkpoint
from personalize.register.conflict import JournalConflict
from personalize.register.events import Event
from personalize.register.folding import Folded, fold
from personalize.register.opening import open_reader
from personalize.register.verifying import verify

from .registers import (
    BATCH,
    NOT_IN_JOURNAL,
    Place,
    TestSigner,
    chip,
    copied,
    place,
    seal,
    work_a_day,
)

__all__ = ["place"]

NOT_FOUND = {
    **NOT_IN_JOURNAL,
    ("pin", "for_claim"): "its seal is checked when it is opened; whether it is there is found",
}
COLUMNS = [
    (table.name, column.name)
    for table in schema.metadata.sorted_tables
    for column in table.c
    if (table.name, column.name) not in NOT_FOUND
]
NAMES = {
    "event": "event {seq} of station {station}",
    "card": "card {number} of batch {batch}",
    "pin": "card {number} of batch {batch}",
    "other_card": "card {number} of batch {batch}",
    "holder": "batch {batch}",
    "batch": "batch {id}",
    "chip": "chip {serial}",
    "station": "station {name}",
    "checkpoint": "checkpoint",
    "register": "",  # it may be refused already when it is opened
}


@dataclass(frozen=True)
class Day:
    """A register after a day's work, and a copy of it that a test may change."""

    before: str
    now: str

    def rows(self, table: str) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.now)) as database:
            database.row_factory = sqlite3.Row
            order = ", ".join(column.name for column in schema.metadata.tables[table].primary_key)
            found = database.execute(f"SELECT rowid AS _row, * FROM {table} ORDER BY {order}")
            return [dict(row) for row in found]

    def tell(self, statement: str, *values: object) -> None:
        """Change the database behind the register's back, also what its rules do not allow."""
        with closing(sqlite3.connect(self.now, isolation_level=None)) as database:
            database.execute("PRAGMA ignore_check_constraints = ON")
            for index in ("one_current_card", "one_holder_one_card"):
                database.execute(f"DROP INDEX IF EXISTS {index}")
            assert database.execute(statement, values).rowcount

    def faults(self, *against: Checkpoint) -> tuple[str, ...]:
        try:
            with open_reader(self.now) as reader:
                return verify(reader, TestSigner(), against).faults
        except JournalConflict as error:
            return (str(error),)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("day")
    work_a_day(Place(str(folder / "bureau.sqlite"), folder / "stations"))
    return copied(str(folder / "bureau.sqlite"), folder / "finished")


@pytest.fixture
def day(finished: str, tmp_path: Path) -> Day:
    return Day(finished, copied(finished, tmp_path / "changed"))


def changed(value: object, kind: object) -> object:
    """Another value of the same kind, which no other row has."""
    if isinstance(value, bytes):
        return value[:-1] + bytes([value[-1] ^ 0x80])
    if isinstance(value, int):
        return value ^ 1 if isinstance(kind, Boolean) else value + 1000
    if isinstance(value, str):
        return f"{value}x"
    others: dict[type, object] = {LargeBinary: bytes(8), Integer: 1000}
    return others.get(type(kind), "x")


def named(table: str, *rows: Mapping[str, Any]) -> set[str]:
    def shown(value: object) -> object:
        return value.hex().upper() if isinstance(value, bytes) else value

    return {
        NAMES[table].format(**{name: shown(value) for name, value in row.items()}) for row in rows
    }


def test_a_register_that_only_the_stations_wrote_is_in_order(day: Day) -> None:
    with open_reader(day.now) as reader:
        verdict = verify(reader, TestSigner())
    assert (verdict.faults, verdict.checkpoints) == ((), 2)
    assert (verdict.stations, verdict.batches, verdict.cards, verdict.chips) == (2, 2, 5, 5)
    assert all(day.rows(table) for table in schema.metadata.tables)


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_a_changed_value_of_any_column_is_found_and_named(
    day: Day, table: str, column: str
) -> None:
    rows = day.rows(table)
    for row in (rows[0], rows[-1]):
        value = changed(row[column], schema.metadata.tables[table].c[column].type)
        day.tell(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", value, row["_row"])
        words = named(table, row, row | {column: value})
        faults = day.faults()
        assert any(word in fault for word in words for fault in faults), (row, faults)
        copied(day.before, Path(day.now))


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_a_value_of_another_kind_is_a_fault_and_stops_nothing(
    day: Day, table: str, column: str
) -> None:
    row = day.rows(table)[-1]
    for value in ("x", b"\xff", 0.5):
        with suppress(sqlite3.IntegrityError):  # SQLite itself allows a row number only
            day.tell(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", value, row["_row"])
            assert day.faults(), value
            copied(day.before, Path(day.now))


@pytest.mark.parametrize("column", NOT_FOUND)
def test_a_column_that_the_journal_does_not_hold_may_be_anything(
    day: Day, column: tuple[str, str]
) -> None:
    row = next(each for each in day.rows(column[0]) if each[column[1]] is not None)
    day.tell(f"UPDATE {column[0]} SET {column[1]} = 7 WHERE rowid = ?", row["_row"])
    assert day.faults() == ()


def test_a_claim_pin_that_is_gone_or_came_back_is_found(day: Day) -> None:
    for row in day.rows("pin"):
        value = b"again" if row["for_claim"] is None else None
        day.tell("UPDATE pin SET for_claim = ? WHERE rowid = ?", value, row["_row"])
        assert any("PIN" in fault for fault in day.faults())
        copied(day.before, Path(day.now))


@pytest.mark.parametrize("table", NAMES)
def test_a_deleted_row_is_found_and_named(day: Day, table: str) -> None:
    rows = day.rows(table)
    for row in rows[:-1] if table == "checkpoint" else rows:
        day.tell(f"DELETE FROM {table} WHERE rowid = ?", row["_row"])
        names = {"are missing", "by the events, "} if table == "event" else named(table, row)
        assert any(name in fault for name in names for fault in day.faults())
        copied(day.before, Path(day.now))


@pytest.mark.parametrize(
    ("table", "new"),
    [
        ("card", {"number": 9, "chip": b"new chip"}),
        ("card", {"attempt": 9, "chip": b"new chip"}),
        ("chip", {"serial": b"new chip"}),
        ("other_card", {"chip": b"new chip"}),
        ("pin", {"chip": b"new chip"}),
        ("holder", {"commitment": bytes(32)}),
        ("batch", {"id": "33333333-3333-3333-3333-333333333333"}),
        ("station", {"name": "three"}),
        ("checkpoint", {"number": 3}),
        ("event", {"seq": 99, "card_step": 99, "chip_step": 99}),
        ("register", {"id": "another"}),
    ],
)
def test_an_inserted_row_is_found_and_named(day: Day, table: str, new: dict[str, Any]) -> None:
    row = day.rows(table)[-1] | new
    del row["_row"]
    marks = ", ".join("?" * len(row))
    day.tell(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", *row.values())
    assert any(name in fault for name in named(table, row) for fault in day.faults())


def last_checkpoint(day: Day) -> Checkpoint:
    row = day.rows("checkpoint")[-1]
    exported = {"checkpoint": json.loads(row["content"]), "signature": row["signature"].hex()}
    return read_checkpoint(json.dumps(exported).encode(), TestSigner())


def test_a_checkpoint_that_was_kept_outside_finds_that_the_last_one_was_deleted(day: Day) -> None:
    kept = last_checkpoint(day)
    day.tell("DELETE FROM checkpoint WHERE number = 2")
    assert day.faults() == ()
    assert "checkpoint 2 is not in the database" in day.faults(kept)[0]


def test_an_older_copy_is_in_order_in_itself_and_found_by_a_later_checkpoint(
    tmp_path: Path,
) -> None:
    site = Place(str(tmp_path / "bureau.sqlite"), tmp_path / "stations")
    with site.open() as one:
        work = site.work(one)
        older = Day("", copied(site.where, tmp_path / "older"))
        work.take(chip(1), seal)
        kept = make_checkpoint(one, TestSigner())
    assert older.faults() == ()
    faults = older.faults(kept)
    assert any("was made at event 2, the journal ends with event 1" in each for each in faults)


def test_a_register_that_was_wholly_rewritten_is_found_by_a_checkpoint_only(
    day: Day, tmp_path: Path
) -> None:
    for table in set(NAMES) - {"register"}:
        day.tell(f"DELETE FROM {table}")
    kept = last_checkpoint(Day("", day.before))
    work_a_day(Place(day.now, tmp_path / "other stations"))
    assert day.faults() == ()
    assert any("The journal was rewritten" in fault for fault in day.faults(kept))


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (b'"number": 2', b'"number": 3', CardKeyError),
        (b'"seq', b'"', CardKeyError),
        (b"rhcard checkpoint 1", b"rhcard checkpoint 2", FormatError),
        (b'"signature": "', b'"signature": "x', FormatError),
        (b'"signature": "', b'"signature": "00', CardKeyError),
    ],
)
def test_a_forged_checkpoint_is_refused(
    day: Day, old: bytes, new: bytes, error: type[Exception]
) -> None:
    raw = json.dumps(last_checkpoint(day).as_dict()).encode()
    forged = raw.replace(old, new, 1) if old in raw else raw.replace(b'"at": 1', b'"at": 2', 1)
    assert forged != raw
    with pytest.raises(error):
        read_checkpoint(forged, TestSigner())


def test_a_checkpoint_of_another_register_is_named(day: Day, tmp_path: Path) -> None:
    other = Place(str(tmp_path / "other.sqlite"), tmp_path / "stations")
    with other.open() as one:
        kept = make_checkpoint(one, TestSigner())
    assert any("is of another register" in fault for fault in day.faults(kept))


def test_two_stations_may_make_a_checkpoint_at_the_same_time(place: Place) -> None:
    class Slow(TestSigner):
        def sign_checkpoint(self, content: bytes) -> bytes:
            if not made:
                made.append(0)
                time.sleep(0.01)  # of one millisecond it would be the same checkpoint
                made[0] = make_checkpoint(two, TestSigner()).number
            return super().sign_checkpoint(content)

    made: list[int] = []
    with place.open() as one, place.open("two") as two:
        assert (make_checkpoint(one, Slow()).number, made) == (2, [1])
        assert verify(one, TestSigner()).faults == ()


def test_a_register_is_verified_as_of_one_moment_while_stations_work(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place.open() as one, place.open("two") as two:
        work = place.work(one)

        def meanwhile(events: list[Event]) -> Folded:
            assert work.take(chip(1), seal) == 1
            return fold(events)

        monkeypatch.setattr(verifying, "fold", meanwhile)
        verdict = verify(two, TestSigner())
        assert (verdict.faults, verdict.events) == ((), 1)
    assert BATCH.count == verdict.cards
