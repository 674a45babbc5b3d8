"""Verify an issued batch: compare each active card with what was prepared for it."""

from collections.abc import Iterator

from cardlib.checks.verify import Finding, verify_card
from cardlib.errors import CardError
from cardlib.exchange import Connection, observed
from cardlib.facts import ChipSerial
from cardlib.keys import Issuer
from cardlib.layout.load import records
from cardlib.transport.meter import Figures, Meter

from ..preparation.batch import Batch
from ..preparation.prepared import PreparedCard
from .feed import Feed, chip_of, not_found, not_used, refuse_copy
from .journal import JournalConflict, Progress, existing_journal
from .report import Verified
from .station import alone_with


def audit(batch: Batch, issuer: Issuer, feed: Feed) -> Iterator[Verified]:
    """Verify each card of a batch in the order in which the feed has them, missing cards last.

    JournalConflict when no card was issued yet, when another run is working on batch or cards, or
    when two cards have the same chip serial.
    """
    with alone_with(batch.folder), feed.alone(), existing_journal(batch) as journal:
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
                    verified = _verified(batch.card(entry.number), issuer, chip, connection)
            except JournalConflict:
                raise
            except CardError as error:
                left_alone.append(not_used(card, error))
                continue
            del missing[entry.number]
            yield verified
        for entry in missing.values():
            problem = f"not active yet: its state is {entry.progress}"
            if entry.progress is Progress.ACTIVE and entry.chip is not None:
                problem = "; ".join((not_found(feed, entry.chip), *left_alone))
            line = batch.card(entry.number).line
            yield Verified(entry.number, line, entry.chip, (_finding(problem),), Figures())


def _verified(
    card: PreparedCard, issuer: Issuer, chip: ChipSerial, connection: Connection
) -> Verified:
    meter, loaded = Meter(), records(card.groupings, chip)
    try:
        with observed(connection, meter) as watched:
            findings = verify_card(watched, issuer.terminal_keys, loaded, chip, active=True)
    except CardError as error:
        findings = (_finding(str(error)),)
    return Verified(card.number, card.line, chip, findings, meter.figures)


def _finding(problem: str) -> Finding:
    return Finding("", 0, "", problem)
