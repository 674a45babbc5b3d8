"""Issue a batch: personalize a blank card for each prepared card, verify it, activate it.

A feed brings cards. Each card says which one it is, and then a card of the batch is claimed for it.
The journal records which chip a card got before that chip is changed, and the chip itself shows how
far it is. So a run that stopped anywhere can continue: no card is made twice or forgotten.
"""

import time
from collections.abc import Generator
from contextlib import suppress

from cardlib.checks.findings import NOTHING_LEFT_OUT, LeftOut
from cardlib.errors import (
    CardError,
    CardKeyError,
    ChannelError,
    FormatError,
    KeysUnavailable,
    StatusWordError,
    StorageError,
    TransportError,
)
from cardlib.exchange import Connection, observed
from cardlib.facts import SECURITY_DOMAIN, ChipSerial, Pin
from cardlib.issuance import CardStage, stage
from cardlib.issuance.making import HostSession, make_card
from cardlib.keys.issuer import CardJob, Scp03Set
from cardlib.layout.load import records
from cardlib.status import StatusWord
from cardlib.transport.meter import Figures, Meter

from ..preparation.prepared import PreparedCard
from ..register.conflict import LOST, ChipNotFree, JournalConflict
from ..register.states import CardState
from .books import CardEntry
from .checking import check_card
from .feed import (
    WAIT,
    BroughtCard,
    Identified,
    Wanted,
    Worked,
    about_blank,
    identify,
    not_found,
)
from .job import CardResult, Held, Job, NotUsed, check_no_double, held, in_hand

_NAMED = 5
_COPY = "it is a copy. Keep it apart, and find out where it came from"


class NotAsPrepared(CardError):
    """A card does not hold what was prepared. It was not activated."""


def issue(job: Job) -> Generator[CardResult, None, None]:
    """Issue all cards that are not active yet, in the order in which the feed brings them.

    If one card fails, the others are still made. Each card of the batch has one result: first
    those that were active before, last those that another station made, and those whose card did
    not come, or did not come again. Close the generator to stop early: cards in hand are finished.
    """
    missing: set[int] = set()
    failed: dict[int, CardResult] = {}
    for entry in job.journal.entries():
        if entry.state is CardState.ACTIVE:
            lost = "" if job.pins.has(entry.number) else job.pins.without_pin(entry.number)
            yield _result(job, entry.number, problem=lost, was_active=True)
        else:
            missing.add(entry.number)

    def work(card: BroughtCard) -> Worked[CardResult]:
        done = _worked_on(job, card)
        if done.result and done.result.problem and job.feed.comes_again:
            failed[done.result.number] = done.result
            return Worked(None, done.words)
        if done.result:
            missing.discard(done.result.number)
        return done

    yield from job.feed.serve(work, lambda: _wanted(job, missing))
    entries = job.journal.entries() if missing else ()
    for entry in entries:
        if entry.number in missing and entry.state is CardState.ACTIVE:
            missing.discard(entry.number)
            yield _result(job, entry.number, was_active=True)
    others = job.journal.other_cards()
    for number in sorted(missing & others.keys()):
        yield _result(job, number, problem=held(job, number, others[number]))
    for number in sorted(missing - others.keys()):
        last = failed.get(number)
        same_chip = last is not None and last.chip == job.journal.entry(number).chip
        yield last if last and same_chip else _result(job, number, problem=_not_there(job, number))


def _wanted(job: Job, missing: set[int]) -> Wanted | None:
    others = job.journal.other_cards()
    if not missing - others.keys():
        return None
    count = len(job.batch.numbers)
    so_far = f"{count - len(missing)} of {count} cards are active"
    if job.journal.has_waiting():
        return Wanted("insert a blank card", so_far, blank=True)
    begun = [chip for number, chip in job.journal.begun().items() if number not in others]
    if not begun:
        return None  # other stations have made the rest
    comes = any(chip not in job.in_hand for chip in begun)
    return Wanted("insert a card that was begun" if comes else WAIT, so_far)


def _result(
    job: Job,
    number: int,
    *,
    problem: str = "",
    meter: Meter | None = None,
    seconds: float = 0.0,
    was_active: bool = False,
    left_out: LeftOut = NOTHING_LEFT_OUT,
) -> CardResult:
    entry, line = job.journal.entry(number), job.batch.card(number).line
    figures = meter.figures if meter else Figures()
    return CardResult(
        number, line, entry.chip, entry.state, problem, figures, seconds, was_active, left_out
    )


def _not_there(job: Job, number: int) -> str:
    entry = job.journal.entry(number)
    chip, seen = entry.chip, () if job.feed.comes_again else job.left_alone
    if chip is None:
        return "; ".join((f"no blank card is left for it in {job.feed.name}", *seen))
    lost = f"If the card is lost or broken, run `rhcard issue` with --spoiled {chip}"
    if job.books.is_shared:
        lost = f"If another station works on it, wait. {lost}"
    if entry.state is CardState.ACTIVATING:
        lost = f"It was being activated, and may be active. {LOST}"
    return "; ".join((f"{not_found(job.feed, chip, active=False)}. {lost}", *seen))


def _worked_on(job: Job, card: BroughtCard) -> Worked[CardResult]:
    """Identify a card, claim a card of the batch for it, and make it; no result if not used."""
    started, meter = time.perf_counter(), Meter()
    number, left_out = None, NOTHING_LEFT_OUT
    problem: CardError | None = None
    try:
        with card.powered() as reader, observed(reader, meter) as connection:
            found = identify(card.where, connection)
            with in_hand(job, found.chip):
                number = _claimed(job, found, connection)
                if number is None:
                    return Worked(None, "it is not needed: no card of the batch waits for a blank")
                foreign = not card.made_here
                left_out = _make(job, number, found, connection, may_be_foreign=foreign)
    except (JournalConflict, KeysUnavailable, StorageError):
        raise
    except NotUsed as error:
        number, problem = None, error
    except CardError as error:
        problem = error
    if number is None:
        job.leave_alone(card, problem)
        if isinstance(problem, TransportError):
            return Worked(
                None, f"nothing was done to this card: {problem}. It can be inserted again"
            )
        return Worked(None, f"this card is not used: {problem}")
    if problem:
        job.journal.note(number, str(problem))
    text, seconds = str(problem or ""), time.perf_counter() - started
    result = _result(job, number, problem=text, meter=meter, seconds=seconds, left_out=left_out)
    return Worked(result, _in_words(result, problem))


def _in_words(result: CardResult, problem: CardError | None) -> str:
    name = f"card {result.number} (line {result.line} of the list, chip {result.chip})"
    if problem is None:
        return f"{name} is active"
    if isinstance(problem, Held):
        return f"this card is not finished: {problem}"
    if isinstance(problem, TransportError):
        again = "This card must be inserted again, now or later, in any of the readers"
        return f"{name} is not finished: {problem}. {again}"
    if result.state is CardState.ACTIVATING:
        return f"{name} failed: {problem}. It may be active. It can be inserted again. {LOST}"
    spoiled = f"If it fails again, stop, and run the command with --spoiled {result.chip}"
    return f"{name} failed: {problem}. {spoiled}"


def _claimed(job: Job, found: Identified, connection: Connection) -> int | None:
    """Claim the card of the batch that is bound to a card's chip, or else the next one.

    The PIN of the next one is on the disk before the chip is bound. None if no card waits.
    """
    check_no_double(job, found)
    entry = job.journal.of_chip(found.chip)
    if (
        entry is not None
        and entry.state is CardState.PERSONALIZING
        and _is_anothers(job, entry, found)
    ):
        # Another batch took the blank after a cut and before we had touched it.
        if identify(found.where, connection) != found:
            raise TransportError(f"{found.where} does not answer the same twice")
        job.journal.release(entry.number)
        entry = None
    if entry is not None:
        _check_not_a_copy(job, entry, found)
        job.journal.take_over(entry.number)
        return entry.number
    if found.stage is not CardStage.TRANSPORT:
        raise NotUsed(f"it is {found.stage}, but not by this batch")
    if found.chip in job.journal.spoiled():
        raise NotUsed(f"chip {found.chip} was given up with --spoiled")
    if job.journal.has_waiting():
        _ask_for(job, found.chip)
    try:
        return job.books.claim(found.chip)
    except ChipNotFree as error:
        raise NotUsed(str(error)) from None


def _ask_for(job: Job, chip: ChipSerial) -> None:
    """NotUsed, before a record is bound to a chip, when the issuer makes no card of it."""
    try:
        job.issuer.session(Scp03Set.TRANSPORT, chip).initialize_update()
    except KeysUnavailable:
        raise
    except CardKeyError as error:
        raise NotUsed(str(error)) from None


def _check_not_a_copy(job: Job, entry: CardEntry, found: Identified) -> None:
    """NotUsed when the journal says that a chip is further than this card, or is active already."""
    name = f"card {entry.number} of this batch (chip {found.chip})"
    if _is_anothers(job, entry, found):
        raise NotUsed(f"its chip serial is that of {name}, and its card number another: {_COPY}")
    if found.stage is not CardStage.PERSONALIZED and entry.state is not CardState.PERSONALIZING:
        raise NotUsed(f"{name} was personalized already, and this card is blank: {_COPY}")
    if entry.state is CardState.ACTIVE:
        raise NotUsed(f"it is card {entry.number} of this batch and is active already")


def _is_anothers(job: Job, entry: CardEntry, found: Identified) -> bool:
    return bool(found.card_number) and job.number_on(found) != entry.number


def _make(
    job: Job, number: int, found: Identified, connection: Connection, *, may_be_foreign: bool
) -> LeftOut:
    """Take a claimed card from its step to active, and write each step into the journal.

    Return what its check left out.
    """
    entry, card, pin = job.journal.entry(number), job.batch.card(number), job.pins.get(number)
    _refuse_if_held(job, number)
    if pin is None:
        raise FormatError(_without_pin(job, entry))
    left_out = NOTHING_LEFT_OUT
    if found.stage is not CardStage.PERSONALIZED:
        try:
            _personalize(job, card, found, pin, connection)
        except (ChannelError, StatusWordError) as error:
            _let_go(job, number, found, connection, error, may_be_foreign=may_be_foreign)
    if entry.state is not CardState.ACTIVATING:
        try:
            left_out = _check(job, card, found.chip, connection, pin)
        except CardError:
            if entry.state is CardState.PERSONALIZING:
                job.journal.advance(number, CardState.PERSONALIZED)
            raise
        _refuse_if_held(job, number)
        job.journal.advance(number, CardState.ACTIVATING)
    _activate(job, card, found.chip, connection, pin, again=entry.state is CardState.ACTIVATING)
    job.journal.advance(number, CardState.ACTIVE)
    return left_out


def _refuse_if_held(job: Job, number: int) -> None:
    """Held when a card of this resident came that this batch did not make, perhaps just now."""
    if other := job.journal.other_card(number):
        raise Held(held(job, number, other))


def _without_pin(job: Job, entry: CardEntry) -> str:
    if entry.state is CardState.ACTIVATING:
        return job.pins.without_pin(entry.number)
    return (
        f"{job.pins.name}: the PIN of card {entry.number} is missing, so this card cannot be"
        f" finished. Run `rhcard issue` with --spoiled {entry.chip}: its resident gets another card"
    )


def _personalize(
    job: Job, card: PreparedCard, found: Identified, pin: Pin, connection: Connection
) -> None:
    of_card = CardJob(job.batch.uuid, card.number, found.chip)
    loaded = records(card.groupings, found.chip).items()
    make_card(connection, job.issuer, of_card, loaded, card.region, pin, found=found.stage)


def _let_go(
    job: Job,
    number: int,
    found: Identified,
    connection: Connection,
    error: CardError,
    *,
    may_be_foreign: bool,
) -> None:
    """Unbind a blank that refuses our keys twice; in any other case raise its error."""
    chip = found.chip
    # The answers must be this chip's. After a reset the ATR says whose they are.
    connection.reset()
    if not may_be_foreign or stage(connection) is not CardStage.TRANSPORT:
        raise error
    try:
        HostSession.open(connection, job.issuer.session(Scp03Set.TRANSPORT, chip), SECURITY_DOMAIN)
    except (ChannelError, StatusWordError) as again:
        job.journal.release(number)
        raise NotUsed(about_blank(connection, chip, again)) from None
    raise error


def _check(
    job: Job, card: PreparedCard, chip: ChipSerial, connection: Connection, pin: Pin | None
) -> LeftOut:
    """Read the card back and compare it; `pin` is None if it was activated before.

    Return what was left out. NotAsPrepared when anything differs.
    """
    checked = check_card(connection, job.issuer, card, chip, active=pin is None, pin=pin)
    if findings := checked.findings:
        places = [finding.place for finding in findings[:_NAMED]]
        if len(findings) > _NAMED:
            places.append(f"{len(findings) - _NAMED} more")
        count = f"{len(findings)} difference{'' if len(findings) == 1 else 's'}"
        raise NotAsPrepared(
            f"the card does not hold what was prepared ({count}): {'; '.join(places)}"
        )
    return checked.left_out


def _activate(
    job: Job, card: PreparedCard, chip: ChipSerial, connection: Connection, pin: Pin, *, again: bool
) -> None:
    try:
        session = HostSession.open(connection, job.issuer.session(Scp03Set.ISSUER, chip))
        _refuse_if_held(job, card.number)
        session.activate()
    except StatusWordError as error:
        if again and error.sw == StatusWord.CONDITIONS_NOT_SATISFIED:
            # A cut came after ACTIVATE and before the journal: only an active card passes this.
            _check(job, card, chip, connection, pin=None)
            return
        with suppress(NotAsPrepared):
            # Only a card that is not active passes this: it may be given up then.
            _check(job, card, chip, connection, pin)
            job.journal.not_activated(card.number)
        raise
