"""Components: what each custodian carries of a key. The key is the XOR of all of them.

One component alone is random: it says nothing about the key. Its check value finds a wrong one
before it is used. A component as text, for files and QR codes, is one line:

    RHC1:WHAT:CIPHER:NUMBER/OF:BASE32:CHECKSUM

WHAT is the name of a key in capitals with '-' for '_', SET for all keys of a version, or EXCHANGE.
BASE32 (RFC 4648, no '=') holds the bytes; those of a set are the roots of the keys in the order of
the card specification, then transport, issuer and cvk, 16 bytes each, then the secret of 32.
CHECKSUM is the start of SHA-256 over all before it, 5 bytes in BASE32.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from cardlib.crypto import BLOCK_SIZE, BlockCipher, Cipher, key_check_value
from cardlib.errors import CardKeyError
from cardlib.layout import KEYS

SET, EXCHANGE = "set", "exchange"
"""All roots of one version; a key that only protects keys on their way (TR-31's KBPK)."""
CARD_KEYS = tuple(key.name for key in KEYS)
SINGLE_KEYS = (*CARD_KEYS, "transport", "issuer", "cvk")
SECRET = "secret"
SECRET_SIZE = 32
KEY_SIZE = 16
SET_SIZE = KEY_SIZE * len(SINGLE_KEYS) + SECRET_SIZE
WHATS = (*SINGLE_KEYS, SET, EXCHANGE)
SET_CHECK = 10
"""Bytes of a set's check value. 3 are enough against slips, but a set is worth a forgery."""
_ALWAYS_AES = {"transport", "issuer"}
_CHECKSUM = 5
_TEXT = re.compile(r"RHC1:([A-Z0-9-]+):(SM4|AES):([123])/([23]):([A-Z2-7]+):([A-Z2-7]{8})")


def word_of(what: str) -> str:
    """Return a name as it stands in lines of text: capitals, with '-' for '_'."""
    return what.upper().replace("_", "-")


BY_WORD: Mapping[str, str] = MappingProxyType({word_of(what): what for what in WHATS})


def cipher_of(what: str, cipher: Cipher) -> Cipher:
    """Return the cipher of a key: transport and issuer roots are AES, the others the cards'."""
    return Cipher.AES if what in _ALWAYS_AES else cipher


def sizes_of(what: str, cipher: Cipher) -> tuple[int, ...]:
    """Return how many bytes a component of this may have."""
    if what == SET:
        return (SET_SIZE,)
    return (16, 24, 32) if (what, cipher) == (EXCHANGE, Cipher.AES) else (KEY_SIZE,)


@dataclass(frozen=True, slots=True)
class Component:
    """One component of a key or of a set: `number` of `of`. Its value is never shown.

    `cipher` is that of the cards' keys. Raises CardKeyError when the value has the wrong length or
    is all zeros.
    """

    what: str
    cipher: Cipher
    number: int
    of: int
    value: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if self.what not in WHATS or not 1 <= self.number <= self.of <= 3 or self.of < 2:
            raise CardKeyError("there is no such component: give 1 to 3 of 2 or 3")
        sizes = sizes_of(self.what, self.cipher)
        if len(self.value) not in sizes:
            fit = " or ".join(str(2 * size) for size in sizes)
            raise CardKeyError(f"a component of {self.what} has {fit} hex digits")
        if not any(self.value):
            raise CardKeyError("the component is all zeros: it would hide nothing")

    @property
    def check_value(self) -> str:
        """The component's check value in hex digits: 6 of one key, 20 of a set."""
        return check_value(self.what, self.cipher, self.value)

    @property
    def digest(self) -> str:
        """SHA-256 of the component, 64 hex digits, for what its operator signs."""
        return hashlib.sha256(b"rhcard component" + self.value).hexdigest()

    def text(self) -> str:
        """The component as one line of text, for a file or a QR code. It is a secret."""
        place = f"{self.number}/{self.of}"
        head = f"RHC1:{word_of(self.what)}:{self.cipher.name}:{place}:{_base32(self.value)}:"
        return head + _checksum(head)

    @classmethod
    def from_text(cls, text: str) -> "Component":
        """Read a component's line of text. Raises CardKeyError when it is none or is wrong."""
        line = text.strip().upper()
        found = _TEXT.fullmatch(line)
        if found is None or found[1] not in BY_WORD:
            raise CardKeyError(
                "the component's text is not of the form RHC1:WHAT:CIPHER:NUMBER/OF:…:CHECKSUM"
            )
        if not hmac.compare_digest(_checksum(line[: -len(found[6])]), found[6]):
            raise CardKeyError("the component's text has a mistake: its checksum is wrong")
        try:
            value = base64.b32decode(found[5] + "=" * (-len(found[5]) % 8))
        except ValueError:
            raise CardKeyError("the component's text has a mistake: it is not BASE32") from None
        made = cls(BY_WORD[found[1]], Cipher[found[2]], int(found[3]), int(found[4]), value)
        if made.text() != line:
            raise CardKeyError("the component's text has a mistake: it has another form than ours")
        return made


def check_value(what: str, cipher: Cipher, value: bytes) -> str:
    """Return the check value of a component, or of what the components make, as hex digits.

    Of one key: 3 bytes (card specification 3). An exchange key makes CMACs, so its are of the block
    01*16, with SM4 too. Of a set: the start of SHA-256, 10 bytes.
    """
    if what == EXCHANGE:
        return BlockCipher(cipher, value).encrypt_ecb(b"\1" * BLOCK_SIZE)[:3].hex().upper()
    if what == SET:
        digest = hashlib.sha256(b"rhcard set " + cipher.name.encode() + value).digest()
        return digest[:SET_CHECK].hex().upper()
    return key_check_value(cipher_of(what, cipher), value).hex().upper()


def check_values(what: str, cipher: Cipher, value: bytes) -> Mapping[str, str]:
    """Return each check value of what the components make: of a set, that of each key too."""
    found = {what: check_value(what, cipher, value)}
    if what == SET:
        found |= {
            name: check_value(name, cipher, part)
            for name, part in parts(value).items()
            if name != SECRET
        }
    return MappingProxyType(found)


def parts(value: bytes) -> Mapping[str, bytes]:
    """Take a set apart: the root of each key, and the secret, by name. They are secrets."""
    names = {name: place * KEY_SIZE for place, name in enumerate(SINGLE_KEYS)}
    found = {name: value[start : start + KEY_SIZE] for name, start in names.items()}
    return {**found, SECRET: value[-SECRET_SIZE:]}


def joined(found: Mapping[str, bytes]) -> bytes:
    """Put a set together of the roots and the secret: the reverse of `parts`."""
    return b"".join(found[name] for name in (*SINGLE_KEYS, SECRET))


def component_bound(operator: str) -> bytes:
    """Return what a component that is sealed for an operator is bound to."""
    return b"rhcard sealed component 1 " + operator.encode("ascii")


def xor(one: bytes, other: bytes) -> bytes:
    """Return the XOR of two values of one length."""
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def _base32(value: bytes) -> str:
    return base64.b32encode(value).decode("ascii").rstrip("=")


def _checksum(head: str) -> str:
    return _base32(hashlib.sha256(head.encode("ascii")).digest()[:_CHECKSUM])
