"""A batch at a station: one chip a card, one step after the other, on the disk before it counts."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from personalize.register.bureau import Register
from personalize.register.conflict import JournalConflict, LeaseEnded
from personalize.register.states import CardState
from personalize.register.verifying import verify
from personalize.register.work import BatchWork

from .registers import BATCH, OTHER, TAGS, Place, TestSigner, chip, place, seal, tag

__all__ = ["place"]

STEPS = (CardState.ACTIVATING, CardState.ACTIVE)
A, B, C, D = map(chip, range(1, 5))


@pytest.fixture
def register(place: Place) -> Iterator[Register]:
    with place.open() as opened:
        yield opened


@pytest.fixture
def work(place: Place, register: Register) -> BatchWork:
    return place.work(register)


def test_a_new_batch_has_every_card_prepared(work: BatchWork) -> None:
    assert [(e.number, e.attempt, e.chip, e.state) for e in work.entries()] == [
        (number, 1, None, CardState.PREPARED) for number in (1, 2, 3)
    ]


def test_a_card_is_made_in_three_transactions(work: BatchWork) -> None:
    assert work.take(A, seal) == 1
    assert (work.entry(1).state, work.entry(1).chip) == (CardState.PERSONALIZING, A)
    for state in STEPS:
        work.advance(1, state)
        assert work.entry(1).state is state
    assert work.register.file.last[0] == 4  # the batch, and three for the card


def test_no_step_is_skipped_or_repeated(work: BatchWork) -> None:
    work.take(A, seal)
    with pytest.raises(JournalConflict, match="personalizing, but it should be activating"):
        work.advance(1, CardState.ACTIVE)
    work.advance(1, CardState.ACTIVATING)
    with pytest.raises(JournalConflict, match="card 1 is activating"):
        work.advance(1, CardState.ACTIVATING)


def test_a_chip_serves_one_card_only(work: BatchWork) -> None:
    work.take(A, seal)
    with pytest.raises(JournalConflict, match="already has another card"):
        work.take(A, seal)
    assert work.entry(2).state is CardState.PREPARED


def test_a_released_chip_may_be_taken_again(work: BatchWork) -> None:
    work.take(A, seal)
    work.release(1)
    assert work.of_chip(A) is None
    assert (work.take(B, seal), work.take(A, seal)) == (1, 2)


def test_cards_are_taken_in_their_order_until_none_waits(work: BatchWork) -> None:
    assert work.has_waiting()
    assert [work.take(chip(n), seal) for n in range(1, 5)] == [1, 2, 3, None]
    assert not work.has_waiting()


def test_a_spoiled_chip_frees_its_record_and_is_never_used_again(work: BatchWork) -> None:
    work.take(A, seal)
    assert work.give_up(A) == 1
    assert (work.entry(1).state, work.entry(1).attempt) == (CardState.PREPARED, 2)
    assert work.spoiled() == {A}
    with pytest.raises(JournalConflict, match=r"spoiled\. It is never used again"):
        work.take(A, seal)
    assert work.take(B, seal) == 1


@pytest.mark.parametrize(("steps", "words"), [(STEPS, "is active"), (STEPS[:1], "may be active")])
def test_a_card_that_may_be_active_is_not_given_up(
    work: BatchWork, steps: tuple[CardState, ...], words: str
) -> None:
    work.take(A, seal)
    for state in steps:
        work.advance(1, state)
    with pytest.raises(JournalConflict, match=words):
        work.give_up(A)


def test_each_attempt_has_a_pin_of_its_own_and_the_claims_is_erased_with_the_result(
    work: BatchWork,
) -> None:
    work.take(A, seal)
    work.give_up(A)
    assert work.pin(1) is None
    work.take(B, seal)
    assert work.pin(1) == (2, B, b"mailer 1 2", b"claim 1 2")
    for state in STEPS:
        work.advance(1, state)
    assert work.pin(1) == (2, B, b"mailer 1 2", None)


def test_a_resident_in_two_batches_gets_one_card(place: Place, register: Register) -> None:
    first, second = place.work(register), place.work(register, OTHER)
    first.take(A, seal)
    assert first.take(B, seal) == 2
    assert second.other_cards() == {1: B}
    assert second.take(C, seal) == 2
    assert (second.take(D, seal), second.has_waiting()) == (None, False)


def test_a_resident_whose_card_was_spoiled_may_have_that_of_the_other_batch(
    place: Place, register: Register
) -> None:
    first, second = place.work(register), place.work(register, OTHER)
    assert second.take(A, seal) == 1
    assert first.other_cards() == {2: A}
    second.give_up(A)
    assert (first.other_cards(), first.take(B, seal), first.take(C, seal)) == ({}, 1, 2)


def test_two_stations_never_get_the_same_card(place: Place, register: Register) -> None:
    mine = place.work(register)
    with place.open("two") as other:
        theirs = place.work(other)
        assert (mine.take(A, seal), theirs.take(B, seal), mine.take(C, seal)) == (1, 2, 3)
        assert theirs.take(D, seal) is None


def test_a_lease_that_ended_frees_no_resident_whose_chip_is_bound(
    place: Place, register: Register
) -> None:
    mine = place.work(register, lease=0)
    mine.take(A, seal)
    with place.open("two") as other:
        theirs = place.work(other)
        assert [theirs.take(chip(n), seal) for n in (2, 3, 4)] == [2, 3, None]


def test_before_activate_the_lease_must_not_have_ended(place: Place, register: Register) -> None:
    mine = place.work(register, lease=0)
    mine.take(A, seal)
    with pytest.raises(LeaseEnded, match="took longer"):
        mine.advance(1, CardState.ACTIVATING)


def test_a_station_that_slept_does_not_activate_a_card_that_another_one_has(
    place: Place, register: Register
) -> None:
    mine = place.work(register)
    mine.take(A, seal)
    with place.open("two") as other:
        theirs = place.work(other)
        theirs.take_over(1)
        with pytest.raises(LeaseEnded, match="taken over by station two"):
            mine.advance(1, CardState.ACTIVATING)
        for state in STEPS:
            theirs.advance(1, state)
    assert mine.entry(1).state is CardState.ACTIVE


def test_a_failed_seal_leaves_no_trace_of_the_claim(work: BatchWork) -> None:
    def full(number: int, attempt: int) -> tuple[bytes, bytes]:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        work.take(A, full)
    assert (work.of_chip(A), work.entry(1).state) == (None, CardState.PREPARED)
    assert work.take(A, seal) == 1


def test_a_card_of_a_resident_who_has_an_unknown_card_waits_for_no_chip(work: BatchWork) -> None:
    work.hold(1, D)
    work.hold(1, D)
    assert work.other_cards() == {1: D}
    assert work.take(A, seal) == 2


def test_a_holder_is_found_by_each_of_his_numbers(place: Place, register: Register) -> None:
    register.enter(BATCH, TAGS | {tag("passport"): 2})
    found = BatchWork(register, BATCH)
    assert [found.of_holder(each) for each in (*TAGS, tag("passport"))] == [1, 2, 3, 2]
    assert found.of_holder(tag("nobody")) is None


def test_a_batch_is_not_entered_again_with_other_residents(register: Register) -> None:
    assert register.enter(BATCH, TAGS)
    assert not register.enter(BATCH, TAGS)
    with pytest.raises(JournalConflict, match="with other residents or keys"):
        register.enter(BATCH, TAGS | {tag("somebody"): 3})


def test_the_parts_of_a_batch_are_entered_one_by_one_and_worked_on_apart(
    place: Place, register: Register
) -> None:
    first, rest = replace(BATCH, last=2), replace(BATCH, first=3, last=3)
    tags = {part: {t: n for t, n in TAGS.items() if n in part.numbers} for part in (first, rest)}
    assert register.enter(first, tags[first])
    assert not register.check(BATCH, TAGS)
    assert register.enter(rest, tags[rest])
    assert register.check(BATCH, TAGS)
    work = BatchWork(register, rest)
    assert [entry.number for entry in work.entries()] == [3]
    assert (work.take(A, seal), work.take(B, seal)) == (3, None)
    assert BatchWork(register, first).take(B, seal) == 1
    assert verify(register, TestSigner()).faults == ()


def test_a_whole_batch_is_entered_after_a_part_of_it(register: Register) -> None:
    part = replace(BATCH, last=1)
    register.enter(part, {t: n for t, n in TAGS.items() if n == 1})
    BatchWork(register, part).take(A, seal)
    assert register.enter(BATCH, TAGS)
    states = [entry.state for entry in BatchWork(register, BATCH).entries()]
    assert states == [CardState.PERSONALIZING, CardState.PREPARED, CardState.PREPARED]
    assert verify(register, TestSigner()).faults == ()
