"""The interfaces to keys. They use keys and never show their bytes.

`RootKeys` is whoever holds root keys in this process. What preparation and station ask is in
`issuer`: it may be another process, which gives out no key.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple, Protocol

from ..crypto import BlockCipher, Cipher
from ..errors import CardKeyError
from ..facts import ChipSerial, Pin, Region, SpecVersion
from ..layout.load import Grouping
from ..pki import Signer


class Purpose(StrEnum):
    """What is sealed. Each purpose has its own sealing key."""

    BATCH = "batch"
    PIN = "pin"
    SITE = "site key"


class AboutKeys(Protocol):
    """What anybody may know about the root keys of one version."""

    @property
    def identity(self) -> str:
        """32 hex digits that name one version's roots (card specification 3)."""
        ...

    @property
    def key_version(self) -> int:
        """The version of the card keys, 1 to 7."""
        ...

    @property
    def spec(self) -> SpecVersion:
        """The version of the card specification that these keys are for."""
        ...

    @property
    def cipher(self) -> Cipher:
        """The block cipher of the card keys."""
        ...

    @property
    def is_test(self) -> bool:
        """Whether any of the keys is a public test key."""
        ...


class RootKeys(AboutKeys, Protocol):
    """The root keys of one version in this process: of a key store, or of a token."""

    @property
    def terminal_keys(self) -> "KeySet":
        """The card keys as a terminal uses them, all 30."""
        ...

    def transport_keys(self, chip: ChipSerial) -> "Scp03Keys":
        """Return a chip's transport keys, version FF (card specification 6)."""
        ...

    def issuer_keys(self, chip: ChipSerial) -> "Scp03Keys":
        """Return a chip's issuer keys, version 01 (card specification 6)."""
        ...

    def groupings(self, chip: ChipSerial, region: Region, pin: Pin) -> tuple[Grouping, ...]:
        """Make a card's groupings 81kk, 8010 and 9010, encrypted under the issuer's Key-DEK."""
        ...

    def security_code(self, card_number: str, issue_date: str) -> str:
        """Calculate three digits from card number and issue date, YYYYMMDD (card specification 2).

        Raises FormatError when one of them cannot be stored on a card.
        """
        ...

    def holder_hash(self, number: str) -> bytes:
        """Return the HMAC-SHA-256 of a number, 32 bytes: it finds equal holders without names."""
        ...

    @property
    def preparation_signer(self) -> Signer:
        """Whoever signs the batches that are prepared with these keys."""
        ...

    def seal(self, purpose: Purpose, data: bytes, bound: bytes) -> bytes:
        """Encrypt and authenticate data. `bound` names what it belongs to; it is not in the result.

        AES-256-GCM (SP 800-38D): nonce (12) ‖ ciphertext ‖ tag (16).
        """
        ...

    def unseal(self, purpose: Purpose, data: bytes, bound: bytes) -> bytes:
        """Decrypt sealed data.

        Raises CardKeyError when it is damaged, or was sealed with other keys or another `bound`.
        """
        ...


class KeyHolder(Protocol):
    """Whoever holds several versions of the root keys (card specification 10, amendment 10)."""

    @property
    def newest(self) -> RootKeys:
        """The newest version that makes cards: new batches are prepared with it."""
        ...

    @property
    def versions(self) -> Mapping[int, RootKeys]:
        """All versions by their number, those too that make no more cards."""
        ...

    def of(self, identity: str) -> RootKeys:
        """Return the version with this identity. Raises CardKeyError when there is none."""
        ...

    def for_issuing(self, identity: str) -> RootKeys:
        """Return the version with this identity, to make cards with it.

        Raises CardKeyError when there is none, or it is retired.
        """
        ...

    @property
    def terminal_keys(self) -> "KeySet":
        """The card keys of all versions as a terminal uses them."""
        ...


def retired_error(version: int, identity: str) -> CardKeyError:
    """Say that a key version makes no more cards, and what to do with a batch of it."""
    return CardKeyError(
        f"key version {version} ({identity}) is retired: cards of it are read and verified, and no"
        " card is made with it. Prepare those residents again who have no card yet: `rhcard verify`"
        " names them"
    )


class KeyUse(Protocol):
    """What a set of keys is for: one protocol, one cipher and one version."""

    @property
    def protocol(self) -> int:
        """The version of secure messaging that the keys are for: 1 or 2."""
        ...

    @property
    def cipher(self) -> Cipher:
        """The block cipher that the keys are for."""
        ...

    @property
    def version(self) -> int:
        """The key version, 1 to 7."""
        ...


class KeySet(KeyUse, Protocol):
    """Root keys of one protocol, cipher and version. The keys of cards are derived from them."""

    @property
    def names(self) -> frozenset[str]:
        """The names of the keys in this set."""
        ...

    def fitting(self, protocol: int, cipher: Cipher, version: int) -> "KeySet":
        """Return the keys for cards of this protocol, cipher and key version: these, or a part.

        Raises CardKeyError, which says what the keys are for, when none fit.
        """
        ...

    def for_card(self, chip: bytes, region: bytes) -> "CardKeys":
        """Return the keys of the card with this chip serial and region factor, 8 bytes each."""
        ...


class WrappedKey(NamedTuple):
    """One key for PUT KEY: its length, the key under a Key-DEK, its 3-byte check value."""

    length: int
    encrypted: bytes
    check_value: bytes


class ProcessKey(Protocol):
    """A version-1 process key: diversify(card key, challenge8) (card specification 3)."""

    def encrypt(self, blocks: bytes) -> bytes:
        """Encrypt whole 16-byte blocks, each by itself."""
        ...

    def mac(self, message: bytes) -> bytes:
        """Return the first 4 bytes of the CBC-MAC, IV 0, over the message padded 80 00.. ."""
        ...


class SessionKeys(NamedTuple):
    """S_ENC and S_MAC of a version-2 session (card specification 5)."""

    enc: BlockCipher
    mac: BlockCipher


class MutualAuthentication(Protocol):
    """One version-2 authentication by one card key (with a SAM: 80 EA, then 80 EB)."""

    @property
    def cryptogram(self) -> bytes:
        """M ‖ T, 40 bytes, for EXTERNAL AUTHENTICATE."""
        ...

    def session_keys(self, reply: bytes, chaining: bytes) -> SessionKeys:
        """Check the card's 40 bytes and derive the session keys. `chaining` is P, 16 bytes.

        It can be called once. Raises ChannelError when the answer is wrong.
        """
        ...


class HasKeyVersion(Protocol):
    """What a key set on a card is called."""

    @property
    def key_version(self) -> int:
        """The key version number on the card, 01 to FF."""
        ...

    @property
    def key_length(self) -> int:
        """The bytes of each key: 16, 24 or 32."""
        ...


class Scp03Keys(HasKeyVersion, Protocol):
    """One chip's static SCP03 keys: Key-ENC, Key-MAC, Key-DEK (GPC Amendment D 6.2.1)."""

    @property
    def chip(self) -> bytes | None:
        """The chip serial, 8 bytes, that the keys were derived for, or None."""
        ...

    @property
    def key_check_values(self) -> tuple[bytes, bytes, bytes]:
        """The check values of Key-ENC, Key-MAC and Key-DEK, 3 bytes each."""
        ...

    def session_key(self, constant: int, context: bytes) -> BlockCipher:
        """Derive S-ENC (04, from Key-ENC), S-MAC (06) or S-RMAC (07, both from Key-MAC).

        `context` is host challenge ‖ card challenge, 16 or 32 bytes (Amendment D 6.2.1).
        """
        ...

    def encrypt_dek(self, data: bytes) -> bytes:
        """Encrypt whole blocks by AES-CBC, IV 0, under the static Key-DEK (Amendment D 6.2.8)."""
        ...

    def wrapped(self, dek: "Scp03Keys") -> tuple[WrappedKey, WrappedKey, WrappedKey]:
        """Return the three keys for PUT KEY, encrypted under the Key-DEK that is on the card."""
        ...


class CardKeys(KeyUse, Protocol):
    """The keys of one card. Every method raises CardKeyError when a key is not in the set."""

    def process_key(self, name: str, challenge: bytes) -> ProcessKey:
        """Return the process key of a card key for an 8-byte challenge.

        Raises CardKeyError under protocol 2, except for the IRK: INTERNAL AUTHENTICATE is the same
        in both protocols.
        """
        ...

    def authentication(self, name: str, rnd_ic: bytes, binding: bytes) -> MutualAuthentication:
        """Begin a version-2 authentication with the card's 8-byte challenge and B (6 bytes).

        Raises CardKeyError under protocol 1.
        """
        ...

    def key_check_value(self, name: str) -> bytes:
        """Return a card key's check value, 3 bytes (card specification 3)."""
        ...
