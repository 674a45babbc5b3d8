"""What a run keeps of its batch: the work, the PINs, and who holds which card.

Behind it is the bureau's register, or the journal and the PIN file in the folder of one batch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from cardlib.errors import CardKeyError
from cardlib.facts import ChipSerial, Pin
from cardlib.keys.issuer import Issuer, PinOf, PinUse

from ..register.states import CardState
from ..register.view import BatchView
from ..register.work import BatchWork
from ..register.writing import SealedPins
from .journal import Journal
from .pins import PinFile, random_pin


class CardEntry(Protocol):
    """One card of the batch: its number, its chip (None before it has one), how far it is."""

    @property
    def number(self) -> int:
        """Its number in the batch, from 1."""
        ...

    @property
    def chip(self) -> ChipSerial | None:
        """Its chip."""
        ...

    @property
    def state(self) -> CardState:
        """How far it is."""
        ...


class WorkView(Protocol):
    """What was done on a batch so far."""

    def entries(self) -> Sequence[CardEntry]:
        """All cards in the order of the batch."""
        ...

    def entry(self, number: int) -> CardEntry:
        """One card. JournalConflict when there is none."""
        ...

    def of_chip(self, chip: bytes, /) -> CardEntry | None:
        """The card that a chip is bound to."""
        ...

    def of_holder(self, tag: bytes, /) -> int | None:
        """The card for a holder, by one of the holder's tags."""
        ...

    def spoiled(self) -> frozenset[ChipSerial]:
        """The chips that were given up."""
        ...

    def has_waiting(self) -> bool:
        """Whether a card waits for a chip, and may be made."""
        ...

    def begun(self) -> Mapping[int, ChipSerial]:
        """The chips of the cards that were begun and are not active, by number."""
        ...

    def other_cards(self) -> Mapping[int, ChipSerial]:
        """The cards whose residents have another card: its chip."""
        ...

    def other_card(self, number: int) -> ChipSerial | None:
        """The chip of another card that a card's resident has."""
        ...


class Work(WorkView, Protocol):
    """A batch that a run works on. Each change is on the disk when its method returns."""

    def hold(self, number: int, other: bytes) -> None:
        """Never begin or finish a card: its resident has another one, with the chip `other`."""
        ...

    def take_over(self, number: int) -> None:
        """Claim a card again whose chip is in a reader of this run."""
        ...

    def release(self, number: int) -> None:
        """Unbind a chip that was not changed."""
        ...

    def advance(self, number: int, state: CardState) -> None:
        """Record that a card was personalized, is now being activated, or is active."""
        ...

    def not_activated(self, number: int) -> None:
        """Record that a card refused to be activated."""
        ...

    def note(self, number: int, problem: str) -> None:
        """Record what went wrong with a card."""
        ...

    def give_up(self, chip: ChipSerial, /) -> int:
        """Give up a lost or broken chip; return the number of its card."""
        ...


class Pins(Protocol):
    """The PINs of a batch."""

    @property
    def name(self) -> str:
        """Where they are, for a person."""
        ...

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with them."""
        ...

    def has(self, number: int) -> bool:
        """Whether a card has a PIN for its letter."""
        ...

    def get(self, number: int) -> Pin | None:
        """The PIN of a card, to make it or for its letter; None if it has none."""
        ...

    def without_pin(self, number: int) -> str:
        """What to say about an active card that has no PIN."""
        ...


@dataclass(frozen=True, slots=True)
class Books:
    """The books of a run. `claim` binds a blank chip to the next card that waits, with a PIN.

    It returns the card's number, or None when no card waits. `tag` makes a holder's tag.
    `is_shared` says that other stations may work on the batch too.
    """

    work: Work
    pins: Pins
    claim: Callable[[ChipSerial], int | None]
    tag: Callable[[str], bytes]
    is_shared: bool = False


@dataclass(frozen=True, slots=True)
class ReadBooks:
    """The books of a batch for somebody who only reads them."""

    work: WorkView
    pins: Pins


def folder_books(journal: Journal, pins: PinFile, issuer: Issuer) -> Books:
    """The books in the folder of a batch."""
    return Books(journal, pins, lambda chip: journal.take(chip, pins.assign), issuer.holder_hash)


def register_books(
    work: BatchWork, batch: UUID, issuer: Issuer, tag: Callable[[str], bytes]
) -> Books:
    """The books of a batch in the bureau's register."""

    def claim(chip: ChipSerial) -> int | None:
        return work.take(
            chip, lambda number, attempt: _sealed(issuer, batch, number, attempt, chip)
        )

    pins = RegisterPins(work, batch, issuer, PinUse.CLAIM)
    return Books(work, pins, claim, tag, is_shared=True)


def _sealed(issuer: Issuer, batch: UUID, number: int, attempt: int, chip: ChipSerial) -> SealedPins:
    """A new PIN, sealed for the mailer and for the station that makes the card."""
    pin = random_pin()
    mailer, claim = (
        issuer.seal_pin(PinOf(batch, number, attempt, chip, use), pin)
        for use in (PinUse.MAILER, PinUse.CLAIM)
    )
    return mailer, claim


@dataclass(frozen=True, slots=True)
class RegisterPins:
    """The PINs of a batch in the register, as a station or the mailer opens them."""

    work: BatchView
    batch: UUID
    issuer: Issuer
    use: PinUse
    faults: tuple[str, ...] = ()
    known: set[int] = field(default_factory=set)

    @property
    def name(self) -> str:
        """The register."""
        return self.work.reader.database.name

    def has(self, number: int) -> bool:
        """Whether a card has a sealed PIN. It is not opened."""
        if not self.known:
            self.known.update(self.work.pinned())
        return number in self.known or self.work.pin(number) is not None

    def get(self, number: int) -> Pin | None:
        """The PIN of a card. None if it has none, or if it was erased with the card's result."""
        found = self.work.pin(number)
        if found is None:
            return None
        attempt, chip, *sealed = found
        of_use = sealed[self.use is PinUse.CLAIM]
        if of_use is None:
            return None
        of = PinOf(self.batch, number, attempt, chip, self.use)
        try:
            return self.issuer.unseal_pin(of, of_use)
        except CardKeyError as error:
            raise CardKeyError(f"the PIN of card {number} in {self.name}: {error}") from None

    def without_pin(self, number: int) -> str:
        """What to say about an active card that has no PIN."""
        return (
            f"{self.name}: the PIN of card {number} is missing, so there is no PIN letter for it."
            " Put the database back from its newest copy, then run `rhcard journal recover`"
        )
