"""The interface to the issuer, whose keys may be in another process.

Nothing here takes or gives a key: not the root keys, a chip's keys, or those of a batch.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from ..apdu import CommandAPDU, ResponseAPDU
from ..errors import CardKeyError, FormatError
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


class PinUse(StrEnum):
    """Who may open a sealed PIN.

    `file` is for the PIN file of a batch with a journal of its own, `mailer` for the PIN letter,
    `claim` for the station that makes the card.
    """

    FILE = "file"
    MAILER = "mailer"
    CLAIM = "claim"


@dataclass(frozen=True, slots=True)
class PinOf:
    """Which PIN is sealed: that of one attempt to make a record, on one chip.

    In a PIN file `chip` is None, and `attempt` counts from 0 how often the card got a new PIN.
    """

    batch: UUID
    number: int
    attempt: int
    chip: ChipSerial | None = None
    use: PinUse = PinUse.FILE


class RecordRefused(CardKeyError):
    """A record of a batch is not for this site, or may not be opened here any more."""


@dataclass(frozen=True, slots=True)
class SiteOffer:
    """What a site offers for one batch: a public key, 04 ‖ X ‖ Y. Only the site has the other."""

    site: str
    key_id: UUID
    public: bytes


@dataclass(frozen=True, slots=True)
class Share:
    """Records `first` to `last` of a new batch, for the site of an offer, or else for our own."""

    site: str
    first: int
    last: int
    offer: SiteOffer | None = None


@dataclass(frozen=True, slots=True)
class RecordRange:
    """Records `first` to `last` of a batch, and the site that may open them.

    `enveloped` is the key of the range, for the site's key `key_id` (CMS AuthEnvelopedData).
    `sealed` is the site's private key, if it was sealed with the batch's own root keys and is kept
    in the batch.
    """

    site: str
    first: int
    last: int
    key_id: UUID
    enveloped: bytes = field(repr=False)
    sealed: bytes = field(repr=False, default=b"")

    def as_dict(self) -> dict[str, object]:
        """The range as JSON members."""
        return {
            "site": self.site, "first": self.first, "last": self.last, "key_id": str(self.key_id),
            "key": self.enveloped.hex(), "sealed_site_key": self.sealed.hex(),
        }  # fmt: skip

    @classmethod
    def of_dict(cls, members: Mapping[str, Any]) -> "RecordRange":
        """Return the range of JSON members. Raises an error of `DAMAGE` when they are none."""
        if {name: type(value) for name, value in members.items()} != _RANGE_TYPES:
            raise FormatError("a range of the batch has missing, unknown or wrong values")
        found = cls(
            members["site"], members["first"], members["last"], UUID(members["key_id"]),
            bytes.fromhex(members["key"]), bytes.fromhex(members["sealed_site_key"]),
        )  # fmt: skip
        if found.as_dict() != members:
            raise FormatError("a range of the batch is not written as it should be")
        return found


_RANGE_TYPES: Mapping[str, type] = {
    "site": str, "first": int, "last": int, "key_id": str, "key": str, "sealed_site_key": str,
}  # fmt: skip


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
    def ranges(self) -> Sequence[RecordRange]:
        """The ranges of the records, with their keys enveloped: a part of the manifest."""
        ...

    @property
    def kept(self) -> bytes:
        """The keys of the batch, sealed: for `Issuer.continued_batch`."""
        ...

    def seal(self, number: int, record: bytes) -> bytes:
        """Seal record `number`, from 1 in order. Raises CardKeyError when it is not the next."""
        ...

    def sign(self, manifest: bytes) -> bytes:
        """Sign the manifest after the last record; return CMS SignedData, DER.

        Raises CardKeyError when it is of another batch, or records are missing.
        """
        ...


class SealedBatch(Protocol):
    """A batch whose records can be opened one by one."""

    def unseal(self, number: int, sealed: bytes) -> bytes:
        """Open record `number`.

        Raises RecordRefused when it is another site's, or its key was destroyed, and CardKeyError
        when it is damaged or is another record.
        """
        ...


class OldBatch(Protocol):
    """A batch of format 2, whose header has a seal and no signature."""

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

    @property
    def preparation_certificate(self) -> bytes:
        """The certificate of those who prepare batches with these keys, DER."""
        ...

    def new_batch(self, batch: UUID, count: int, shares: Sequence[Share]) -> SealingBatch:
        """Begin a batch of `count` records, each in one site's share, with random keys."""
        ...

    def continued_batch(self, batch: UUID, count: int, kept: bytes) -> SealingBatch:
        """Begin a batch again that was cut: the same records give the same bytes.

        Raises CardKeyError when `kept` is damaged, or is of other keys or another batch.
        """
        ...

    def sealed_batch(
        self,
        batch: UUID,
        count: int,
        ranges: Sequence[RecordRange],
        transfers: Sequence[RecordRange] = (),
    ) -> SealedBatch:
        """Return a batch whose manifest and transfers were checked, the transfers in order."""
        ...

    def offer_site_key(self, site: str) -> bytes:
        """Make a key pair for one batch that is not prepared yet; return its offer, signed."""
        ...

    def transfer(
        self, batch: UUID, count: int, owned: RecordRange, to: Share, *, transferred: bool
    ) -> bytes:
        """Give records of a range, or of an earlier transfer, to a site; return CMS SignedData.

        Raises RecordRefused when they are not ours, and CardKeyError when they are too many.
        """
        ...

    def old_batch(self, batch: UUID, count: int, sealed_key: bytes) -> OldBatch:
        """Open a batch of format 2. Raises CardKeyError when its key is damaged, or of others."""
        ...

    def seal_pin(self, of: PinOf, pin: Pin) -> bytes:
        """Seal the PIN of a card."""
        ...

    def unseal_pin(self, of: PinOf, sealed: bytes) -> Pin:
        """Open the PIN of a card. Raises CardKeyError when it is damaged or another's."""
        ...

    def give_up(self, job: CardJob) -> None:
        """Let the record of a job have another chip, because this one is spoiled.

        Raises CardKeyError when the chip is or may be active, or we may give up no more.
        """
        ...
