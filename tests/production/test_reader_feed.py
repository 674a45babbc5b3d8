"""Issuing by hand: cards come and go in readers in any order, and everybody gets one card."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardlib.emulator import SoftwareCard
from cardlib.errors import CardError
from cardlib.exchange import Connection
from cardlib.facts import ChipSerial
from cardlib.issuance import CardStage
from cardlib.keys.roots import new_roots, public_test_roots
from cardlib.keys.store import KeyStore
from personalize.preparation.batch import Batch
from personalize.production import reader_feed
from personalize.production.audit import audit
from personalize.production.feed import identify
from personalize.production.issue import issue
from personalize.production.job import CardResult, Job, doubles, opened_job
from personalize.production.journal import Progress, batch_journal
from personalize.production.mailer import letters
from personalize.production.reader_feed import ReaderFeed
from personalize.production.report import Verified
from tests.cards.bureau import die, issue_all, issuer, new_batch, pin_is_right, store
from tests.cards.fed_readers import FedReader, teller
from tests.cards.field_bench import card_of_profile
from tests.cards.field_cards import DEPLOYED
from tests.cards.in_between import READ_RECORD, SELECT
from tests.cards.wrong_cards import Foreign, with_added_key_set
from tests.programs.child import in_child

COUNT = 3
COUNTERS = 0
"""The page in which a card counts INITIALIZE UPDATE commands (and tries, which stay)."""
TAKE_OUT, INSERT = "Take the card out", "insert a"
numbers = itertools.count(1)
hands = threading.Lock()
"""Held while a robot looks where a card is and puts it in."""


def blank(keys: KeyStore | None = None) -> SoftwareCard:
    chip = next(numbers).to_bytes(8, "big")
    return SoftwareCard.blank(chip, (keys or store()).blank_keys(chip))


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_batch(tmp_path_factory.mktemp("pristine"), COUNT).folder


def copied(pristine: Path, to: Path) -> Batch:
    folder = to / "batch"
    folder.mkdir()
    for file in pristine.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return Batch.open(folder, issuer())


@pytest.fixture
def batch(pristine: Path, tmp_path: Path) -> Batch:
    return copied(pristine, tmp_path)


@pytest.fixture
def readers() -> list[FedReader]:
    return [FedReader("left"), FedReader("right")]


Robot = Callable[[threading.Event], None]


@contextmanager
def fed(*robots: Robot, end: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Let robots feed readers while the block runs.

    What goes wrong in one calls `end`, for nobody feeds its reader any more, and is raised.
    """
    ended, problems = threading.Event(), list[BaseException]()

    def run(robot: Robot) -> None:
        try:
            robot(ended)
        except BaseException as error:  # noqa: BLE001 - raised in the test's thread
            problems.append(error)
            end()

    threads = [threading.Thread(target=run, args=(robot,)) for robot in robots]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    for problem in problems:
        raise problem


def feed(
    reader: FedReader,
    card: Connection,
    ended: threading.Event,
    among: Sequence[FedReader] = (),
) -> bool:
    """Put a card in, take it out when that is asked for; False when the run is over.

    A card that is in one of the readers `among` stays there: no card is in two readers at once.
    """
    with hands:
        if any(each.card is card for each in among):
            return True
        since = len(reader.lines)
        reader.insert(card)
    going_on = reader.wait_for(TAKE_OUT, since, ended)
    reader.remove()
    return going_on


def feeding(reader: FedReader, cards: Iterator[Connection], *, patient: bool = False) -> Robot:
    """Feed these cards one after the other; a `patient` robot waits until one is asked for."""

    def robot(ended: threading.Event) -> None:
        since = 0
        for card in cards:
            if patient and not reader.wait_for(INSERT, since, ended):
                return
            since = len(reader.lines)
            if ended.is_set() or not feed(reader, card, ended):
                return

    return robot


@contextmanager
def job_in(batch: Batch, readers: list[FedReader], **more: object) -> Iterator[Job]:
    source = ReaderFeed(readers, teller(*readers), **more)  # type: ignore[arg-type]
    with opened_job(batch, issuer(), source, test_keys=False) as job:
        yield job


def issue_in(batch: Batch, readers: list[FedReader], *robots: Robot) -> list[CardResult]:
    with job_in(batch, readers) as job, fed(*robots, end=job.feed.end):  # type: ignore[attr-defined]
        return sorted(issue(job), key=lambda result: result.number)


def audit_in(batch: Batch, readers: list[FedReader], *robots: Robot) -> list[Verified]:
    source = ReaderFeed(readers, teller(*readers))
    with fed(*robots, end=source.end):
        return sorted(audit(batch, issuer(), source), key=lambda result: result.number)


def assert_everybody_has_one_card(batch: Batch, cards: list[SoftwareCard]) -> None:
    """Of all cards there are, each resident has one; it is the journal's, and its PIN fits."""
    with batch_journal(batch) as journal:
        entries = journal.entries()
    assert [entry.progress for entry in entries] == [Progress.ACTIVE] * len(entries)
    found = []
    for card in cards:
        card.reset()
        said = identify("", card)
        if said.stage is CardStage.PERSONALIZED:
            found.append((said.card_number, said.chip))
    assert Counter(found) == Counter(
        (batch.card(entry.number).card_number, entry.chip) for entry in entries
    )
    mailing = letters(batch, issuer())
    assert (len(mailing.letters), mailing.problems) == (len(entries), [])
    by_chip = {bytes(card.chip).hex().upper(): card for card in cards}
    for letter in mailing.letters:
        card = by_chip[str(letter.chip)]
        card.reset()
        pin_is_right(card, store().terminal_keys, letter.pin)


def test_a_batch_is_issued_and_verified_in_one_reader(
    batch: Batch, readers: list[FedReader]
) -> None:
    left, cards = readers[0], [blank() for _ in range(COUNT)]
    results = issue_in(batch, [left], feeding(left, iter(cards), patient=True))
    assert [(r.number, r.progress, r.problem) for r in results] == [
        (n, Progress.ACTIVE, "") for n in (1, 2, 3)
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
    assert (last.progress, last.chip) == (Progress.PREPARED, None)
    assert last.problem == "no blank card is left for it in left and right"


def at(count: int, happens: Callable[[], bool]) -> Callable[[], bool]:
    """Something that happens at a certain command, once."""
    countdown = itertools.count(1)
    return lambda: next(countdown) == count and happens()


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


# --- wrong cards --------------------------------------------------------------------------


def of_another_batch(folder: Path) -> SoftwareCard:
    other, card, reader = new_batch(folder, 1, skip=5, name="other"), blank(), FedReader("other")
    issue_in(other, [reader], feeding(reader, iter([card])))
    return card


class Mute(Foreign):
    """A card of ours, by its answer to reset, that answers nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.atr = blank().atr

    def transmit(self, command: bytes) -> bytes:
        raise CardError("no answer from the card")


WRONG: dict[str, tuple[Callable[[Path], Connection], str]] = {
    "another batch": (of_another_batch, "it is personalized, but not by this batch"),
    "not ours": (lambda _: Foreign(), "not a resident health card"),
    "mute": (lambda _: Mute(), "no answer from the card"),
    "other keys": (lambda _: blank(KeyStore(new_roots())), "are not those of this key store"),
    "public keys": (lambda _: blank(KeyStore(public_test_roots())), "published test keys"),
    **{
        kind: (lambda _, profile=profile: card_of_profile(profile), "it is a deployed card")  # type: ignore[misc]
        for kind, profile in DEPLOYED.items()
    },
    "added keys": (
        lambda _: with_added_key_set(blank(), store()),
        "the blank card has 2 key sets, of versions 30 FF",
    ),
}


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
    assert [(r.number, r.progress) for r in again if r.problem] == [(1, Progress.PREPARED)]
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
    assert [(r.number, r.progress) for r in results if r.problem] == [(1, Progress.PERSONALIZED)]
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
    """A reader whose card another program keeps in a transaction: to connect has no end."""

    def connect(self) -> AbstractContextManager[Connection]:  # type: ignore[override]
        self.kept.wait()
        return super().connect()

    kept = threading.Event()


def test_a_card_that_another_program_keeps_is_told_and_made_when_it_comes_again(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_feed, "_CONNECT_TIME", 0.1)
    left, cards = KeptByAnother("left"), [blank() for _ in range(COUNT)]

    def robot(ended: threading.Event) -> None:
        feed(left, cards[0], ended)
        left.kept.set()
        for card in cards:
            feed(left, card, ended)

    issue_in(batch, [left], robot)
    assert (
        "another program uses the card: close that program. It can be inserted again"
        in left.lines[1]
    )
    assert_everybody_has_one_card(batch, cards)


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
    assert [r.progress for r in results] == [Progress.PREPARED] * COUNT
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
        assert job.journal.entry(1).progress is Progress.ACTIVE


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


# --- anything in any order ----------------------------------------------------------------

WALK_SECONDS = 120.0
"""Longer than a walk ever takes."""
KINDS = ("blank", "begun", *sorted(WRONG.keys() - {"another batch"}))


@dataclass(frozen=True)
class Step:
    """One card into one reader; after so many commands something happens to it."""

    reader: int
    kind: str
    after: int
    event: str


steps = st.builds(
    Step,
    st.integers(0, 1),
    st.sampled_from(KINDS),
    st.integers(1, 200),
    st.sampled_from(["nothing", "pulled", "unplugged"]),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(steps, max_size=6))
def test_nobody_gets_two_cards_and_nobody_is_lost_whatever_comes_and_goes(
    pristine: Path, script: list[Step]
) -> None:
    with TemporaryDirectory() as folder:
        batch = copied(pristine, Path(folder))
        readers = [FedReader("left"), FedReader("right")]
        made: list[SoftwareCard] = []
        wrong: list[Connection] = []

        def card_for(kind: str) -> Connection:
            if kind == "begun" and made:
                return made[-1]
            if kind in WRONG:
                wrong.append(WRONG[kind][0](Path(folder)))
                return wrong[-1]
            made.append(blank())
            return made[-1]

        def robot(reader: FedReader, mine: list[Step]) -> Robot:
            def run(ended: threading.Event) -> None:
                for step in mine:
                    play(reader, step, card_for(step.kind), ended, readers)
                until = time.monotonic() + WALK_SECONDS
                while not ended.is_set():
                    assert time.monotonic() < until, [each.lines for each in readers]
                    # A blank of other keys that was pulled out is freed when it comes again.
                    for card in [*made, *wrong, card_for("blank")]:
                        feed(reader, card, ended, readers)

            return run

        robots = [
            robot(reader, [step for step in script if step.reader == number])
            for number, reader in enumerate(readers)
        ]
        results = issue_in(batch, readers, *robots)
        assert [(r.number, r.problem) for r in results] == [(1, ""), (2, ""), (3, "")]
        assert_everybody_has_one_card(batch, made)


def play(
    reader: FedReader,
    step: Step,
    card: Connection,
    ended: threading.Event,
    among: Sequence[FedReader],
) -> None:
    def unplugged() -> bool:
        reader.unplug()
        return False

    events = {"nothing": lambda: False, "pulled": lambda: True, "unplugged": unplugged}
    reader.cut = at(step.after, events[step.event])
    feed(reader, card, ended, among)
    reader.cut = lambda: False
    reader.plug_in()


def test_a_batch_that_is_done_asks_for_nothing(
    batch: Batch, readers: list[FedReader], tmp_path: Path
) -> None:
    issue_all(batch, tmp_path / "cards")
    results = issue_in(batch, readers)
    assert [r.was_active for r in results] == [True] * COUNT
    assert all(not reader.lines for reader in readers)
