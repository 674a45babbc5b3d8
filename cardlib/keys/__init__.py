"""Where keys live: interfaces that use keys and never show their bytes."""

from enum import StrEnum
from typing import NamedTuple, Protocol

from ..crypto import BlockCipher, Cipher
from ..facts import ChipSerial, Pin, Region, SpecVersion
from ..layout.load import Grouping


class Purpose(StrEnum):
    """What is sealed: each purpose has a sealing key of its own."""

    BATCH = "batch"
    PIN = "pin"


class Issuer(Protocol):
    """The issuer's keys, for whoever makes or checks cards. No key shows its bytes."""

    @property
    def identity(self) -> str:
        """32 hex digits that name the roots of one version; a new version has another identity."""
        ...

    @property
    def key_version(self) -> int:
        """The version of the card keys, 1..7."""
        ...

    @property
    def spec(self) -> SpecVersion:
        """The version of the card specification that cards with these keys are of."""
        ...

    @property
    def cipher(self) -> Cipher:
        """The block cipher of the card keys."""
        ...

    @property
    def is_test(self) -> bool:
        """Whether any of the keys is a public test key."""
        ...

    @property
    def terminal_keys(self) -> "KeySet":
        """The card keys, as a terminal that was given all of them has them."""
        ...

    def transport_keys(self, chip: ChipSerial) -> "Scp03Keys":
        """A chip's transport keys, version FF (card specification 6)."""
        ...

    def issuer_keys(self, chip: ChipSerial) -> "Scp03Keys":
        """A chip's issuer keys, version 01 (card specification 6)."""
        ...

    def groupings(self, chip: ChipSerial, region: Region, pin: Pin) -> tuple[Grouping, ...]:
        """The groupings 81kk, 8010 and 9010 of a card, encrypted under the issuer's Key-DEK."""
        ...

    def security_code(self, card_number: str, issue_date: str) -> str:
        """Three digits over card number and issue date, YYYYMMDD (card specification 2).

        FormatError when one of them cannot be stored on a card.
        """
        ...

    def holder_hash(self, number: str) -> bytes:
        """32 bytes that tell equal holders without naming them: HMAC-SHA-256 of a number."""
        ...

    def seal(self, purpose: Purpose, data: bytes, bound: bytes) -> bytes:
        """Encrypt and authenticate data, bound to what it belongs to, which is not in the result.

        AES-256-GCM (SP 800-38D): nonce (12) ‖ ciphertext ‖ tag (16).
        """
        ...

    def unseal(self, purpose: Purpose, sealed: bytes, bound: bytes) -> bytes:
        """The data back; CardKeyError when it is damaged, of other keys, or bound otherwise."""
        ...


class KeyUse(Protocol):
    """What keys are for; a set of them is for one protocol, cipher and version."""

    @property
    def protocol(self) -> int:
        """Version of secure messaging the keys are for: 1 or 2."""
        ...

    @property
    def cipher(self) -> Cipher:
        """The block cipher the keys are for."""
        ...

    @property
    def version(self) -> int:
        """The key version, 1..7."""
        ...


class KeySet(KeyUse, Protocol):
    """Root keys, of one protocol, cipher and version, that cards' keys are derived from."""

    @property
    def names(self) -> frozenset[str]:
        """The names of the keys it holds."""
        ...

    def for_card(self, chip: bytes, region: bytes) -> "CardKeys":
        """The keys of the card with this chip serial and region factor, 8 bytes each."""
        ...


class WrappedKey(NamedTuple):
    """One key as PUT KEY carries it: its length, encrypted under a Key-DEK, 3-byte check value."""

    length: int
    encrypted: bytes
    check_value: bytes


class ProcessKey(Protocol):
    """A version-1 process key: diversify(card key, challenge8) (card specification 3)."""

    def encrypt(self, blocks: bytes) -> bytes:
        """Encrypt whole 16-byte blocks, each by itself."""
        ...

    def mac(self, message: bytes) -> bytes:
        """CBC-MAC, IV 0, over the message padded 80 00..: the first 4 bytes."""
        ...


class SessionKeys(NamedTuple):
    """S_ENC and S_MAC of a version-2 session (card specification 5)."""

    enc: BlockCipher
    mac: BlockCipher


class MutualAuthentication(Protocol):
    """One version-2 authentication under way, by one card key; a SAM does 80 EA and 80 EB here."""

    @property
    def cryptogram(self) -> bytes:
        """M ‖ T, 40 bytes, for EXTERNAL AUTHENTICATE."""
        ...

    def session_keys(self, reply: bytes, chaining: bytes) -> SessionKeys:
        """Check the card's 40 bytes and derive the session's keys; `chaining` is P, 16 bytes.

        ChannelError when the answer is not the card's. Once only.
        """
        ...


class Scp03Keys(Protocol):
    """One chip's static SCP03 keys: Key-ENC, Key-MAC, Key-DEK (GPC Amendment D 6.2.1)."""

    @property
    def key_version(self) -> int:
        """The key version number on the card, 01..FF."""
        ...

    @property
    def key_length(self) -> int:
        """Bytes of each key: 16, 24 or 32."""
        ...

    @property
    def chip(self) -> bytes | None:
        """The chip serial, 8 bytes, that the keys were derived for; None if they are of no chip."""
        ...

    @property
    def key_check_values(self) -> tuple[bytes, bytes, bytes]:
        """Check values of Key-ENC, Key-MAC and Key-DEK, 3 bytes each."""
        ...

    def session_key(self, constant: int, context: bytes) -> BlockCipher:
        """S-ENC (04, from Key-ENC), S-MAC (06) or S-RMAC (07, both from Key-MAC).

        `context` is host challenge ‖ card challenge, 16 or 32 bytes; Amendment D 6.2.1.
        """
        ...

    def encrypt_dek(self, data: bytes) -> bytes:
        """AES-CBC under the static Key-DEK, IV 0, over whole blocks (Amendment D 6.2.8)."""
        ...

    def wrapped(self, dek: "Scp03Keys") -> tuple[WrappedKey, WrappedKey, WrappedKey]:
        """The three keys for PUT KEY, encrypted under the Key-DEK of the set now on the card."""
        ...


class CardKeys(KeyUse, Protocol):
    """The 30 keys of one card, chip and region fixed. CardKeyError for a key it does not hold."""

    def process_key(self, name: str, challenge: bytes) -> ProcessKey:
        """The process key of a card key for an 8-byte challenge.

        CardKeyError under protocol 2, except for the IRK, which INTERNAL AUTHENTICATE uses in both.
        """
        ...

    def authentication(self, name: str, rnd_ic: bytes, binding: bytes) -> MutualAuthentication:
        """Begin a version-2 authentication: the card's 8-byte challenge, and B (6 bytes).

        CardKeyError under protocol 1.
        """
        ...

    def key_check_value(self, name: str) -> bytes:
        """A card key's check value, 3 bytes (card specification 3)."""
        ...

    def grouping(self, name: str, dek: Scp03Keys) -> bytes:
        """Value of a key's DGI 81kk: version ‖ cipher ‖ AES-CBC(Key-DEK, key16) ‖ KCV3."""
        ...
