"""The seam between cards and bureau: a reader brings cards, in any order, and is asked for none."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest

from cardlib.emulator import SoftwareCard
from cardlib.errors import CardError
from cardlib.exchange import Connection
from cardlib.facts import ChipSerial
from cardlib.issuance import CardStage
from cardlib.keys.roots import new_roots
from cardlib.keys.store import KeyStore
from personalize.preparation import batch_writing
from personalize.preparation.batch import Batch
from personalize.production.audit import audit
from personalize.production.feed import (
    BroughtCard,
    Feed,
    Wanted,
    Worked,
    identify,
    one_by_one,
)
from personalize.production.issue import issue
from personalize.production.job import CardResult, Job, opened_job
from personalize.production.station import FolderFeed
from personalize.register.conflict import JournalConflict
from personalize.register.states import CardState
from tests.cards.bureau import issue_all, issuer, new_batch, store

T = TypeVar("T")


@dataclass(eq=False)
class Slot:
    """A card in a slot of a test's reader."""

    card: SoftwareCard
    where: str
    made_here: bool = False

    def powered(self) -> AbstractContextManager[Connection]:
        self.card.reset()
        return nullcontext(self.card)


@dataclass
class Hopper:
    """A reader that takes one card after the other, and does not know what will come."""

    cards: list[Slot]
    name: str = "the hopper"
    brought: list[str] = field(default_factory=list)
    wanted: list[bool] = field(default_factory=list)
    comes_again = False
    named_one_by_one = False

    not_brought = "not found in the hopper"

    def alone(self) -> AbstractContextManager[None]:
        return nullcontext()

    def lying(self) -> Iterable[BroughtCard]:
        return ()

    def serve(
        self, work: Callable[[BroughtCard], Worked[T]], wanted: Callable[[], Wanted | None]
    ) -> Iterator[T]:
        return one_by_one(self.bring, work, wanted)

    def bring(self, blank_wanted: bool) -> BroughtCard | None:
        self.wanted.append(blank_wanted)
        if not self.cards:
            return None
        card = self.cards.pop(0)
        self.brought.append(card.where)
        return card

    def put_aside(self, card: BroughtCard) -> None:
        raise AssertionError(f"{card.where} does not lie here")


class Table(Hopper):
    """A reader whose cards lie there and may be looked at again and again."""

    def lying(self) -> Iterable[BroughtCard]:
        return tuple(self.cards)


def blank(number: int, keys: KeyStore | None = None) -> Slot:
    chip = bytes([number]) * 8
    card = SoftwareCard.blank(chip, (keys or store()).blank_keys(chip))
    return Slot(card, f"slot {number}")


@contextmanager
def job_on(batch: Batch, feed: Feed) -> Iterator[Job]:
    with opened_job(batch, issuer(), feed, test_keys=False) as job:
        yield job


def run(batch: Batch, feed: Feed) -> tuple[list[CardResult], list[str]]:
    """Issue; the results, and what was left alone."""
    with job_on(batch, feed) as job:
        return list(issue(job)), job.left_alone


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    return new_batch(tmp_path, 3)


def test_each_card_that_comes_gets_the_next_job(batch: Batch) -> None:
    slots = [blank(n) for n in (5, 3, 9)]
    results, left_alone = run(batch, Hopper(list(slots)))
    assert [(r.number, r.chip, r.state, r.problem) for r in results] == [
        (1, bytes([5]) * 8, CardState.ACTIVE, ""),
        (2, bytes([3]) * 8, CardState.ACTIVE, ""),
        (3, bytes([9]) * 8, CardState.ACTIVE, ""),
    ]
    assert left_alone == []
    for number, slot in enumerate(slots, 1):
        found = identify(slot.where, slot.card)
        assert (found.stage, found.card_number) == (
            CardStage.PERSONALIZED,
            batch.card(number).card_number,
        )
    verified = list(audit(batch, issuer(), Table(list(slots))))
    assert [(v.number, v.findings) for v in verified] == [(1, ()), (2, ()), (3, ())]


def test_no_card_is_asked_for_when_none_is_needed_any_more(batch: Batch) -> None:
    feed = Hopper([blank(n) for n in range(1, 6)])
    assert len(run(batch, feed)[0]) == 3
    assert (feed.brought, feed.wanted) == (["slot 1", "slot 2", "slot 3"], [True] * 3)
    again = Hopper([blank(7)])
    results, _ = run(batch, again)
    assert [r.was_active for r in results] == [True] * 3
    assert again.brought == []


def test_a_card_for_which_no_blank_came_is_said_and_made_by_the_next_run(batch: Batch) -> None:
    results, _ = run(batch, Hopper([blank(1)]))
    assert [r.state for r in results] == [CardState.ACTIVE, CardState.PREPARED, CardState.PREPARED]
    assert [r.problem for r in results][1:] == ["no blank card is left for it in the hopper"] * 2
    results, _ = run(batch, Hopper([blank(2), blank(3)]))
    assert [(r.number, r.was_active, r.problem) for r in results] == [
        (1, True, ""),
        (2, False, ""),
        (3, False, ""),
    ]


def cut_before_personalization(job: Job, slot: Slot) -> None:
    """What a run writes down before it touches a card, and no more."""
    assert job.books.claim(ChipSerial(slot.card.chip)) is not None


def test_a_card_that_was_begun_is_known_by_its_chip_whenever_it_comes(batch: Batch) -> None:
    begun = blank(8)
    with job_on(batch, Hopper([])) as job:
        cut_before_personalization(job, begun)
        pin = job.pins.get(1)
    with job_on(batch, Hopper([blank(1), blank(2), begun])) as job:
        results = list(issue(job))
        assert job.pins.get(1) == pin
    assert [(r.number, r.chip) for r in results] == [
        (2, bytes([1]) * 8),
        (3, bytes([2]) * 8),
        (1, bytes([8]) * 8),
    ]


def test_no_blank_is_wanted_for_a_card_that_was_begun_and_does_not_come(tmp_path: Path) -> None:
    batch, begun = new_batch(tmp_path, 1), blank(8)
    with job_on(batch, Hopper([])) as job:
        cut_before_personalization(job, begun)
    spare = blank(1)
    feed = Hopper([spare])
    (result,), left_alone = run(batch, feed)
    assert feed.wanted == [False, False]
    assert result.problem.startswith("Card with chip 0808080808080808 not found in the hopper")
    assert "--spoiled 0808080808080808" in result.problem
    assert left_alone == []
    assert identify(spare.where, spare.card).stage is CardStage.TRANSPORT


def test_foreign_and_wrong_cards_are_left_as_they_are_and_named(
    batch: Batch, tmp_path: Path
) -> None:
    foreign = blank(7, KeyStore(new_roots()))
    other, others = new_batch(tmp_path, 1, skip=5, name="other"), blank(6)
    assert run(other, Hopper([others]))[0][0].problem == ""
    silent = Slot(Silent(), "slot 5")  # type: ignore[arg-type]
    before = [dict(slot.card.memory.pages) for slot in (foreign, others)]
    results, left_alone = run(batch, Hopper([foreign, others, silent, *map(blank, (1, 2, 3))]))
    assert [r.problem for r in results] == ["", "", ""]
    assert [line.split(" was not used: ")[0] for line in left_alone] == [
        "slot 7",
        "slot 6",
        "slot 5",
    ]
    assert "cryptogram" in left_alone[0] and "not by this batch" in left_alone[1]
    assert foreign.card.state.key_sets[0xFF].tries == 15
    assert dict(others.card.memory.pages) == before[1]
    assert identify("slot 7", foreign.card).stage is CardStage.TRANSPORT


class Silent:
    """A card that answers nothing."""

    atr = b"\x3b\x00"
    observers = ()

    def reset(self) -> bytes:
        return self.atr

    def transmit(self, command: bytes) -> bytes:
        raise CardError("mute")


def test_a_reader_whose_own_blanks_cannot_be_used_is_not_asked_for_more(batch: Batch) -> None:
    feed = Hopper([Slot(Silent(), f"made {n}", made_here=True) for n in (1, 2)])  # type: ignore[arg-type]
    results, left_alone = run(batch, feed)
    assert feed.brought == ["made 1"]
    assert [r.state for r in results] == [CardState.PREPARED] * 3
    assert all(left_alone[0] in r.problem for r in results)


def test_a_card_of_the_batch_that_comes_again_is_named_and_not_made_again(batch: Batch) -> None:
    first = blank(1)
    results, left_alone = run(batch, Hopper([first, first, blank(2), blank(3)]))
    assert [r.number for r in results] == [1, 2, 3]
    assert left_alone == ["slot 1 was not used: it is card 1 of this batch and is active already"]


def test_a_card_of_a_holder_that_lies_there_stops_the_run_before_any_card_is_touched(
    batch: Batch, tmp_path: Path
) -> None:
    again, theirs = new_batch(tmp_path, 1, name="again"), blank(9)
    run(again, Hopper([theirs]))
    mine = blank(1)
    with pytest.raises(
        JournalConflict, match=r"card 1 \(line 2 of the list\).*Nobody gets two cards"
    ):
        run(batch, Table([mine, theirs]))
    assert identify("slot 1", mine.card).stage is CardStage.TRANSPORT


def test_a_holder_is_known_by_each_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A holder of another card's number under any of one's own has a card already."""
    made = new_batch(tmp_path, 1)
    issue_all(made, tmp_path / "cards")
    taken = made.card(1).card_number
    monkeypatch.setattr(
        batch_writing, "holders", lambda values: frozenset({values["card_number"], taken})
    )
    batch = new_batch(tmp_path, 1, skip=1, name="second")
    assert set(batch.holders.values()) == {1} and len(batch.holders) == 2
    with pytest.raises(JournalConflict, match="Nobody gets two cards"):
        issue_all(batch, tmp_path / "cards")


def test_a_folder_without_a_maker_brings_what_lies_there_and_no_more(tmp_path: Path) -> None:
    feed = FolderFeed(tmp_path)
    assert feed.bring(blank_wanted=True) is None
    made = FolderFeed(tmp_path, store()).bring(blank_wanted=True)
    assert made is not None and made.made_here
    assert [card.where for card in feed.lying()] == [made.where]
    again = FolderFeed(tmp_path, store())
    found = again.bring(blank_wanted=True)
    assert found is not None and (found.where, found.made_here) == (made.where, False)
    assert again.bring(blank_wanted=False) is None
    aside = FolderFeed(tmp_path)
    aside.put_aside(found)
    assert aside.bring(blank_wanted=True) is None
    with found.powered() as card:
        assert ChipSerial(card.chip) == ChipSerial.parse(found.path.stem)
