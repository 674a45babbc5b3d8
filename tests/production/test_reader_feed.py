"""Issuing by hand: cards come and go in readers in any order, and everybody gets one card."""

import threading
from contextlib import closing
from pathlib import Path

import pytest

from cardlib.emulator import SoftwareCard
from personalize.preparation.batch import Batch
from personalize.production.issue import issue
from personalize.production.job import opened_job
from personalize.production.journal import batch_journal
from personalize.production.reader_feed import ReaderFeed
from personalize.register.states import CardState
from tests.cards.bureau import die, issue_all, issuer
from tests.cards.fed_readers import FedReader, teller
from tests.production.fed_batches import (
    COUNT,
    TAKE_OUT,
    assert_everybody_has_one_card,
    at,
    audit_in,
    blank,
    fed,
    feed,
    feeding,
    issue_in,
    job_in,
)
from tests.programs.child import in_child


def test_a_batch_is_issued_and_verified_in_one_reader(
    batch: Batch, readers: list[FedReader]
) -> None:
    left, cards = readers[0], [blank() for _ in range(COUNT)]
    results = issue_in(batch, [left], feeding(left, iter(cards), patient=True))
    assert [(r.number, r.state, r.problem) for r in results] == [
        (n, CardState.ACTIVE, "") for n in (1, 2, 3)
    ]
    assert_everybody_has_one_card(batch, cards)
    assert [line for line in left.lines if "active" in line] == [
        "left: insert a blank card (0 of 3 cards are active)",
        f"left: card 1 (line 2 of the list, chip {results[0].chip}) is active. {TAKE_OUT}",
        "left: insert a blank card (1 of 3 cards are active)",
        f"left: card 2 (line 3 of the list, chip {results[1].chip}) is active. {TAKE_OUT}",
        "left: insert a blank card (2 of 3 cards are active)",
        f"left: card 3 (line 4 of the list, chip {results[2].chip}) is active. {TAKE_OUT}",
    ]
    verified = audit_in(batch, [left], feeding(left, iter(cards[::-1])))
    assert [(v.number, v.findings) for v in verified] == [(1, ()), (2, ()), (3, ())]


def test_two_readers_share_a_batch(batch: Batch, readers: list[FedReader]) -> None:
    cards = [blank() for _ in range(2 * COUNT)]
    halves = [cards[:COUNT], cards[COUNT:]]
    robots = [feeding(r, iter(half)) for r, half in zip(readers, halves, strict=True)]
    results = issue_in(batch, readers, *robots)
    assert [r.problem for r in results] == [""] * COUNT
    assert_everybody_has_one_card(batch, cards)


def test_both_readers_have_a_card_at_work_at_the_same_time(
    batch: Batch, readers: list[FedReader]
) -> None:
    """Each card waits, at its tenth command, for the other to be there too."""
    meeting, cards = threading.Barrier(2), [blank(), blank()]
    for reader in readers:
        reader.cut = at(10, lambda: bool(meeting.wait(20)) and False)
    robots = [feeding(r, iter([card])) for r, card in zip(readers, cards, strict=True)]
    ended_by_hand = ReaderFeed(readers, teller(*readers))
    with (
        opened_job(batch, issuer(), ended_by_hand, test_keys=False) as job,
        fed(*robots),
    ):
        results = issue(job)
        assert [next(results).problem, next(results).problem] == ["", ""]
        ended_by_hand.end()
        (last,) = results
    assert (last.state, last.chip) == (CardState.PREPARED, None)
    assert last.problem == "no blank card is left for it in left and right"


@pytest.mark.parametrize("command", [1, 2, 5, 9, 12, 15, 20, 40, 80, 150])
def test_a_card_that_is_pulled_out_is_told_and_finished_when_it_comes_back(
    batch: Batch, readers: list[FedReader], command: int
) -> None:
    left, right = readers
    cards = [blank() for _ in range(COUNT)]
    first, *others = cards
    left.cut = at(command, lambda: True)

    def robot(ended: threading.Event) -> None:
        left.insert(first)
        left.wait_for("pulled out", 0)
        left.wait_for(TAKE_OUT, 0)
        for card in others:
            feed(right, card, ended)
        feed(right, first, ended)

    results = issue_in(batch, readers, robot)
    assert [r.problem for r in results] == [""] * COUNT
    assert_everybody_has_one_card(batch, cards)
    with batch_journal(batch) as journal:
        chips = [entry.chip for entry in journal.entries()]
    assert set(chips) == {card.chip for card in cards}


def test_a_card_that_does_not_come_back_is_named_with_its_chip(
    batch: Batch, readers: list[FedReader]
) -> None:
    left, first = readers[0], blank()
    left.cut = at(30, lambda: True)
    with job_in(batch, [left]) as job:

        def robot(ended: threading.Event) -> None:
            feed(left, first, ended)
            for _ in range(COUNT - 1):
                feed(left, blank(), ended)
            left.wait_for("insert a card that was begun", 0)
            job.feed.end()  # type: ignore[attr-defined]

        with fed(robot):
            results = list(issue(job))
    assert [r.number for r in results] == [2, 3, 1]
    assert "pulled out" in results[-1].problem and results[-1].chip == first.chip
    again = issue_in(batch, [left], feeding(left, iter([first])))
    assert [r.problem for r in again] == [""] * COUNT


def test_a_batch_that_is_done_asks_for_nothing(
    batch: Batch, readers: list[FedReader], tmp_path: Path
) -> None:
    issue_all(batch, tmp_path / "cards")
    results = issue_in(batch, readers)
    assert [r.was_active for r in results] == [True] * COUNT
    assert all(not reader.lines for reader in readers)


# --- readers that fail --------------------------------------------------------------------


def test_a_reader_that_is_unplugged_does_not_stop_the_other(
    batch: Batch, readers: list[FedReader]
) -> None:
    left, right = readers
    first, cards = blank(), [blank() for _ in range(COUNT - 1)]

    def unplugged() -> bool:
        left.unplug()
        return False

    left.cut = at(30, unplugged)

    def robot(ended: threading.Event) -> None:
        left.insert(first)
        left.wait_for("the reader was unplugged. Waiting", 0)
        for card in cards:
            feed(right, card, ended)
        left.plug_in()

    results = issue_in(batch, readers, robot)
    assert [r.problem for r in results] == [""] * COUNT
    assert "left: the reader is there again" in left.lines
    assert_everybody_has_one_card(batch, [first, *cards])


def test_a_run_whose_readers_stay_away_ends_and_says_which_cards_are_missing(
    batch: Batch, readers: list[FedReader]
) -> None:
    for reader in readers:
        reader.unplug()
    with job_in(batch, readers, patience=0.0) as job:
        results = list(issue(job))
    assert [r.state for r in results] == [CardState.PREPARED] * COUNT
    assert all(r.lines[-1].endswith("not used any more in this run") for r in readers)


# --- signals and deaths -------------------------------------------------------------------


class Told(BaseException):
    """What a signal raises."""


def test_a_signal_lets_the_cards_in_hand_be_finished(
    batch: Batch, readers: list[FedReader]
) -> None:
    left, card, told = readers[0], blank(), threading.Event()

    def signal_comes() -> bool:
        told.set()
        return False

    left.cut = at(30, signal_comes)

    def poll() -> None:
        if told.is_set():
            raise Told

    with job_in(batch, [left]) as job:
        job.feed.poll = poll  # type: ignore[attr-defined]
        left.insert(card)
        with closing(issue(job)) as results, pytest.raises(Told):
            list(results)
        assert job.journal.entry(1).state is CardState.ACTIVE


@pytest.mark.parametrize("command", [1, 8, 14, 30, 90])
def test_a_run_that_dies_with_two_cards_in_hand_is_finished_by_the_next(
    batch: Batch, readers: list[FedReader], tmp_path: Path, command: int
) -> None:
    """The cards are files here, because a child dies: what they hold must outlive it."""
    cards = [blank() for _ in range(COUNT)]
    paths = [tmp_path / f"{card.chip.hex()}.card" for card in cards]
    for card, path in zip(cards, paths, strict=True):
        card.save(path)
        card.close()

    def dies() -> bool:
        die()
        return False

    def first_run() -> None:
        opened = [SoftwareCard.open(path) for path in paths[:2]]
        for reader, card in zip(readers, opened, strict=True):
            reader.cut = at(command, dies)
            reader.insert(card)
        issue_in(batch, readers)

    assert in_child(first_run) == -9
    left = readers[0]
    again = [SoftwareCard.open(path) for path in paths]
    try:
        issue_in(batch, [left], feeding(left, iter(again)))
        assert_everybody_has_one_card(batch, again)
    finally:
        for card in again:
            card.close()
