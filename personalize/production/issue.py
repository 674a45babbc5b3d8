"""Issue a batch: a blank for each prepared card, personalized, verified, activated, journaled.

A feed brings cards; each says which one it is, and then a card of the batch is claimed for it. The
journal says which chip a card got, before the chip is touched; the card says how far it came. So a
run that was cut anywhere goes on where it was: no card is made twice and none is forgotten.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from cardlib.checks.verify import verify_card
from cardlib.errors import CardError, CardKeyError, ChannelError, FormatError, StatusWordError
from cardlib.exchange import Connection, observed
from cardlib.facts import ChipSerial, Pin
from cardlib.issuance import CardStage, IssuerSession, personalize, stage
from cardlib.keys import Issuer
from cardlib.layout.load import Records, records
from cardlib.status import StatusWord
from cardlib.transport.meter import Figures, Meter

from ..listing.holders import comparable
from ..preparation.batch import Batch
from ..preparation.prepared import PreparedCard
from .feed import BroughtCard, Feed, Identified, identify, not_found, refuse_copy
from .journal import Entry, Journal, JournalConflict, Progress, batch_journal
from .pins import PinFile, open_pins
from .station import alone_with

_NAMED = 5


class NotAsPrepared(CardError):
    """A card that does not hold what it should, found before it was activated."""


class _NotOurBlank(CardError):
    """A blank that does not know our transport keys; it is still as it was."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a run needs, all of it opened and checked.

    `left_alone` names each card that was brought and not used, and says why.
    """

    batch: Batch
    issuer: Issuer
    feed: Feed
    journal: Journal
    pins: PinFile
    left_alone: list[str] = field(default_factory=list)

    def leave_alone(self, card: BroughtCard, why: object) -> None:
        """Say that a card is none of ours."""
        self.left_alone.append(f"{card.where} left alone: {why}")

    def number_on(self, found: Identified) -> int | None:
        """The number in the batch of the card whose holder a card bears, if there is one."""
        if not found.card_number:
            return None
        return self.journal.of_holder(self.issuer.holder_hash(comparable(found.card_number)))


@dataclass(frozen=True, slots=True)
class CardResult:
    """What became of one card; `problem` is empty when it is active. No personal data."""

    number: int
    line: int
    chip: ChipSerial | None
    progress: Progress
    problem: str = ""
    figures: Figures = field(default_factory=Figures)
    seconds: float = 0.0
    was_active: bool = False


@contextmanager
def opened_job(batch: Batch, issuer: Issuer, feed: Feed, *, test_keys: bool) -> Iterator[Job]:
    """Lock batch and feed, open the journal and the PIN file, look at the cards that lie there.

    CardKeyError for public keys without `test_keys`; JournalConflict when another run is at work
    or a card of the batch is on another card already.
    """
    if issuer.is_test and not test_keys:
        raise CardKeyError(
            "the key store holds public test keys: such cards protect nobody; for a trial say"
            " --test-keys"
        )
    with ExitStack() as stack:
        stack.enter_context(alone_with(batch.folder))
        stack.enter_context(feed.alone())
        journal = stack.enter_context(batch_journal(batch))
        pins = open_pins(batch.folder, batch.header.batch_id, issuer)
        job = Job(batch, issuer, feed, journal, pins)
        _look_at_all(job)
        yield job


def _look_at_all(job: Job) -> None:
    """Look at the cards that lie there, before any is touched; those that are done stay aside."""
    seen: dict[ChipSerial, str] = {}
    for card in job.feed.lying():
        try:
            with card.powered() as connection:
                found = identify(card.where, connection, job.issuer)
        except CardError as error:
            job.leave_alone(card, error)
            job.feed.put_aside(card)
            continue
        refuse_copy(seen, found.chip, card, job.feed)
        _check_no_double(job, found)
        entry = job.journal.of_chip(found.chip)
        is_open = entry is not None and entry.progress is not Progress.ACTIVE
        if found.stage is CardStage.PERSONALIZED and not is_open:
            job.feed.put_aside(card)


def _check_no_double(job: Job, found: Identified) -> None:
    """No holder of the batch may have a card that this journal did not make."""
    number = job.number_on(found)
    if number is None or found.chip in job.journal.spoiled():
        return
    if job.journal.entry(number).chip != found.chip:
        raise JournalConflict(
            f"card {number} (input line {job.batch.card(number).line}): its card number is on the"
            f" card with chip {found.chip} in {job.feed.name}, which this batch did not make;"
            " nobody gets two cards"
        )


def issue(job: Job) -> Iterator[CardResult]:
    """Issue what is not active yet, as the cards come; a failed card stops no other.

    Each card of the batch has one result: first those that are active, last those that did not
    come.
    """
    missing: list[int] = []
    for entry in job.journal.entries():
        if entry.progress is Progress.ACTIVE:
            yield _result(job, entry.number, was_active=True)
        else:
            missing.append(entry.number)
    while missing and (card := job.feed.bring(blank_wanted=job.journal.has_waiting())):
        result = _worked_on(job, card)
        if result is not None:
            missing.remove(result.number)
            yield result
        elif card.made_here:
            # It made a blank that it cannot use: another would be no better.
            break
    for number in missing:
        yield _result(job, number, problem=_not_there(job, number))


def _result(
    job: Job,
    number: int,
    *,
    problem: str = "",
    meter: Meter | None = None,
    seconds: float = 0.0,
    was_active: bool = False,
) -> CardResult:
    entry, line = job.journal.entry(number), job.batch.card(number).line
    figures = meter.figures if meter else Figures()
    return CardResult(
        number, line, entry.chip, entry.progress, problem, figures, seconds, was_active
    )


def _not_there(job: Job, number: int) -> str:
    chip = job.journal.entry(number).chip
    if chip is None:
        return "; ".join((f"no blank card is left in {job.feed.name} for it", *job.left_alone))
    return not_found(job.feed, chip, job.left_alone)


def _worked_on(job: Job, card: BroughtCard) -> CardResult | None:
    """Ask a card which one it is, claim a card of the batch for it and make it; None if none."""
    started, meter = time.perf_counter(), Meter()
    number, problem = None, ""
    try:
        with card.powered() as reader, observed(reader, meter) as connection:
            found = identify(card.where, connection, job.issuer)
            number = _claimed(job, card, found)
            if number is not None:
                _make(job, number, found, connection, may_be_foreign=not card.made_here)
    except JournalConflict:
        raise
    except _NotOurBlank as error:
        job.leave_alone(card, error)
        number = None
    except CardError as error:
        problem = str(error)
    if number is None:
        if problem:
            job.leave_alone(card, problem)
        return None
    if problem:
        job.journal.note(number, problem)
    seconds = time.perf_counter() - started
    return _result(job, number, problem=problem, meter=meter, seconds=seconds)


def _claimed(job: Job, card: BroughtCard, found: Identified) -> int | None:
    """The card of the batch that a card is for: the one bound to its chip, else the next one.

    The PIN of the next one is on the disk before the chip is bound.
    """
    _check_no_double(job, found)
    entry = job.journal.of_chip(found.chip)
    if entry is not None and entry.progress is Progress.STARTED and _is_anothers(job, entry, found):
        # Another batch took the blank after a cut and before we had touched it.
        job.journal.release(entry.number)
        entry = None
    if entry is not None and entry.progress is not Progress.ACTIVE:
        return entry.number
    if entry is not None:
        job.leave_alone(card, f"it is card {entry.number} of this batch, and active already")
        return None
    if found.stage is not CardStage.TRANSPORT:
        job.leave_alone(card, f"it is {found.stage}, and not by this batch")
        return None
    if found.chip in job.journal.spoiled():
        job.leave_alone(card, f"chip {found.chip} was given up")
        return None
    with job.journal.take(found.chip) as number:
        if number is not None:
            job.pins.assign(number)
    return number


def _is_anothers(job: Job, entry: Entry, found: Identified) -> bool:
    return bool(found.card_number) and job.number_on(found) != entry.number


def _make(
    job: Job, number: int, found: Identified, connection: Connection, *, may_be_foreign: bool
) -> None:
    """Bring a claimed card from where it is to active, each step in the journal."""
    entry, card, pin = job.journal.entry(number), job.batch.card(number), job.pins.get(number)
    if pin is None:
        raise FormatError(
            f"{job.batch.folder}: the PIN of card {number} is no longer in the PIN file; give its"
            " card up with --spoiled"
        )
    if _is_anothers(job, entry, found):
        raise NotAsPrepared(f"chip {found.chip} bears another card number")
    loaded = records(card.groupings, found.chip)
    if found.stage is not CardStage.PERSONALIZED:
        try:
            _personalize(job, card, found, pin, connection)
        except (ChannelError, StatusWordError) as error:
            _let_go(job, number, found, connection, error, may_be_foreign=may_be_foreign)
    if entry.progress is Progress.STARTED:
        job.journal.advance(number, Progress.PERSONALIZED)
    if entry.progress is not Progress.VERIFIED:
        _check(job, loaded, found.chip, connection, pin)
        job.journal.advance(number, Progress.VERIFIED)
    _activate(job, loaded, found.chip, connection, again=entry.progress is Progress.VERIFIED)
    job.journal.advance(number, Progress.ACTIVE)


def _personalize(
    job: Job, card: PreparedCard, found: Identified, pin: Pin, connection: Connection
) -> None:
    chip = found.chip
    transport, issuer = job.issuer.transport_keys(chip), job.issuer.issuer_keys(chip)
    of_keys = job.issuer.groupings(chip, card.region, pin)
    groupings = [*records(card.groupings, chip).items(), *of_keys]
    personalize(connection, transport, issuer, groupings, found.stage)


def _let_go(
    job: Job,
    number: int,
    found: Identified,
    connection: Connection,
    error: CardError,
    *,
    may_be_foreign: bool,
) -> None:
    """Unbind a blank that refused and is still as it was, else raise what it refused with."""
    chip = found.chip
    keys = job.issuer.transport_keys(chip), job.issuer.issuer_keys(chip)
    if not may_be_foreign or stage(connection, *keys) is not CardStage.TRANSPORT:
        raise error
    job.journal.release(number)
    raise _NotOurBlank(str(error))


def _check(
    job: Job, loaded: Records, chip: ChipSerial, connection: Connection, pin: Pin | None
) -> None:
    """Read the card back; `pin` None for a card that was activated before. NotAsPrepared."""
    keys = job.issuer.terminal_keys
    findings = verify_card(connection, keys, loaded, chip, active=pin is None, pin=pin)
    if findings:
        places = "; ".join(finding.place for finding in findings[:_NAMED])
        raise NotAsPrepared(f"verification failed, {len(findings)} findings: {places}")


def _activate(
    job: Job, loaded: Records, chip: ChipSerial, connection: Connection, *, again: bool
) -> None:
    try:
        IssuerSession.open(connection, job.issuer.issuer_keys(chip)).activate()
    except StatusWordError as error:
        if not again or error.sw != StatusWord.CONDITIONS_NOT_SATISFIED:
            raise
        # A cut came after ACTIVATE and before the journal: only an active card passes this.
        _check(job, loaded, chip, connection, pin=None)
