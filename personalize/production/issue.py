"""Issue a batch: a blank for each prepared card, personalized, verified, activated, journaled.

The journal says which chip a card got, before the chip is touched; the card says how far it came.
So a run that was cut anywhere goes on where it was: no card is made twice and none is forgotten.
"""

import hmac
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cardlib.checks.verify import verify_card
from cardlib.errors import CardError, CardKeyError, ChannelError, FormatError, StatusWordError
from cardlib.exchange import Connection, observed
from cardlib.facts import ChipSerial, Pin, Region
from cardlib.issuance import CardStage, IssuerSession, personalize, stage
from cardlib.keys.store import KeyStore
from cardlib.layout.load import expected_values, loaded
from cardlib.status import StatusWord
from cardlib.transport.meter import Figures, Meter

from ..preparation.batch import Batch
from ..preparation.prepared import PreparedCard
from .journal import NAME, Journal, JournalConflict, Stage, holder_hash, open_journal
from .pins import PinFile, open_pins
from .station import CardFolder, alone_with

_NAMED = 5


class NotAsPrepared(CardError):
    """A card that does not hold what it should, found before it was activated."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a run needs, all of it opened and checked."""

    batch: Batch
    store: KeyStore
    folder: CardFolder
    journal: Journal
    pins: PinFile


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one card; `problem` is empty when it is active. No personal data."""

    number: int
    line: int
    chip: ChipSerial | None
    stage: Stage
    problem: str
    figures: Figures
    seconds: float
    was_active: bool = False


@contextmanager
def opened_job(batch: Batch, store: KeyStore, cards: Path, *, test_keys: bool) -> Iterator[Job]:
    """Lock batch and cards, open the journal and the PIN file, look at the cards.

    CardKeyError for public keys without `test_keys`; JournalConflict when another run is at work
    or a card of the batch is on another card already.
    """
    if store.is_test and not test_keys:
        raise CardKeyError(
            "the key store holds public test keys: such cards protect nobody; for a trial say"
            " --test-keys"
        )
    cards.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(alone_with(batch.folder))
        stack.enter_context(alone_with(cards))
        journal = stack.enter_context(batch_journal(batch, store))
        pins = open_pins(batch.folder, batch.header.batch_id, store.sealing_key("pin"))
        job = Job(batch, store, CardFolder(cards, store), journal, pins)
        bound = {entry.chip for entry in journal.entries() if entry.chip}
        job.folder.reserve(journal.spoiled() | bound)
        _check_no_doubles(job)
        yield job


def batch_journal(batch: Batch, store: KeyStore) -> Journal:
    """The journal of a batch, begun if there is none."""
    key = hmac.digest(store.sealing_key("batch"), b"rhcard journal", "sha256")
    holders = [holder_hash(key, card.card_number) for card in batch.cards()]
    return open_journal(batch.folder, batch.header.batch_id, holders)


def existing_journal(batch: Batch, store: KeyStore) -> Journal:
    """The journal of a batch of which something was issued; JournalConflict otherwise."""
    if not (batch.folder / NAME).exists():
        raise JournalConflict(f"{batch.folder}: nothing was issued yet; rhcard issue comes first")
    return batch_journal(batch, store)


def _check_no_doubles(job: Job) -> None:
    """No card number of the batch may be on a card that this journal did not make."""
    ours = {entry.number: entry.chip for entry in job.journal.entries()}
    given_up = job.journal.spoiled()
    issued = {card.card_number: card.chip for card in job.folder.cards.values()
              if card.card_number and card.chip not in given_up}  # fmt: skip
    for card in job.batch.cards():
        chip = issued.get(card.card_number)
        if chip is not None and chip != ours[card.number]:
            raise JournalConflict(
                f"card {card.number} (input line {card.line}): its card number is on the card with"
                f" chip {chip.hex().upper()} in {job.folder.folder}, which this batch did not make;"
                " nobody gets two cards"
            )


def issue(job: Job) -> Iterator[Outcome]:
    """Issue what is not active yet, one card after the other; a failed card stops no other."""
    for entry in job.journal.entries():
        started, meters = time.perf_counter(), list[Meter]()
        card, problem = job.batch.card(entry.number), ""
        if entry.stage is not Stage.ACTIVE:
            try:
                _issue_one(job, card, entry.stage, meters)
            except JournalConflict:
                raise
            except CardError as error:
                problem = str(error)
                job.journal.note(entry.number, problem)
        now = job.journal.entry(entry.number)
        yield Outcome(
            number=entry.number,
            line=card.line,
            chip=now.chip,
            stage=now.stage,
            problem=problem,
            figures=sum((meter.figures for meter in meters), Figures()),
            seconds=time.perf_counter() - started,
            was_active=entry.stage is Stage.ACTIVE,
        )


def _issue_one(job: Job, card: PreparedCard, before: Stage, meters: list[Meter]) -> None:
    pin = _pin_of(job, card)
    done = False
    while not done:
        chip = _chip_for(job, card)
        meter = Meter()
        meters.append(meter)
        with job.folder.insert(chip) as reader, observed(reader, meter) as watched:
            done = _personalized(job, card, chip, pin, watched)
            if done:
                _verified(job, card, chip, pin, watched)
                _activated(job, card, chip, watched, again=before is Stage.VERIFIED)
    job.journal.advance(card.number, Stage.ACTIVE)


def _pin_of(job: Job, card: PreparedCard) -> str:
    """The card's PIN, on the disk before a chip is bound; FormatError when it got lost since."""
    bound = job.journal.entry(card.number).chip is not None
    if bound and job.pins.get(card.number) is None:
        raise FormatError(
            f"{job.batch.folder}: the PIN of card {card.number} is no longer in the PIN file; give"
            " its card up with --spoiled"
        )
    return job.pins.assign(card.number)


def _chip_for(job: Job, card: PreparedCard) -> ChipSerial:
    """The chip that the journal bound to a card, else a blank, bound to it now."""
    entry = job.journal.entry(card.number)
    if entry.chip is not None:
        found = job.folder.cards.get(entry.chip)
        taken = found is not None and found.card_number not in ("", card.card_number)
        if not taken or entry.stage is not Stage.STARTED:
            return entry.chip
        # Another batch took the blank after a cut and before we had touched it.
        job.journal.release(card.number)
    chip = job.folder.blank()
    job.journal.start(card.number, chip)
    return chip


def _personalized(
    job: Job, card: PreparedCard, chip: ChipSerial, pin: str, connection: Connection
) -> bool:
    """Bring a card to PERSONALIZED; False when the blank is none of ours and was let go."""
    known = job.folder.cards[chip]
    if known.card_number not in ("", card.card_number):
        raise NotAsPrepared(f"chip {chip.hex().upper()} bears another card number")
    if known.stage is not CardStage.PERSONALIZED:
        transport, issuer = job.store.transport_keys(chip), job.store.issuer_keys(chip)
        of_keys = job.store.groupings(chip, Region.of_city(card.city_code), Pin(pin))
        try:
            personalize(connection, transport, issuer, loaded(card.groupings, chip, of_keys))
        except (ChannelError, StatusWordError) as error:
            made = chip in job.folder.made
            if made or stage(connection, transport, issuer) is not CardStage.TRANSPORT:
                raise
            job.journal.release(card.number)
            job.folder.leave_alone(chip, str(error))
            return False
    if job.journal.entry(card.number).stage is Stage.STARTED:
        job.journal.advance(card.number, Stage.PERSONALIZED)
    return True


def _verified(
    job: Job, card: PreparedCard, chip: ChipSerial, pin: str, connection: Connection
) -> None:
    if job.journal.entry(card.number).stage is not Stage.PERSONALIZED:
        return
    _check(job, card, chip, connection, pin)
    job.journal.advance(card.number, Stage.VERIFIED)


def _check(
    job: Job, card: PreparedCard, chip: ChipSerial, connection: Connection, pin: str | None
) -> None:
    """Read the card back; `pin` None for a card that was activated before. NotAsPrepared."""
    findings = verify_card(
        connection,
        job.store.card_keys,
        expected_values(card.values, chip),
        chip,
        active=pin is None,
        pin=pin,
    )
    if findings:
        places = "; ".join(finding.place for finding in findings[:_NAMED])
        raise NotAsPrepared(f"verification failed, {len(findings)} findings: {places}")


def _activated(
    job: Job, card: PreparedCard, chip: ChipSerial, connection: Connection, *, again: bool
) -> None:
    try:
        IssuerSession.open(connection, job.store.issuer_keys(chip)).activate()
    except StatusWordError as error:
        if not again or error.sw != StatusWord.CONDITIONS_NOT_SATISFIED:
            raise
        # A cut came after ACTIVATE and before the journal: only an active card passes this.
        _check(job, card, chip, connection, pin=None)
