"""PIN letters: whose card has which PIN, for cards that are active."""

from dataclasses import asdict, dataclass, field

from cardlib.errors import FormatError
from cardlib.keys.store import KeyStore

from ..preparation.batch import Batch
from .issue import existing_journal
from .journal import Stage
from .pins import open_pins
from .station import alone_with


@dataclass(frozen=True, slots=True)
class Letter:
    """One resident's PIN; its repr shows neither."""

    number: int
    line: int
    chip: str
    card_number: str = field(repr=False)
    name: str = field(repr=False)
    pin: str = field(repr=False)

    def as_dict(self) -> dict[str, int | str]:
        """The letter as a JSON object's members."""
        return asdict(self)

    def as_row(self) -> tuple[str, ...]:
        """The letter as cells of a table."""
        return tuple(str(value) for value in asdict(self).values())


def letters(batch: Batch, store: KeyStore) -> tuple[list[Letter], int]:
    """The letters of a batch's active cards, and how many cards are not active yet.

    JournalConflict when nothing was issued; FormatError when an active card has no PIN.
    """
    found: list[Letter] = []
    with alone_with(batch.folder), existing_journal(batch, store) as journal:
        pins = open_pins(batch.folder, batch.header.batch_id, store.sealing_key("pin"))
        entries = journal.entries()
        for entry in entries:
            if entry.stage is not Stage.ACTIVE or entry.chip is None:
                continue
            card, pin = batch.card(entry.number), pins.get(entry.number)
            if pin is None:
                raise FormatError(f"{batch.folder}: the PIN of card {entry.number} is missing")
            chip = entry.chip.hex().upper()
            found.append(Letter(card.number, card.line, chip, card.card_number, card.name, pin))
    return found, len(entries) - len(found)
