"""The issuer with root keys in this process: a key store, or a token."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from .. import commands
from ..apdu import CommandAPDU, ResponseAPDU
from ..crypto import Cipher
from ..errors import CardKeyError, ChannelError, StatusWordError
from ..facts import ChipSerial, Pin, Region, SpecVersion
from ..keys import KeySet, Purpose, RootKeys, Scp03Keys
from ..keys.issuer import (
    CardJob,
    IssuerHost,
    OldBatch,
    PinOf,
    RecordRange,
    Scp03Set,
    SealedBatch,
    SealingBatch,
    Share,
    SiteOffer,
)
from ..layout import FILES, KEY_BY_NAME
from ..layout.load import Grouping
from ..messaging.scp03 import Scp03Host
from ..pki.signed_data import sign
from ..status import StatusWord
from . import LEVEL, check_new_keys, put_key_command, store_data_commands
from .batches import LocalSealedBatch, SiteKeys, begun, continued, new_site_key
from .batches import transferred as make_transfer
from .batches_of_format_2 import LocalOldBatch
from .offers import offer_to_json


class LocalHost:
    """The issuer's side of one session with one chip, with its keys in this process."""

    def __init__(self, keys: RootKeys, key_set: Scp03Set, chip: ChipSerial) -> None:
        self._keys, self._set, self._chip = keys, key_set, chip
        own = _keys_of(keys, key_set, chip)
        self._own, self._host = own, Scp03Host(own, LEVEL)
        self.key_version, self.key_length = own.key_version, own.key_length
        self._sent: tuple[str, ...] = ()
        self._new_keys: Scp03Keys | None = None

    def __repr__(self) -> str:
        return f"<issuer's side of a session with {self._own!r}>"

    def initialize_update(self) -> CommandAPDU:
        """Return INITIALIZE UPDATE."""
        return self._host.initialize_update()

    def external_authenticate(self, reply: ResponseAPDU) -> CommandAPDU:
        """Check the card's cryptogram; return EXTERNAL AUTHENTICATE. Raises Scp03Failure."""
        return self._host.external_authenticate(reply)

    def opened(self, reply: ResponseAPDU) -> None:
        """Check the reply to EXTERNAL AUTHENTICATE. Raises Scp03Failure when it is not 9000."""
        self._host.opened(reply)

    def replace_keys(self, job: CardJob) -> Sequence[CommandAPDU]:
        """Return PUT KEY: the issuer's keys of the chip take the place of its transport keys."""
        self._check(job, Scp03Set.TRANSPORT)
        return self._put_key()

    def _put_key(self) -> Sequence[CommandAPDU]:
        self._new_keys = new = self._keys.issuer_keys(self._chip)
        command = put_key_command(new.key_version, new, self._own)
        return self._protected([command], ("PUT KEY",))

    def load(
        self, job: CardJob, records: Iterable[Grouping], region: Region, pin: Pin
    ) -> Sequence[CommandAPDU]:
        """Return STORE DATA of a whole card: its records, its keys and its PIN."""
        self._check(job, Scp03Set.ISSUER)
        given = list(records)
        for dgi, _ in given:
            if not 1 <= dgi >> 8 <= len(FILES):
                raise CardKeyError(f"data grouping {dgi:04X} is not a record of the card")
        of_keys = self._keys.groupings(self._chip, region, pin)
        blocks = store_data_commands([*given, *of_keys], self._host.capacity)
        names = (f"STORE DATA block {n} of {len(blocks)}" for n in range(1, len(blocks) + 1))
        return self._protected(blocks, tuple(names))

    def activate(self) -> Sequence[CommandAPDU]:
        """Return ACTIVATE (card specification 7)."""
        self._check_set(Scp03Set.ISSUER)
        return self._protected([commands.ACTIVATE], ("ACTIVATE",))

    def reset_tries(self, key_name: str) -> Sequence[CommandAPDU]:
        """Return RESET KEY TRIES of a card key. Raises CardKeyError for an unknown one."""
        self._check_set(Scp03Set.ISSUER)
        if key_name not in KEY_BY_NAME:
            raise CardKeyError(f"{key_name} is not a key of the card")
        command = commands.reset_key_tries(KEY_BY_NAME[key_name].sam_key_id)
        return self._protected([command], (f"RESET KEY TRIES of {key_name}",))

    def done(self, replies: Sequence[ResponseAPDU]) -> None:
        """Check the replies to the commands that were made last, in their order."""
        names, self._sent = self._sent, ()
        plain = self._host.unwrap_all(replies)
        for name, reply in zip(names, plain, strict=False):
            if reply.sw != StatusWord.SUCCESS:
                self._host.close()
                raise StatusWordError(name, reply.sw)
        if len(plain) != len(names) or not names:
            raise ChannelError(f"{len(plain)} replies came to {len(names)} commands")
        new, self._new_keys = self._new_keys, None
        if new is not None:
            check_new_keys(plain[0], new)

    def _protected(
        self, wanted: Sequence[CommandAPDU], names: tuple[str, ...]
    ) -> Sequence[CommandAPDU]:
        if self._sent:
            self._host.close()
            raise ChannelError(f"the replies to {self._sent[0]} were not checked")
        self._sent = names
        return self._host.wrap_all(wanted)

    def _check(self, job: CardJob, key_set: Scp03Set) -> None:
        self._check_set(key_set)
        if job.chip != self._chip:
            raise CardKeyError(f"this session is with chip {self._chip}, not {job.chip}")

    def _check_set(self, key_set: Scp03Set) -> None:
        if self._set is not key_set:
            raise CardKeyError(f"this needs a session of the chip's {key_set} keys")


class LocalIssuer:
    """An `Issuer` over root keys in this process."""

    def __init__(self, keys: RootKeys, site_keys: SiteKeys | None = None) -> None:
        """Take the roots, and where the private keys of the site are, if not in its batches."""
        self._keys, self._site_keys = keys, site_keys

    def __repr__(self) -> str:
        return f"<issuer with {self._keys!r}>"

    @property
    def identity(self) -> str:
        """32 hex digits that name these roots."""
        return self._keys.identity

    @property
    def key_version(self) -> int:
        """The version of the card keys, 1 to 7."""
        return self._keys.key_version

    @property
    def spec(self) -> SpecVersion:
        """The version of the card specification."""
        return self._keys.spec

    @property
    def cipher(self) -> Cipher:
        """The block cipher of the card keys."""
        return self._keys.cipher

    @property
    def is_test(self) -> bool:
        """Whether any of the keys is a public test key."""
        return self._keys.is_test

    @property
    def terminal_keys(self) -> KeySet:
        """The card keys as a terminal uses them."""
        return self._keys.terminal_keys

    def session(self, key_set: Scp03Set, chip: ChipSerial) -> IssuerHost:
        """Begin a session with a chip that has this key set."""
        return LocalHost(self._keys, key_set, chip)

    def security_code(self, card_number: str, issue_date: str) -> str:
        """Calculate three digits from card number and issue date."""
        return self._keys.security_code(card_number, issue_date)

    def security_codes(self, card_numbers: Sequence[str], issue_date: str) -> Sequence[str]:
        """Calculate the security code of each card number."""
        return [self._keys.security_code(each, issue_date) for each in card_numbers]

    def holder_hashes(self, numbers: Sequence[str]) -> Sequence[bytes]:
        """Return the `holder_hash` of each number."""
        return [self._keys.holder_hash(each) for each in numbers]

    def holder_hash(self, number: str) -> bytes:
        """Return the HMAC-SHA-256 of a number, 32 bytes."""
        return self._keys.holder_hash(number)

    @property
    def preparation_certificate(self) -> bytes:
        """The certificate of those who prepare batches with these keys, DER."""
        return self._keys.preparation_signer.certificate

    def new_batch(self, batch: UUID, count: int, shares: Sequence[Share]) -> SealingBatch:
        """Begin a batch of `count` records, each in one site's share, with random keys."""
        return begun(self._keys, batch, count, shares, self._site_keys)

    def continued_batch(self, batch: UUID, count: int, kept: bytes) -> SealingBatch:
        """Begin a batch again that was cut: the same records give the same bytes."""
        return continued(self._keys, batch, count, kept)

    def sealed_batch(
        self,
        batch: UUID,
        count: int,
        ranges: Sequence[RecordRange],
        transfers: Sequence[RecordRange] = (),
    ) -> SealedBatch:
        """Return a batch whose manifest and transfers were checked, the transfers in order."""
        return LocalSealedBatch(self._keys, batch, count, ranges, self._site_keys, transfers)

    def offer_site_key(self, site: str) -> bytes:
        """Make a key pair for one batch that is not prepared yet; return its offer, signed.

        Raises CardKeyError when there is no place for the private key.
        """
        if self._site_keys is None:
            raise CardKeyError("there is no place here where a site's key could be kept")
        key_id, public, sealed = new_site_key(self._keys)
        self._site_keys.keep(key_id, None, sealed)
        offer = offer_to_json(SiteOffer(site, key_id, public))
        return sign(offer, self._keys.preparation_signer)

    def transfer(
        self, batch: UUID, count: int, owned: RecordRange, to: Share, *, transferred: bool
    ) -> bytes:
        """Give records of a range, or of an earlier transfer, to a site; return CMS SignedData."""
        ranges, transfers = ([], [owned]) if transferred else ([owned], [])
        opened = LocalSealedBatch(self._keys, batch, count, ranges, self._site_keys, transfers)
        return make_transfer(self._keys, opened, batch, count, owned.key_id, to)

    def old_batch(self, batch: UUID, count: int, sealed_key: bytes) -> OldBatch:
        """Open a batch of format 2. Raises CardKeyError when its key is damaged, or of others."""
        return LocalOldBatch(self._keys, batch, count, sealed_key)

    def seal_pin(self, of: PinOf, pin: Pin) -> bytes:
        """Seal the PIN of a card."""
        return self._keys.seal(Purpose.PIN, pin.digits, _bound_to(of))

    def unseal_pin(self, of: PinOf, sealed: bytes) -> Pin:
        """Open the PIN of a card. Raises CardKeyError when it is damaged or another's."""
        digits = self._keys.unseal(Purpose.PIN, sealed, _bound_to(of))
        return Pin(digits.decode("ascii", "replace"))

    def give_up(self, job: CardJob) -> None:
        """Do nothing: without a key agent, the journal alone says which chip a record has."""


def _keys_of(keys: RootKeys, key_set: Scp03Set, chip: ChipSerial) -> Scp03Keys:
    if key_set is Scp03Set.TRANSPORT:
        return keys.transport_keys(chip)
    return keys.issuer_keys(chip)


def _bound_to(of: PinOf) -> bytes:
    """What the PIN of a card is bound to."""
    if of.chip is None:
        again = f"\nturn {of.attempt}" if of.attempt else ""
        return f"rhcard pins 1\n{of.batch}\n{of.number}{again}".encode()
    return f"rhcard pin {of.use}\n{of.batch}\n{of.number}\n{of.attempt}\n{of.chip}".encode()
