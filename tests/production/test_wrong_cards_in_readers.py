"""Issuing by hand, with cards that do not belong there: each is named and left as it is."""

import threading
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from cardlib.emulator import SoftwareCard
from cardlib.exchange import Connection
from cardlib.facts import ChipSerial
from cardlib.issuance import CardStage
from cardlib.transport.pcsc import CardPulledOut
from personalize.preparation.batch import Batch
from personalize.production import reader_feed
from personalize.production.feed import identify
from personalize.production.issue import issue
from personalize.production.job import doubles
from personalize.register.states import CardState
from tests.cards.bureau import new_batch, store
from tests.cards.fed_readers import FedReader
from tests.cards.field_bench import card_of_profile
from tests.cards.field_cards import DEPLOYED
from tests.cards.in_between import READ_RECORD, SELECT
from tests.cards.wrong_cards import Foreign
from tests.production.fed_batches import (
    COUNT,
    COUNTERS,
    TAKE_OUT,
    WRONG,
    assert_everybody_has_one_card,
    at,
    audit_in,
    blank,
    feed,
    feeding,
    issue_in,
    job_in,
)


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_card_is_named_and_left_as_it_is_and_the_run_goes_on(
    batch: Batch, readers: list[FedReader], tmp_path: Path, kind: str
) -> None:
    make, words = WRONG[kind]
    left, wrong, cards = readers[0], make(tmp_path), [blank() for _ in range(COUNT)]
    before = dict(wrong.memory.pages) if isinstance(wrong, SoftwareCard) else {}
    results = issue_in(batch, [left], feeding(left, iter([cards[0], wrong, *cards[1:]])))
    assert [r.problem for r in results] == [""] * COUNT
    (told,) = [line for line in left.lines if "this card is not used: " in line]
    assert words in told and told.endswith(TAKE_OUT)
    if kind == "not ours":
        assert isinstance(wrong, Foreign)
        assert {command[1] for command in wrong.received} <= {SELECT, READ_RECORD}
    if isinstance(wrong, SoftwareCard):
        counted = {COUNTERS} if kind.endswith(" keys") else set()
        after = dict(wrong.memory.pages)
        assert {page for page in after if after[page] != before.get(page)} <= counted
        assert {keys.tries for keys in wrong.state.key_sets.values()} == {15}
    assert_everybody_has_one_card(batch, cards)


@pytest.mark.parametrize("kind", DEPLOYED)
def test_a_deployed_card_is_named_and_handed_back_when_a_batch_is_verified(
    batch: Batch, readers: list[FedReader], kind: str
) -> None:
    left, cards = readers[0], [blank() for _ in range(COUNT)]
    issue_in(batch, [left], feeding(left, iter(cards)))
    theirs, before = card_of_profile(DEPLOYED[kind]), len(left.lines)
    memory = dict(theirs.memory.pages)
    results = audit_in(batch, [left], feeding(left, iter([theirs, *cards])))
    assert [r.findings for r in results] == [()] * COUNT
    (told,) = [line for line in left.lines[before:] if "this card was not verified: " in line]
    assert "it is a deployed card, which somebody else issued" in told
    assert "Hand it back" in told and told.endswith(TAKE_OUT)
    assert dict(theirs.memory.pages) == memory


def test_a_card_that_this_batch_made_is_named_and_not_made_again(
    batch: Batch, readers: list[FedReader]
) -> None:
    left, cards = readers[0], [blank() for _ in range(COUNT)]
    issue_in(batch, [left], feeding(left, iter([cards[0], cards[0], *cards[1:]])))
    assert any("it is card 1 of this batch and is active already" in line for line in left.lines)
    assert_everybody_has_one_card(batch, cards)


def test_a_resident_with_another_card_gets_none_then_or_later_and_the_others_get_theirs(
    batch: Batch, readers: list[FedReader], tmp_path: Path
) -> None:
    left, theirs = readers[0], of_holder(tmp_path)
    before, cards = dict(theirs.memory.pages), [blank() for _ in range(COUNT - 1)]
    results = issue_in(batch, [left], feeding(left, iter([theirs, *cards])))
    chip = ChipSerial(theirs.chip)
    other = f"card 1 (line 2 of the list): this resident has another card, with chip {chip}"
    assert [r.problem[: len(other)] for r in results] == [other, "", ""]
    assert dict(theirs.memory.pages) == before
    spare = blank()
    again = issue_in(batch, [left], feeding(left, iter([spare])))
    assert [(r.number, r.state) for r in again if r.problem] == [(1, CardState.PREPARED)]
    assert other in again[-1].problem or other in again[0].problem
    spare.reset()
    assert identify("", spare).stage is CardStage.TRANSPORT


def test_a_card_is_not_activated_when_another_of_its_resident_comes_meanwhile(
    batch: Batch, readers: list[FedReader], tmp_path: Path
) -> None:
    theirs, mine = of_holder(tmp_path), blank()
    left, right = readers

    def comes() -> bool:
        left.insert(theirs)
        left.wait_for(TAKE_OUT, 0)
        return False

    right.cut = at(30, comes)
    cards = [mine, *[blank() for _ in range(COUNT - 1)]]
    results = issue_in(batch, readers, feeding(right, iter(cards)))
    assert [(r.number, r.state) for r in results if r.problem] == [(1, CardState.PERSONALIZING)]
    assert f"Keep chip {ChipSerial(mine.chip)} apart" in results[0].problem
    assert any("this card is not finished: card 1" in line for line in right.lines)


def test_a_second_card_of_a_resident_whose_card_is_active_is_told_in_each_later_run(
    batch: Batch, readers: list[FedReader], tmp_path: Path
) -> None:
    left, theirs = readers[0], of_holder(tmp_path)
    cards = [blank() for _ in range(COUNT)]
    issue_in(batch, [left], feeding(left, iter([cards[0], theirs, *cards[1:]])))
    (told,) = [line for line in left.lines if "beside that of this batch" in line]
    assert cards[0].chip.hex().upper() in told and theirs.chip.hex().upper() in told
    with job_in(batch, [left]) as job:
        assert [r.problem for r in issue(job)] == [""] * COUNT
        assert list(doubles(job).values()) == [told.removeprefix("left: this card is not used: ")
                                .removesuffix(f". {TAKE_OUT}")]  # fmt: skip


def of_holder(folder: Path) -> SoftwareCard:
    again, card, reader = new_batch(folder, 1, name="again"), blank(), FedReader("again")
    issue_in(again, [reader], feeding(reader, iter([card])))
    return card


def test_a_copy_in_another_reader_is_refused_while_its_original_is_made(
    batch: Batch, readers: list[FedReader]
) -> None:
    left, right = readers
    mine, others = blank(), [blank() for _ in range(COUNT - 1)]
    copy = SoftwareCard.blank(mine.chip, store().blank_keys(mine.chip))

    def copy_comes() -> bool:
        right.insert(copy)
        right.wait_for(TAKE_OUT, 0)
        return False

    left.cut = at(30, copy_comes)

    def robot(ended: threading.Event) -> None:
        for card in (mine, *others):
            feed(left, card, ended)

    issue_in(batch, readers, robot)
    assert any("one of them is a copy" in line for line in right.lines)
    assert_everybody_has_one_card(batch, [mine, *others])
    copy.reset()
    assert identify("", copy).stage is CardStage.TRANSPORT


def test_a_blank_copy_of_a_card_that_was_personalized_is_not_made(
    batch: Batch, readers: list[FedReader]
) -> None:
    left, mine = readers[0], blank()
    others = [blank() for _ in range(COUNT - 1)]
    copy = SoftwareCard.blank(mine.chip, store().blank_keys(mine.chip))
    left.cut = at(60, lambda: True)
    cards = iter([mine, copy, mine, *others])
    issue_in(batch, [left], feeding(left, cards))
    assert any("was personalized already, and this card is blank" in line for line in left.lines)
    assert_everybody_has_one_card(batch, [mine, *others])
    copy.reset()
    assert identify("", copy).stage is CardStage.TRANSPORT


class Exchanged:
    """A card that is exchanged for another at a command, so quickly that no reader notices."""

    def __init__(self, card: SoftwareCard, other: SoftwareCard, command: int) -> None:
        self._card, self._other, self._left = card, other, command

    @property
    def atr(self) -> bytes:
        return self._card.atr

    def reset(self) -> bytes:
        return self._card.reset()

    def transmit(self, command: bytes) -> bytes:
        self._left -= 1
        if not self._left:
            self._card = self._other
            self._card.reset()
        return self._card.transmit(command)


@pytest.mark.parametrize("command", range(4, 20))
def test_a_card_that_is_exchanged_unnoticed_frees_no_chip_that_was_changed(
    batch: Batch, readers: list[FedReader], command: int
) -> None:
    left, cards = readers[0], [blank() for _ in range(COUNT)]
    first, *others = cards
    swapped = Exchanged(first, others[0], command)
    results = issue_in(batch, [left], feeding(left, iter([swapped, first, *others])))
    assert [(r.problem, r.chip) for r in results] == [("", card.chip) for card in cards]
    assert_everybody_has_one_card(batch, cards)


@pytest.mark.parametrize("command", [1, 10, 40, 90])
def test_a_card_that_is_exchanged_while_it_is_verified_is_not_called_bad(
    batch: Batch, readers: list[FedReader], command: int
) -> None:
    left, cards = readers[0], [blank() for _ in range(COUNT)]
    issue_in(batch, [left], feeding(left, iter(cards)))
    since = len(left.lines)
    swapped = Exchanged(cards[0], blank(), command)
    verified = audit_in(batch, [left], feeding(left, iter([swapped, *cards])))
    assert [v.findings for v in verified] == [()] * COUNT
    (told,) = [line for line in left.lines[since:] if "was not verified" in line]
    assert "another one is in the reader. It can be inserted again" in told


def test_a_blank_copy_of_an_active_card_is_called_a_copy_and_not_active(
    batch: Batch, readers: list[FedReader]
) -> None:
    left, cards = readers[0], [blank() for _ in range(COUNT)]
    copy = SoftwareCard.blank(cards[0].chip, store().blank_keys(cards[0].chip))
    issue_in(batch, [left], feeding(left, iter([cards[0], copy, *cards[1:]])))
    (told,) = [line for line in left.lines if "this card is not used" in line]
    assert "it is a copy. Keep it apart" in told and "active already" not in told


def test_a_reader_does_not_ask_for_a_card_that_is_in_hand_in_the_other(
    batch: Batch, readers: list[FedReader]
) -> None:
    """The last card is at work: nobody may take it out to put it into the other reader."""
    left, right = readers
    cards = [blank() for _ in range(COUNT)]

    def asked() -> bool:
        right.wait_for("wait: the last cards are in the other readers", 0)
        return False

    def robot(ended: threading.Event) -> None:
        for card in cards[:-1]:
            feed(left, card, ended)
        left.cut = at(30, asked)
        feed(left, cards[-1], ended)

    issue_in(batch, readers, robot)
    assert not any("a card that was begun" in line for line in left.lines + right.lines)


class KeptByAnother(FedReader):
    """A reader whose card another program keeps in a transaction: to connect has no end.

    Who waited for a card that has gone meanwhile gets no other one.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.free = threading.Event()

    def connect(self) -> AbstractContextManager[Connection]:  # type: ignore[override]
        insertion = self.insertion
        self.free.wait()
        if self.insertion != insertion:
            raise CardPulledOut(f"{self.name}: the card was pulled out")
        return super().connect()


def test_a_card_that_another_program_keeps_is_told_and_made_when_it_comes_again(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_feed, "_CONNECT_TIME", 0.1)
    left, cards = KeptByAnother("left"), [blank() for _ in range(COUNT)]

    def robot(ended: threading.Event) -> None:
        feed(left, cards[0], ended)
        left.free.set()
        for card in cards:
            feed(left, card, ended)

    issue_in(batch, [left], robot)
    assert (
        "another program uses the card: close that program. It can be inserted again"
        in left.lines[1]
    )
    assert_everybody_has_one_card(batch, cards)
