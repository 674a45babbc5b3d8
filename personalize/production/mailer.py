"""PIN letters: the PIN of each active card, with the resident that it is for."""

from dataclasses import asdict, dataclass, field

from cardlib.errors import FormatError
from cardlib.keys import Issuer

from ..preparation.batch import Batch
from .journal import Progress, existing_journal
from .pins import open_pins
from .station import alone_with


@dataclass(frozen=True, slots=True)
class Letter:
    """One resident's PIN. Its repr shows no PIN, no name and no card number."""

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


def letters(batch: Batch, issuer: Issuer) -> tuple[list[Letter], int]:
    """The letters of a batch's active cards, and how many cards are not active yet.

    JournalConflict when no card was issued yet; FormatError when an active card has no PIN.
    """
    found: list[Letter] = []
    with alone_with(batch.folder), existing_journal(batch) as journal:
        pins = open_pins(batch.folder, batch.header.batch_id, issuer)
        entries = journal.entries()
        for entry in entries:
            if entry.progress is not Progress.ACTIVE or entry.chip is None:
                continue
            card, pin = batch.card(entry.number), pins.get(entry.number)
            if pin is None:
                raise FormatError(f"{pins.path}: the PIN of card {entry.number} is missing")
            chip = str(entry.chip)
            found.append(Letter(card.number, card.line, chip, card.card_number, card.name, pin))
    return found, len(entries) - len(found)
