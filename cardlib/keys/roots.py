"""The root keys of a bureau as one value: roots of card, transport and issuer keys."""

import hashlib
import json
import secrets
from dataclasses import dataclass, field, fields
from types import MappingProxyType

from ..crypto import Cipher
from ..errors import DAMAGE, CardKeyError
from ..layout import KEY_BY_NAME

TEST_TRANSPORT_ROOT = bytes.fromhex("404142434445464748494A4B4C4D4E4F")
"""The public test root of transport keys: GlobalPlatform's well-known test key."""


@dataclass(frozen=True, slots=True)
class Roots:
    """Root keys, 16 bytes each, and a 32-byte secret for deriving the sealing keys.

    `card` maps the 30 key names to their roots. `cvk` makes security codes and is on no card.
    Raises CardKeyError when a root is missing, has the wrong length, or the version is not 1 to 7.
    """

    protocol: int
    cipher: Cipher
    version: int
    card: MappingProxyType[str, bytes] = field(repr=False)
    transport: bytes = field(repr=False)
    issuer: bytes = field(repr=False)
    cvk: bytes = field(repr=False)
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        sixteen = [*self.card.values(), self.transport, self.issuer, self.cvk]
        if self.card.keys() != KEY_BY_NAME.keys():
            raise CardKeyError("the key store does not hold the roots of all 30 card keys")
        if {len(root) for root in sixteen} != {16} or len(self.secret) != 32:
            raise CardKeyError("root keys must have 16 bytes, the sealing secret 32")
        if self.protocol not in (1, 2) or not 1 <= self.version <= 7:
            raise CardKeyError("a key set must be for protocol 1 or 2 and have version 1 to 7")

    @property
    def is_test(self) -> bool:
        """Whether any of the keys is one of the published test keys."""
        public = public_test_roots(self.protocol, self.cipher)
        public_keys = {*public.card.values(), public.transport, public.issuer, public.cvk}
        return not public_keys.isdisjoint(
            (*self.card.values(), self.transport, self.issuer, self.cvk)
        )


def new_roots(protocol: int = 2, cipher: Cipher = Cipher.SM4) -> Roots:
    """Make random roots with the operating system's generator."""
    card = {name: secrets.token_bytes(16) for name in KEY_BY_NAME}
    transport, issuer, cvk = (secrets.token_bytes(16) for _ in range(3))
    secret = secrets.token_bytes(32)
    return Roots(protocol, cipher, 1, MappingProxyType(card), transport, issuer, cvk, secret)


def public_test_roots(protocol: int = 2, cipher: Cipher = Cipher.SM4) -> Roots:
    """Return the public test roots. Everybody knows them: use them for test cards only."""

    def public(name: str) -> bytes:
        text = f"rhcard public test root {protocol} {cipher.name} {name}"
        return hashlib.sha256(text.encode("ascii")).digest()

    card = {name: public(name)[:16] for name in KEY_BY_NAME}
    issuer, cvk, secret = public("issuer")[:16], public("cvk")[:16], public("secret")
    return Roots(
        protocol, cipher, 1, MappingProxyType(card), TEST_TRANSPORT_ROOT, issuer, cvk, secret
    )


def to_json(roots: Roots) -> bytes:
    """Encode the roots as canonical JSON, for encryption only."""
    plain = {f.name: getattr(roots, f.name) for f in fields(roots)}
    plain["cipher"] = roots.cipher.name
    plain["card"] = {name: root.hex() for name, root in roots.card.items()}
    for name in ("transport", "issuer", "cvk", "secret"):
        plain[name] = plain[name].hex()
    return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode("ascii")


def from_json(plain: bytes) -> Roots:
    """Decode what `to_json` made. Raises CardKeyError when something is missing or not valid."""
    try:
        entry = json.loads(plain)
        return Roots(
            int(entry["protocol"]),
            Cipher[entry["cipher"]],
            int(entry["version"]),
            MappingProxyType({str(n): bytes.fromhex(root) for n, root in entry["card"].items()}),
            *(bytes.fromhex(entry[name]) for name in ("transport", "issuer", "cvk", "secret")),
        )
    except DAMAGE:
        raise CardKeyError("the key store is not complete: a part is missing or wrong") from None
