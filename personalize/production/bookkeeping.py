"""The journal and the PIN file of a batch folder, opened together and compared."""

from collections.abc import Iterator
from contextlib import contextmanager

from cardlib.errors import FormatError
from cardlib.keys.issuer import Issuer

from ..preparation.batch import Batch
from .journal import Journal, JournalConflict, JournalMissing, Progress, batch_journal
from .journal_copy import read_journal
from .pins import PinFile, open_pins
from .station import alone_with


@contextmanager
def opened_to_issue(batch: Batch, issuer: Issuer) -> Iterator[tuple[Journal, PinFile]]:
    """Lock a batch folder and open its journal and its PIN file; begin them if there are none.

    JournalConflict when another run is working on it, or when there are PINs that the journal does
    not know: with a lost journal every resident would get a second card. FormatError when nothing
    in the PIN file can be read. The PIN file is not changed before a card gets a new PIN.
    """
    with alone_with(batch.folder):
        pins = open_pins(batch.folder, batch.uuid, issuer)
        if pins.faults and not pins.numbers:
            raise FormatError(pins.faults[0])
        with batch_journal(batch, begin=not pins.is_used) as journal:
            journal.check_pins(pins.numbers)
            bound = [each for each in journal.entries() if each.progress is not Progress.PREPARED]
            if any(pins.get(each.number) is None for each in bound):
                pins.keep_rest()
            yield journal, pins


@contextmanager
def opened_to_read(batch: Batch, issuer: Issuer) -> Iterator[tuple[Journal, PinFile]]:
    """Lock a batch folder and read its journal and its PIN file; nothing in it is changed.

    JournalConflict as for `opened_to_issue`, and when no card was issued yet.
    """
    with alone_with(batch.folder):
        pins = open_pins(batch.folder, batch.uuid, issuer)
        with _journal_beside(pins, batch) as journal:
            journal.check_pins(pins.numbers)
            yield journal, pins


def _journal_beside(pins: PinFile, batch: Batch) -> Journal:
    try:
        return read_journal(batch)
    except JournalMissing:
        if pins.is_used:
            raise
        raise JournalConflict(
            f"{batch.folder}: no card was issued yet. Run `rhcard issue` first"
        ) from None
