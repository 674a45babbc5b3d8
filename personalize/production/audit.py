"""Verify an issued batch: compare each active card with what was prepared for it."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace

from cardlib.checks.findings import CardCheck, Finding
from cardlib.errors import CardError, KeysUnavailable, TransportError
from cardlib.exchange import Connection, observed
from cardlib.facts import ChipSerial
from cardlib.keys import KeySet
from cardlib.keys.issuer import Issuer
from cardlib.transport.meter import Figures, Meter

from ..preparation.batch import Batch
from ..preparation.prepared import PreparedCard
from ..register.conflict import JournalConflict
from ..register.states import CardState
from .bookkeeping import Bureau, opened_to_read
from .books import CardEntry, Pins, WorkView
from .checking import check_card
from .feed import (
    WAIT,
    BroughtCard,
    Feed,
    Wanted,
    Worked,
    chip_of,
    not_found,
    not_used,
    refuse_copy,
    refuse_deployed,
)
from .report import Verified


def audit(
    batch: Batch,
    issuer: Issuer,
    feed: Feed,
    *,
    full: bool = False,
    keys: KeySet | None = None,
    bureau: Bureau | None = None,
) -> Generator[Verified, None, None]:
    """Verify each card of a batch in the order in which the feed has them, missing cards last.

    `full` reads whole files and tries each one; else only the first card is checked so. `keys` are
    those of a SAM, in the place of the issuer's. An active card without a PIN is a finding. Nothing
    in the folder of the batch is changed.
    JournalConflict when no card was issued yet, when another run is working on batch or cards, or
    when two cards have the same chip serial.
    """
    with opened_to_read(batch, issuer, bureau) as books, feed.alone():
        missing = {entry.number: entry for entry in books.work.entries()}
        run = _Audit(batch, issuer, feed, books.work, books.pins, missing, full, keys)
        yield from feed.serve(run.work, run.wanted)
        yield from run.not_seen()


@dataclass(frozen=True, slots=True)
class _Audit:
    """One run, and the entries of the cards that were not verified yet, by number."""

    batch: Batch
    issuer: Issuer
    feed: Feed
    journal: WorkView
    pins: Pins
    missing: dict[int, CardEntry]
    full: bool
    keys: KeySet | None
    seen: dict[ChipSerial, str] = field(default_factory=dict)
    left_alone: list[str] = field(default_factory=list)
    in_hand: set[int] = field(default_factory=set)

    def wanted(self) -> Wanted | None:
        """A card that was not verified yet. A folder is looked through to its end."""
        active = {n for n, each in self.missing.items() if each.state is CardState.ACTIVE}
        if not active and self.feed.comes_again:
            return None
        count = len(self.batch.numbers)
        done = count - len(self.missing)
        asks = WAIT if active and active <= self.in_hand else "insert a card of this batch"
        return Wanted(asks, f"{done} of {count} cards were verified")

    def work(self, card: BroughtCard) -> Worked[Verified]:
        """Verify one card, if it is one of the batch and active."""
        try:
            with card.powered() as connection:
                chip = chip_of(connection)
                if not self.feed.comes_again:
                    refuse_copy(self.seen, chip, card, self.feed)
                entry = self.journal.of_chip(chip)
                if entry is None:
                    refuse_deployed(connection)
                if entry is None or entry.state is not CardState.ACTIVE:
                    return Worked(None, f"chip {chip} is no active card of this batch")
                if entry.number not in self.missing:
                    return Worked(None, f"card {entry.number} (chip {chip}) was verified before")
                verified = self._verified(self.batch.card(entry.number), chip, connection)
        except (JournalConflict, KeysUnavailable):
            raise
        except CardError as error:
            self.left_alone.append(not_used(card, error))
            again = ". It can be inserted again" if isinstance(error, TransportError) else ""
            return Worked(None, f"this card was not verified: {error}{again}")
        if self.missing.pop(entry.number, None) is None:
            raise JournalConflict(f"two cards have the same chip serial {chip}: one is a copy")
        lost = _no_pin(self.pins, entry.number)
        verified = replace(verified, findings=(*verified.findings, *lost))
        return Worked(verified, _in_words(verified))

    def _verified(self, card: PreparedCard, chip: ChipSerial, connection: Connection) -> Verified:
        meter = Meter()
        self.in_hand.add(card.number)
        try:
            with observed(connection, meter) as watched:
                checked = check_card(
                    watched, self.issuer, card, chip, active=True, full=self.full, keys=self.keys
                )
                if checked.findings:
                    watched.reset()  # is it the same card still? The ATR says so
        except KeysUnavailable:
            raise
        except CardError as error:
            if self.feed.comes_again and isinstance(error, TransportError):
                raise
            checked = CardCheck((_finding(str(error)),))
        finally:
            self.in_hand.discard(card.number)
        findings, left_out = checked.findings, checked.left_out
        return Verified(card.number, card.line, chip, findings, meter.figures, left_out)

    def not_seen(self) -> Iterator[Verified]:
        """The results of the cards that did not come, or are not active yet."""
        others = self.journal.other_cards()
        for entry in self.missing.values():
            problem = f"not active yet: its state is {entry.state}"
            if other := others.get(entry.number):
                problem += f". It is not made: its resident has another card, with chip {other}"
            lost: tuple[Finding, ...] = ()
            if entry.state is CardState.ACTIVE and entry.chip is not None:
                seen = () if self.feed.comes_again else self.left_alone
                problem = "; ".join((not_found(self.feed, entry.chip), *seen))
                lost = _no_pin(self.pins, entry.number)
            line = self.batch.card(entry.number).line
            findings = (_finding(problem), *lost)
            yield Verified(entry.number, line, entry.chip, findings, Figures())


def _in_words(verified: Verified) -> str:
    name = f"card {verified.number} (line {verified.line} of the list, chip {verified.chip})"
    if not verified.findings:
        return f"{name} is verified"
    count = len(verified.findings)
    return f"{name} is not good: {count} difference{'' if count == 1 else 's'}. Keep it apart"


def _no_pin(pins: Pins, number: int) -> tuple[Finding, ...]:
    """The finding about an active card without a PIN; none when it has one."""
    return () if pins.has(number) else (_finding(pins.without_pin(number)),)


def _finding(problem: str) -> Finding:
    return Finding("", 0, "", problem)
