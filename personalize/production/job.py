"""What a run that issues a batch needs, opened and checked, and the results of its cards."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from cardlib.checks.findings import NOTHING_LEFT_OUT, LeftOut
from cardlib.errors import CardError, CardKeyError
from cardlib.facts import ChipSerial
from cardlib.issuance import CardStage
from cardlib.keys.issuer import CardJob, Issuer
from cardlib.transport.meter import Figures

from ..listing.holders import comparable, in_one_spelling
from ..preparation.batch import Batch
from ..register.conflict import JournalConflict
from ..register.states import CardState
from .bookkeeping import Bureau, opened_to_issue
from .books import Books, Pins, Work
from .feed import BroughtCard, Feed, Identified, identify, not_used, refuse_copy


class NotUsed(CardError):
    """A card is not for this batch. It was not changed."""


class Held(CardError):
    """A card must not be made or finished: its resident has another card."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a run needs, opened and checked.

    `left_alone` names each card that was brought and not used, with the reason. `in_hand` are the
    chips that are worked on now: with several readers, more than one.
    """

    batch: Batch
    issuer: Issuer
    feed: Feed
    books: Books
    left_alone: list[str] = field(default_factory=list)
    in_hand: set[ChipSerial] = field(default_factory=set)

    @property
    def journal(self) -> Work:
        """What was done on the batch."""
        return self.books.work

    @property
    def pins(self) -> Pins:
        """The PINs of the batch."""
        return self.books.pins

    def leave_alone(self, card: BroughtCard, why: object) -> None:
        """Note that a card is not used, and why."""
        self.left_alone.append(not_used(card, why))

    def number_on(self, found: Identified) -> int | None:
        """Which card of the batch is for the holder whose number is on a card; None if none is."""
        for form in (comparable, in_one_spelling):
            holder = self.books.tag(form(found.card_number))
            if found.card_number and (number := self.journal.of_holder(holder)) is not None:
                return number
        return None


@dataclass(frozen=True, slots=True)
class CardResult:
    """The result for one card, without personal data.

    `problem` is empty if the card is active and its PIN is in the PIN file.
    """

    number: int
    line: int
    chip: ChipSerial | None
    state: CardState
    problem: str = ""
    figures: Figures = field(default_factory=Figures)
    seconds: float = 0.0
    was_active: bool = False
    left_out: LeftOut = NOTHING_LEFT_OUT


@contextmanager
def opened_job(
    batch: Batch, issuer: Issuer, feed: Feed, *, test_keys: bool, bureau: Bureau | None = None
) -> Iterator[Job]:
    """Open the books of the batch, lock the feed, and look at the cards in the feed.

    CardKeyError for the published test keys without `test_keys`. JournalConflict when another run
    is working on this, when a resident of the batch has another card already, or when the PIN file
    has PINs that the journal does not know. FormatError when nothing in the PIN file can be read.
    """
    if issuer.is_test and not test_keys:
        raise CardKeyError(
            "this key store holds the published test keys: anybody can read and change cards that"
            " are made with them. For a trial add --test-keys. For residents use another key store"
        )
    with ExitStack() as stack:
        books = stack.enter_context(opened_to_issue(batch, issuer, bureau))
        stack.enter_context(feed.alone())
        job = Job(batch, issuer, feed, books)
        _look_at_all(job)
        yield job


def give_up(job: Job, chip: ChipSerial) -> None:
    """Let the record of a lost or broken chip have another one.

    JournalConflict as `Journal.give_up`; CardKeyError when the key agent does not allow it.
    """
    entry = job.journal.of_chip(chip)
    if entry is not None and entry.state not in (CardState.ACTIVE, CardState.ACTIVATING):
        job.issuer.give_up(CardJob(job.batch.uuid, entry.number, chip))
    job.journal.give_up(chip)


def _look_at_all(job: Job) -> None:
    """Look at all cards in the feed before any is changed; put those that are done aside."""
    seen: dict[ChipSerial, str] = {}
    for card in job.feed.lying():
        try:
            with card.powered() as connection:
                found = identify(card.where, connection)
        except CardError as error:
            job.leave_alone(card, error)
            job.feed.put_aside(card)
            continue
        refuse_copy(seen, found.chip, card, job.feed)
        check_no_double(job, found)
        entry = job.journal.of_chip(found.chip)
        is_open = entry is not None and entry.state is not CardState.ACTIVE
        if found.stage is CardStage.PERSONALIZED and not is_open:
            if entry is None and job.feed.named_one_by_one:
                job.leave_alone(card, f"it is {found.stage}, but not by this batch")
            job.feed.put_aside(card)


def check_no_double(job: Job, found: Identified) -> None:
    """Refuse a card of a resident of this batch that this journal did not make.

    JournalConflict when it lies in a folder. When a person inserted it, the run goes on: the card
    of that resident is held, now and in each later run, and NotUsed says so.
    """
    number = job.number_on(found)
    if number is None or found.chip in job.journal.spoiled():
        return
    if job.journal.entry(number).chip == found.chip:
        return
    if job.feed.comes_again:
        job.journal.hold(number, found.chip)
        raise NotUsed(held(job, number, found.chip))
    raise JournalConflict(
        f"{_named(job, number)}: this resident has a card already, with chip {found.chip} in"
        f" {job.feed.name}, which this batch did not make. Nobody gets two cards: prepare a list of"
        " the residents who have no card yet, without this one. That card was not changed"
    )


def held(job: Job, number: int, other: ChipSerial) -> str:
    """What to say about a card of the batch whose resident has another card, with this chip."""
    entry = job.journal.entry(number)
    theirs = f"{_named(job, number)}: this resident has another card, with chip {other}"
    if entry.state is CardState.ACTIVE:
        return (
            f"{theirs}, beside that of this batch, with chip {entry.chip}. Find both, keep them"
            " apart, and give out one of them at most"
        )
    made = f". Keep chip {entry.chip} apart: it was begun" if entry.chip else ""
    return f"{theirs}, which this batch did not make. So no card is made for the resident{made}"


def doubles(job: Job) -> dict[int, str]:
    """What to say about each resident who has a card that this batch did not make, by number."""
    others = sorted(job.journal.other_cards().items())
    return {number: held(job, number, chip) for number, chip in others}


def _named(job: Job, number: int) -> str:
    return f"card {number} (line {job.batch.card(number).line} of the list)"


@contextmanager
def in_hand(job: Job, chip: ChipSerial) -> Iterator[None]:
    """Work on a chip; NotUsed while another reader works on the same chip serial."""
    if chip in job.in_hand:
        raise NotUsed(f"chip {chip} is in another reader at the same time: one of them is a copy")
    job.in_hand.add(chip)
    try:
        yield
    finally:
        job.in_hand.discard(chip)
