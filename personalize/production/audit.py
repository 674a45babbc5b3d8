"""Verify an issued batch: compare each active card with what was prepared for it."""

from collections.abc import Iterator
from dataclasses import replace

from cardlib.checks.findings import CardCheck, Finding
from cardlib.errors import CardError
from cardlib.exchange import Connection, observed
from cardlib.facts import ChipSerial
from cardlib.keys import Issuer
from cardlib.transport.meter import Figures, Meter

from ..preparation.batch import Batch
from ..preparation.prepared import PreparedCard
from .bookkeeping import opened_to_read
from .checking import check_card
from .feed import Feed, chip_of, not_found, not_used, refuse_copy
from .journal import JournalConflict, Progress
from .pins import PinFile
from .report import Verified


def audit(batch: Batch, issuer: Issuer, feed: Feed, *, full: bool = False) -> Iterator[Verified]:
    """Verify each card of a batch in the order in which the feed has them, missing cards last.

    `full` reads whole files and tries each one; else only the first card is checked so. An active
    card without a PIN is a finding. Nothing in the folder of the batch is changed.
    JournalConflict when no card was issued yet, when another run is working on batch or cards, or
    when two cards have the same chip serial.
    """
    with opened_to_read(batch, issuer) as (journal, pins), feed.alone():
        missing = {entry.number: entry for entry in journal.entries()}
        seen: dict[ChipSerial, str] = {}
        left_alone: list[str] = []
        for card in feed.lying():
            try:
                with card.powered() as connection:
                    chip = chip_of(connection)
                    refuse_copy(seen, chip, card, feed)
                    entry = journal.of_chip(chip)
                    if entry is None or entry.progress is not Progress.ACTIVE:
                        continue
                    prepared = batch.card(entry.number)
                    verified = _verified(prepared, issuer, chip, connection, full=full)
            except JournalConflict:
                raise
            except CardError as error:
                left_alone.append(not_used(card, error))
                continue
            del missing[entry.number]
            yield replace(verified, findings=(*verified.findings, *_no_pin(pins, entry.number)))
        for entry in missing.values():
            problem = f"not active yet: its state is {entry.progress}"
            lost: tuple[Finding, ...] = ()
            if entry.progress is Progress.ACTIVE and entry.chip is not None:
                problem = "; ".join((not_found(feed, entry.chip), *left_alone))
                lost = _no_pin(pins, entry.number)
            line = batch.card(entry.number).line
            findings = (_finding(problem), *lost)
            yield Verified(entry.number, line, entry.chip, findings, Figures())


def _verified(
    card: PreparedCard, issuer: Issuer, chip: ChipSerial, connection: Connection, *, full: bool
) -> Verified:
    meter = Meter()
    try:
        with observed(connection, meter) as watched:
            checked = check_card(watched, issuer, card, chip, active=True, full=full)
    except CardError as error:
        checked = CardCheck((_finding(str(error)),))
    return Verified(card.number, card.line, chip, checked.findings, meter.figures, checked.left_out)


def _no_pin(pins: PinFile, number: int) -> tuple[Finding, ...]:
    """The finding about an active card without a PIN; none when it has one."""
    return () if pins.get(number) else (_finding(pins.without_pin(number)),)


def _finding(problem: str) -> Finding:
    return Finding("", 0, "", problem)
