"""Verify a whole batch after it was issued: each active card against what was prepared for it."""

from collections.abc import Iterator
from pathlib import Path

from cardlib.checks.verify import Finding, verify_card
from cardlib.errors import CardError
from cardlib.exchange import observed
from cardlib.keys.store import KeyStore
from cardlib.layout.load import expected_values
from cardlib.transport.meter import Figures, Meter

from ..preparation.batch import Batch
from .issue import existing_journal
from .journal import Entry, Stage
from .report import Verified
from .station import CardFolder, alone_with


def audit(batch: Batch, store: KeyStore, cards: Path) -> Iterator[Verified]:
    """Verify each card of a batch, one after the other; a card that is not there is a finding.

    JournalConflict when nothing was issued yet, or another run is at work on batch or cards.
    """
    with alone_with(batch.folder), alone_with(cards), existing_journal(batch, store) as journal:
        folder = CardFolder(cards, store)
        for entry in journal.entries():
            yield _audit_one(batch, store, folder, entry)


def _audit_one(batch: Batch, store: KeyStore, folder: CardFolder, entry: Entry) -> Verified:
    card = batch.card(entry.number)
    if entry.stage is not Stage.ACTIVE or entry.chip is None:
        problem = f"not issued: it is {entry.stage}"
        return Verified(card.number, card.line, entry.chip, (_finding(problem),), Figures())
    figures = Figures()
    try:
        with folder.insert(entry.chip) as reader:
            meter = Meter()
            expected = expected_values(card.values, entry.chip)
            with observed(reader, meter) as watched:
                findings = verify_card(watched, store.card_keys, expected, entry.chip, active=True)
            figures = meter.figures
    except CardError as error:
        findings = (_finding(str(error)),)
    return Verified(card.number, card.line, entry.chip, findings, figures)


def _finding(problem: str) -> Finding:
    return Finding("", 0, "", problem)
