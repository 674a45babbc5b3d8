"""A station's own file: it shows that the database is older, and gives back what was cut off."""

import errno
import json
import os
import resource
import signal
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from cardlib.errors import StorageError
from personalize.register import overview
from personalize.register.conflict import JournalConflict, LeaseEnded
from personalize.register.events import Event
from personalize.register.opening import open_reader
from personalize.register.states import CardState
from personalize.register.station_file import SUFFIX, read_station_file
from personalize.register.verifying import verify
from personalize.register.work import BatchWork
from tests.programs.child import in_child

from .registers import BATCH, Place, TestSigner, chip, copied, make, seal

A, B, C = map(chip, range(1, 4))


@pytest.fixture
def site(tmp_path: Path) -> Place:
    return Place(str(tmp_path / "bureau.sqlite"), tmp_path / "stations")


@pytest.fixture
def worked(site: Place) -> Place:
    """A register in which station one has made a card and begun another."""
    with site.open() as one:
        work = site.work(one)
        make(work, A)
        work.take(B, seal)
    return site


def file_of(site: Place, station: str = "one") -> Path:
    return next(site.stations.glob(f"*/{station}{SUFFIX}"))


def put_copy_back(site: Place, copy: str) -> None:
    for end in ("", "-wal", "-shm"):
        Path(site.where + end).unlink(missing_ok=True)
    copied(copy, Path(site.where))


def refusal(site: Place, station: str = "one") -> str:
    with pytest.raises(JournalConflict) as found:
        site.open(station)
    return str(found.value)


def test_an_older_database_is_refused_and_recovery_is_named(site: Place, tmp_path: Path) -> None:
    with site.open() as one:
        work = site.work(one)
        older = copied(site.where, tmp_path / "older")
        make(work, A)
    put_copy_back(site, older)
    assert "rhcard journal recover" in refusal(site)
    with site.open("two") as two:
        assert len(BatchWork(two, BATCH).entries()) == BATCH.count


def test_a_database_with_another_last_event_is_refused(worked: Place, tmp_path: Path) -> None:
    older = copied(worked.where, tmp_path / "older")
    with worked.open() as one:
        BatchWork(one, BATCH).take(C, seal)
    other = Place(older, tmp_path / "elsewhere")
    elsewhere = other.stations / file_of(worked).parent.name / f"one{SUFFIX}"
    elsewhere.parent.mkdir(parents=True)
    lines = file_of(worked).read_bytes().splitlines(keepends=True)
    elsewhere.write_bytes(b"".join(lines[:-1]))
    with other.open() as one:
        BatchWork(one, BATCH).take(chip(9), seal)
    put_copy_back(worked, older)
    assert "is another than in the station's own file" in refusal(worked)


def test_a_station_works_in_one_program_only(site: Place) -> None:
    with site.open():
        assert "at work already" in refusal(site)
    with site.open():
        pass


def test_a_file_that_is_behind_its_station_is_refused(worked: Place) -> None:
    copy = file_of(worked).read_bytes()
    with worked.open() as one:
        BatchWork(one, BATCH).take(C, seal)
    file_of(worked).write_bytes(copy)
    assert "the file of another computer, or an older copy" in refusal(worked)


def test_the_file_of_another_station_is_refused(worked: Place) -> None:
    file = file_of(worked)
    file.rename(file.with_name(f"two{SUFFIX}"))
    assert "is the file of station one, not of station two" in refusal(worked, "two")


def test_a_cut_last_line_is_dropped_and_the_database_decides(worked: Place) -> None:
    whole = file_of(worked).read_bytes()
    file_of(worked).write_bytes(whole + b'{"beside": {}, "eve')
    with worked.open():
        pass
    assert file_of(worked).read_bytes() == whole


def test_a_changed_byte_of_any_line_is_found(worked: Place) -> None:
    file = file_of(worked)
    whole = file.read_bytes()
    places = {0, len(whole) // 2, len(whole) - 2, len(whole) - 1, *range(7, len(whole), 41)}
    for place in places:
        for flip in (0x01, 0x20):  # 0x20 makes a small letter of a capital one
            changed = bytearray(whole)
            changed[place] ^= flip
            file.write_bytes(changed)
            why = refusal(worked)
            assert "is damaged" in why or "older copy" in why, (place, why)
    file.write_bytes(whole)
    with worked.open():
        pass


def test_a_swapped_or_missing_line_is_found(worked: Place) -> None:
    lines = file_of(worked).read_bytes().splitlines(keepends=True)
    for wrong in (lines[1:], [lines[1], lines[0], *lines[2:]], lines[:1] + lines[2:]):
        file_of(worked).write_bytes(b"".join(wrong))
        assert "does not follow the event before it" in refusal(worked)


def test_a_full_disk_leaves_file_and_card_as_they_were(worked: Place) -> None:
    before = file_of(worked).read_bytes()

    def work() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with worked.open() as one:
            room = len(before) + 100
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            here = BatchWork(one, BATCH)
            entry = here.entry(3)
            # The limit is for every file, so it holds only while this one is written.
            add = one.file.add

            def limited(events: Iterable[Event], beside: Mapping[str, Any]) -> None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
                try:
                    add(events, beside)
                finally:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

            with mock.patch.object(one.file, "add", limited), pytest.raises(StorageError):
                here.take(C, seal)
            assert here.entry(3) == entry
            assert file_of(worked).read_bytes() == before
            assert here.take(C, seal) == 3

    assert in_child(work) == 0
    with worked.open() as one:
        assert verify(one, TestSigner()).faults == ()


@pytest.fixture
def cut(worked: Place) -> Iterator[Place]:
    """Station one was killed between its own file and COMMIT, when it claimed card 3 for chip C."""

    def work() -> None:
        one = worked.open()
        add = one.file.add

        def last(events: Iterable[Event], beside: Mapping[str, Any]) -> None:
            add(events, beside)
            os.kill(os.getpid(), signal.SIGKILL)

        with mock.patch.object(one.file, "add", last):
            BatchWork(one, BATCH).take(C, seal)

    assert in_child(work) == -signal.SIGKILL
    yield worked


def test_an_event_that_was_cut_before_commit_is_put_back(cut: Place) -> None:
    with open_reader(cut.where) as reader:
        assert overview.chip(reader, C) is None
    with cut.open() as one:
        work = BatchWork(one, BATCH)
        assert (work.entry(3).chip, work.pin(3)) == (C, (1, C, *seal(3, 1)))
        assert verify(one, TestSigner()).faults == ()


def test_a_cut_event_stays_away_when_another_station_made_the_card(cut: Place) -> None:
    with cut.open("two") as two:
        assert BatchWork(two, BATCH).take(chip(9), seal) == 3
    with cut.open() as one:
        work = BatchWork(one, BATCH)
        assert work.entry(3).chip == chip(9)
        work.note(3, "after the cut")
    with cut.open() as one:
        assert verify(one, TestSigner()).faults == ()
    assert len(read_station_file(file_of(cut))[1]) == one.file.last[0]


def test_what_stood_beside_a_failed_claim_is_not_kept_beside_the_next_event(
    worked: Place,
) -> None:
    with worked.open() as one:
        work = BatchWork(one, BATCH)
        with pytest.raises(JournalConflict):
            work.take(A, seal)
        work.take(C, lambda *_: None)
    last = json.loads(file_of(worked).read_bytes().splitlines()[-1])
    assert (last["event"]["act"], last["beside"]) == ("claimed", {})


def test_a_token_of_a_claim_that_failed_gives_no_right_to_the_card(site: Place) -> None:
    with site.open() as one, site.open("two") as two:
        mine, theirs = site.work(one), site.work(two)
        full = StorageError(errno.ENOSPC, "No space left on device", "a file")
        with mock.patch.object(one.file, "add", side_effect=full), pytest.raises(StorageError):
            mine.take(A, seal)
        assert theirs.take(B, seal) == 1
        with pytest.raises(LeaseEnded, match="taken over by station two"):
            mine.advance(1, CardState.ACTIVATING)


def test_a_new_database_in_the_place_of_a_lost_one_is_refused(tmp_path: Path) -> None:
    """Its register would know nobody, and each resident could get a second card."""
    where, stations = tmp_path / "bureau.sqlite", tmp_path / "stations"
    site = Place(str(where), stations)
    with site.open() as register:
        site.work(register).take(chip(1), seal)
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in tmp_path.glob("bureau.sqlite*"):
        path.rename(moved / path.name)
    for station in ("one", "two"):
        with pytest.raises(JournalConflict, match="is not the register that was here"):
            site.open(station)
    elsewhere = Place(str(tmp_path / "other.sqlite"), stations)
    with elsewhere.open():
        pass
    for path in tmp_path.glob("other.sqlite*"):
        path.rename(where.with_name(path.name.replace("other", "bureau")))
    with pytest.raises(JournalConflict, match="is not the register that was here"):
        site.open()
    for path in moved.iterdir():
        path.replace(tmp_path / path.name)
    with site.open() as register:
        assert register.file.last[0] == 2
