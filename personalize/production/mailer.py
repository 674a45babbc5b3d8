"""PIN letters: the PIN of each active card, with the resident that it is for."""

from dataclasses import asdict, dataclass, field

from cardlib.facts import ChipSerial, Pin
from cardlib.keys.issuer import Issuer

from ..preparation.batch import Batch, BatchError
from ..register.states import CardState
from .bookkeeping import Bureau, opened_to_read


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


@dataclass(frozen=True, slots=True)
class Mailing:
    """The letters of a batch, and what prevented others.

    `not_active` counts the cards that are not active yet. `problems` names each active card that
    has no letter, and each damaged line of the PIN file.
    """

    letters: list[Letter]
    not_active: int
    problems: list[str]


def letters(batch: Batch, issuer: Issuer, bureau: Bureau | None = None) -> Mailing:
    """The letters of a batch's active cards; nothing in its folder is changed.

    A card whose PIN or record is lost stops no other. JournalConflict when no card was issued yet,
    or when journal and PIN file do not agree.
    """
    found: list[Letter] = []
    with opened_to_read(batch, issuer, bureau) as books:
        entries, pins = books.work.entries(), books.pins
        problems = list(pins.faults)
        active = [each for each in entries if each.state is CardState.ACTIVE]
        for entry in active:
            pin = pins.get(entry.number)
            if pin is None or entry.chip is None:
                problems.append(pins.without_pin(entry.number))
                continue
            try:
                found.append(_letter(batch, entry.number, entry.chip, pin))
            except BatchError as error:
                problems.append(str(error))
    return Mailing(found, len(entries) - len(active), problems)


def _letter(batch: Batch, number: int, chip: ChipSerial, pin: Pin) -> Letter:
    card = batch.card(number)
    return Letter(card.number, card.line, str(chip), card.card_number, card.name, pin)
