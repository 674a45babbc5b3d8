"""What an older copy of the database has lost is put back whole, or nothing is changed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from personalize.register.bureau import Register
from personalize.register.checkpoints import make_checkpoint
from personalize.register.conflict import JournalConflict
from personalize.register.opening import open_reader
from personalize.register.recovery import put_back
from personalize.register.states import CardState
from personalize.register.station_file import SUFFIX, KeptEvent, read_station_file
from personalize.register.verifying import verify

from .registers import BATCH, OTHER, Place, TestSigner, chip, copied, make, rows_of, seal

A, B, C, D, E = map(chip, range(1, 6))


@pytest.fixture
def site(tmp_path: Path) -> Place:
    return Place(str(tmp_path / "bureau.sqlite"), tmp_path / "stations")


@pytest.fixture
def one(site: Place) -> Iterator[Register]:
    with site.open() as opened:
        yield opened


@pytest.fixture
def two(site: Place) -> Iterator[Register]:
    with site.open("two") as opened:
        yield opened


def kept(stations: Path) -> list[KeptEvent]:
    """The events in the files of all stations."""
    files = sorted(stations.glob(f"**/*{SUFFIX}"))
    return [each for path in files for each in read_station_file(path)[1]]


def recovered(older: str, stations: Path) -> dict[str, list[tuple[object, ...]]]:
    """The rows of a copy after all was put back, twice."""
    with open_reader(older) as reader:
        assert put_back(reader.database, kept(stations)) > 0
        assert put_back(reader.database, kept(stations)) == 0
        assert verify(reader, TestSigner()).faults == ()
        return rows_of(reader)


def test_a_copy_from_the_middle_of_a_batch_gets_the_same_rows_back(
    site: Place, one: Register, two: Register, tmp_path: Path
) -> None:
    mine, theirs = site.work(one), site.work(two)
    mine.take(A, seal)
    older = copied(site.where, tmp_path / "older")
    for state in (CardState.ACTIVATING, CardState.ACTIVE):
        mine.advance(1, state)
    theirs.take(B, seal)
    mine.take_over(2)
    theirs.note(2, "the reader lost the card")
    mine.give_up(B)
    site.work(two, OTHER).hold(2, D)
    assert make(theirs, C) == 2
    mine.take(E, seal)
    assert recovered(older, site.stations) == rows_of(one)


def test_batches_that_were_entered_after_the_copy_come_back_with_their_holders(
    site: Place, one: Register, two: Register, tmp_path: Path
) -> None:
    older = copied(site.where, tmp_path / "older")
    first = site.work(two)
    make(first, A)
    second = site.work(one, OTHER)
    second.take(B, seal)
    assert recovered(older, site.stations) == rows_of(one)


@pytest.mark.parametrize("order", [(BATCH, OTHER), (OTHER, BATCH)])
def test_a_resident_whose_card_moved_to_the_other_batch_comes_back(
    site: Place, one: Register, tmp_path: Path, order: tuple[object, object]
) -> None:
    works = [site.work(one, facts) for facts in (BATCH, OTHER)]
    if order[0] is OTHER:
        works.reverse()
    before, after = works
    chips = iter(map(chip, range(1, 20)))
    held = [before.take(next(chips), seal) for _ in range(before.facts.count)]
    older = copied(site.where, tmp_path / "older")
    for entry in before.entries():
        assert entry.chip is not None
        before.give_up(entry.chip)
    assert len([after.take(next(chips), seal) for _ in range(after.facts.count)]) > 0
    assert held == [entry.number for entry in before.entries()]
    assert recovered(older, site.stations) == rows_of(one)


@pytest.mark.parametrize(("before", "after"), [((A, B), (B, A)), ((B, A), (A, B))])
def test_chips_that_changed_their_cards_come_back(
    site: Place, one: Register, tmp_path: Path, before: tuple[bytes, ...], after: tuple[bytes, ...]
) -> None:
    work = site.work(one)
    for each in before:
        work.take(chip(each[-1]), seal)
    older = copied(site.where, tmp_path / "older")
    work.release(1)
    work.release(2)
    for each in after:
        work.take(chip(each[-1]), seal)
    assert recovered(older, site.stations) == rows_of(one)


def test_a_chip_that_came_to_the_same_card_again_has_its_last_pin(
    site: Place, one: Register, tmp_path: Path
) -> None:
    work = site.work(one)
    older = copied(site.where, tmp_path / "older")
    work.take(A, lambda *_: (b"first", b"first"))
    work.release(1)
    work.take(A, lambda *_: (b"second", b"second"))
    assert work.pin(1) == (1, A, b"second", b"second")
    assert recovered(older, site.stations) == rows_of(one)


def refused(older: str, stations: Path) -> str:
    """Why the copy refuses what is kept. Nothing of it is changed."""
    with open_reader(older) as reader:
        before = rows_of(reader)
        with pytest.raises(JournalConflict) as found:
            put_back(reader.database, kept(stations))
        assert rows_of(reader) == before
    assert "Nothing was changed" in str(found.value)
    return str(found.value)


def test_a_card_that_was_made_again_after_the_copy_was_put_back_is_named_with_both_chips(
    site: Place, one: Register, tmp_path: Path
) -> None:
    lost = site.work(one)
    older = copied(site.where, tmp_path / "older")
    lost.take(A, seal)
    with Place(older, tmp_path / "new stations").open("three") as three:
        site.work(three).take(B, seal)
    why = refused(older, site.stations)
    assert "card 1" in why and f"chip {A}" in why and f"chip {B}" in why


def test_a_resident_who_got_a_card_of_another_batch_since_is_named_with_both_chips(
    site: Place, one: Register, tmp_path: Path
) -> None:
    lost, other = site.work(one), site.work(one, OTHER)
    older = copied(site.where, tmp_path / "older")
    assert [lost.take(A, seal), lost.take(B, seal), other.facts] == [1, 2, OTHER]
    with Place(older, tmp_path / "new stations").open("three") as three:
        assert site.work(three, OTHER).take(C, seal) == 1
    why = refused(older, site.stations)
    assert f"chip {B}" in why and f"chip {C}" in why


def test_a_station_that_went_on_in_the_copy_under_its_own_name_is_found(
    site: Place, one: Register, tmp_path: Path
) -> None:
    work = site.work(one)
    older = copied(site.where, tmp_path / "older")
    work.take(A, seal)
    with Place(older, tmp_path / "new stations").open("three") as three:
        site.work(three).take(C, seal)
        with_three = kept(tmp_path / "new stations")
    fresh = copied(older, tmp_path / "fresh")
    assert [each.event.chip for each in with_three] == [C]
    assert f"chip {C}" in refused(fresh, site.stations)


def test_a_copy_from_before_the_checkpoint_at_which_the_files_begin_is_refused(
    site: Place, one: Register, tmp_path: Path
) -> None:
    work = site.work(one)
    older = copied(site.where, tmp_path / "older")
    work.take(A, seal)
    make_checkpoint(one, TestSigner())
    work.take(B, seal)
    moved = tmp_path / "moved"
    (archived,) = site.stations.glob("*/one@*.station")
    archived.rename(moved)
    assert "add the station's older files" in refused(older, site.stations)
    moved.rename(archived)
    with open_reader(older) as reader:
        assert put_back(reader.database, kept(site.stations)) == 2
