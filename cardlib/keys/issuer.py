"""The interface to the issuer, whose keys may be in another process.

Nothing here takes or gives a key: not the root keys, a chip's keys, or those of a batch.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from ..apdu import CommandAPDU, ResponseAPDU
from ..facts import ChipSerial, Pin, Region
from ..layout.load import Grouping
from . import AboutKeys, HasKeyVersion, KeySet


class Scp03Set(StrEnum):
    """The SCP03 key sets that a chip can have (card specification 6)."""

    TRANSPORT = "transport"
    ISSUER = "issuer"


@dataclass(frozen=True, slots=True)
class CardJob:
    """The making of one card: record `number` of a batch is written to a chip."""

    batch: UUID
    number: int
    chip: ChipSerial


class IssuerHost(HasKeyVersion, Protocol):
    """The issuer's side of one SCP03 session with one chip, without I/O, at level 33.

    It makes the protected commands and checks the replies; the caller carries them. The session is
    over after any exception.
    """

    def initialize_update(self) -> CommandAPDU:
        """Return INITIALIZE UPDATE (GPC Amendment D 7.1.1)."""
        ...

    def external_authenticate(self, reply: ResponseAPDU) -> CommandAPDU:
        """Check the card's cryptogram; return EXTERNAL AUTHENTICATE. Raises Scp03Failure."""
        ...

    def opened(self, reply: ResponseAPDU) -> None:
        """Check the reply to EXTERNAL AUTHENTICATE. Raises Scp03Failure when it is not 9000."""
        ...

    def replace_keys(self, job: CardJob) -> Sequence[CommandAPDU]:
        """Return PUT KEY: the issuer's keys of the chip take the place of its transport keys.

        Raises CardKeyError in a session of other keys, or when the job is not for this chip.
        """
        ...

    def load(
        self, job: CardJob, records: Iterable[Grouping], region: Region, pin: Pin
    ) -> Sequence[CommandAPDU]:
        """Return STORE DATA of a whole card: its records, its keys and its PIN.

        Raises CardKeyError as `replace_keys`, or when a grouping is not a record.
        """
        ...

    def activate(self) -> Sequence[CommandAPDU]:
        """Return ACTIVATE (card specification 7)."""
        ...

    def reset_tries(self, key_name: str) -> Sequence[CommandAPDU]:
        """Return RESET KEY TRIES of a card key. Raises CardKeyError for an unknown one."""
        ...

    def done(self, replies: Sequence[ResponseAPDU]) -> None:
        """Check the replies to the commands that were made last, in their order.

        After a reply that is not 9000 no other command was sent. Raises StatusWordError, which
        names the refused command, or ChannelError when a reply was changed.
        """
        ...


class SealingBatch(Protocol):
    """A new batch whose records are sealed, each once."""

    @property
    def sealed_key(self) -> bytes:
        """The batch's key, sealed: for `Issuer.sealed_batch`."""
        ...

    def seal(self, number: int, record: bytes) -> bytes:
        """Seal record `number`, from 1 in order. Raises CardKeyError when it is not the next."""
        ...

    def seal_header(self, header: bytes) -> bytes:
        """Return the seal of the header, 16 bytes; nothing is sealed after that."""
        ...


class SealedBatch(Protocol):
    """A batch whose records can be opened one by one."""

    def check_header(self, header: bytes, seal: bytes) -> None:
        """Raise CardKeyError when the header is not the one that was sealed."""
        ...

    def unseal(self, number: int, sealed: bytes) -> bytes:
        """Open record `number`. Raises CardKeyError when it is damaged or is another record."""
        ...


class Issuer(AboutKeys, Protocol):
    """The issuer, for preparing, making and checking cards. It gives out no key."""

    @property
    def terminal_keys(self) -> KeySet:
        """The card keys as a terminal uses them, all 30."""
        ...

    def session(self, key_set: Scp03Set, chip: ChipSerial) -> IssuerHost:
        """Begin a session with a chip that has this key set."""
        ...

    def security_code(self, card_number: str, issue_date: str) -> str:
        """Calculate three digits from card number and issue date, as `RootKeys` does."""
        ...

    def security_codes(self, card_numbers: Sequence[str], issue_date: str) -> Sequence[str]:
        """Calculate the security code of each card number, of 1,000 at most."""
        ...

    def holder_hashes(self, numbers: Sequence[str]) -> Sequence[bytes]:
        """Return the `holder_hash` of each number. One of them alone then needs no more work."""
        ...

    def holder_hash(self, number: str) -> bytes:
        """Return the HMAC-SHA-256 of a number, 32 bytes: it finds equal holders without names."""
        ...

    def new_batch(self, batch: UUID, count: int) -> SealingBatch:
        """Begin a batch of `count` records, with a random key."""
        ...

    def sealed_batch(self, batch: UUID, count: int, sealed_key: bytes) -> SealedBatch:
        """Open a batch. Raises CardKeyError when it was sealed by other keys, or is damaged."""
        ...

    def seal_pin(self, batch: UUID, number: int, turn: int, pin: Pin) -> bytes:
        """Seal the PIN of a card. `turn` counts from 0 how often the card got a new PIN."""
        ...

    def unseal_pin(self, batch: UUID, number: int, turn: int, sealed: bytes) -> Pin:
        """Open the PIN of a card. Raises CardKeyError when it is damaged or not this card's."""
        ...

    def give_up(self, job: CardJob) -> None:
        """Let the record of a job have another chip, because this one is spoiled.

        Raises CardKeyError when the chip is or may be active, or we may give up no more.
        """
        ...
