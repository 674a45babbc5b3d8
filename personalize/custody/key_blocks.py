"""Keys on their way to somebody else: each in a block under an exchange key, never in clear.

AES keys go in TR-31 key blocks, version D (ASC X9 TR-31:2018), by the package psec. TR-31 knows no
SM4, so SM4 keys go in a block of our own, which binds in the same way: one line of text

    RHCB1:WHAT:SM4:VERSION:CHECKVALUE:BASE32

BASE32 (RFC 4648, no '=') is MAC (16 bytes) ‖ encrypted key (16). From the exchange key, an SM4 key,
two keys are derived by the counter KDF of SP 800-108 with CMAC, labels "RHCB ENC" and "RHCB MAC",
context empty, 128 bits. MAC is the CMAC, under the second, of the text up to the last ':' ‖ key.
The key is encrypted by CBC under the first, with MAC as IV.
"""

import base64
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from cardlib.crypto import BlockCipher, Cipher, counter_kdf
from cardlib.errors import CardKeyError

from .component import BY_WORD, SINGLE_KEYS, check_value, cipher_of, word_of

_OURS = re.compile(r"(RHCB1:([A-Z0-9-]+):SM4:([1-7]):([0-9A-F]{6}):)([A-Z2-7]{52})")
_USAGES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"transport": ("E5", "X"), "issuer": ("E5", "X"), "cvk": ("C0", "C")}
)
"""TR-31's key usage and mode of use: E5 is an issuer's master key for card personalization, C0 a
card verification key. The roots of card keys are E6, other master keys. X: for derivation only."""
_OTHER_USAGE = "E6", "X"
_EXPORTABLE_NO_MORE = "N"


@dataclass(frozen=True, slots=True)
class KeyBlock:
    """A key under an exchange key: its name, its check value (6 hex digits), and the block."""

    what: str
    check_value: str
    text: str


def wrapped(what: str, cipher: Cipher, version: int, key: bytes, exchange: bytes) -> KeyBlock:
    """Wrap one key of a version under an exchange key. `cipher` is that of the cards' keys.

    An exchange key has 16, 24 or 32 bytes for AES keys, 16 for SM4 keys. Raises CardKeyError for
    what is no single key.
    """
    if what not in SINGLE_KEYS:
        raise CardKeyError(f"{what} is no key that can be wrapped")
    check = check_value(what, cipher, key)
    if cipher_of(what, cipher) is Cipher.AES:
        return KeyBlock(what, check, _tr31(what, version, key, exchange))
    head = f"RHCB1:{word_of(what)}:SM4:{version}:{check}:"
    enc, mac = _derived(exchange)
    tag = mac.cmac(head.encode("ascii") + key)
    return KeyBlock(what, check, head + _base32(tag + enc.encrypt_cbc(key, tag)))


def unwrapped(text: str, exchange: bytes) -> tuple[str, int, bytes]:
    """Open one of our blocks: the key's name, its version, and its 16 bytes.

    Raises CardKeyError when it is none, was changed, or is under another exchange key.
    """
    found = _OURS.fullmatch(text.strip())
    if found is None or found[2] not in BY_WORD:
        raise CardKeyError("this is no key block of ours: RHCB1:WHAT:SM4:VERSION:…")
    raw = base64.b32decode(found[5] + "====")
    enc, mac = _derived(exchange)
    key = enc.decrypt_cbc(raw[16:], raw[:16])
    fits = hmac.compare_digest(mac.cmac(found[1].encode("ascii") + key), raw[:16])
    if not fits or _base32(raw) != found[5]:
        raise CardKeyError("the key block was changed, or is under another exchange key")
    return BY_WORD[found[2]], int(found[3]), key


def _tr31(what: str, version: int, key: bytes, exchange: bytes) -> str:
    from psec import tr31

    usage, mode = _USAGES.get(what, _OTHER_USAGE)
    header = tr31.Header("D", usage, "A", mode, f"{version:02}", _EXPORTABLE_NO_MORE)
    header.blocks["LB"] = what
    return tr31.wrap(exchange, header, key)


def _derived(exchange: bytes) -> tuple[BlockCipher, BlockCipher]:
    root = BlockCipher(Cipher.SM4, exchange)
    enc, mac = (counter_kdf(root, label, b"", 128) for label in (b"RHCB ENC", b"RHCB MAC"))
    return BlockCipher(Cipher.SM4, enc), BlockCipher(Cipher.SM4, mac)


def _base32(raw: bytes) -> str:
    return base64.b32encode(raw).decode("ascii").rstrip("=")
