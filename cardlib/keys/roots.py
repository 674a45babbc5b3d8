"""The root keys of a bureau as one value: roots of card, transport and issuer keys."""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from types import MappingProxyType

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..crypto import Cipher, key_check_value
from ..errors import DAMAGE, CardKeyError
from ..layout import KEY_BY_NAME

TEST_TRANSPORT_ROOT = bytes.fromhex("404142434445464748494A4B4C4D4E4F")
"""The public test root of transport keys: GlobalPlatform's well-known test key."""
SECRET_SALT = b"rhcard key store"
"""The salt of HKDF (RFC 5869 2.2) with which keys are derived from the 32-byte secret."""
VERSIONS = range(1, 8)
"""The key versions that there can be (card specification 1, C1)."""


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
        """Whether any of the keys is one of the published test keys, of any version."""
        return not _published(self.protocol, self.cipher).isdisjoint(_keys(self))

    @property
    def is_mixed(self) -> bool:
        """Whether the transport root is published, but not all others are.

        Then whoever records a card's PUT KEY learns the keys of a card that is not a test card.
        """
        published = _published(self.protocol, self.cipher)
        return self.transport == TEST_TRANSPORT_ROOT and not published.issuperset(_keys(self))

    @property
    def identity(self) -> str:
        """32 hex digits that name these roots and give nothing away (card specification 3)."""
        content = hashlib.sha256(to_json(self)).digest()
        return self.derived(b"identity" + content).hex()[:32]

    def derived(self, info: bytes) -> bytes:
        """Derive 32 bytes from the secret for one use (HKDF-SHA-256, RFC 5869)."""
        return HKDF(SHA256(), 32, SECRET_SALT, info).derive(self.secret)


def _keys(roots: Roots) -> tuple[bytes, ...]:
    return (*roots.card.values(), roots.transport, roots.issuer, roots.cvk)


@cache
def _published(protocol: int, cipher: Cipher) -> frozenset[bytes]:
    versions = (public_test_roots(protocol, cipher, version) for version in VERSIONS)
    return frozenset(key for roots in versions for key in _keys(roots))


def new_roots(protocol: int = 2, cipher: Cipher = Cipher.SM4) -> Roots:
    """Make random roots with the operating system's generator."""
    card = {name: secrets.token_bytes(16) for name in KEY_BY_NAME}
    transport, issuer, cvk = (secrets.token_bytes(16) for _ in range(3))
    secret = secrets.token_bytes(32)
    return Roots(protocol, cipher, 1, MappingProxyType(card), transport, issuer, cvk, secret)


def public_test_roots(protocol: int = 2, cipher: Cipher = Cipher.SM4, version: int = 1) -> Roots:
    """Return the public test roots. Everybody knows them: use them for test cards only.

    The transport root is the same in all versions.
    """
    later = "" if version == 1 else f"version {version} "

    def public(name: str) -> bytes:
        text = f"rhcard public test root {protocol} {cipher.name} {later}{name}"
        return hashlib.sha256(text.encode("ascii")).digest()

    card = {name: public(name)[:16] for name in KEY_BY_NAME}
    issuer, cvk, secret = public("issuer")[:16], public("cvk")[:16], public("secret")
    return Roots(
        protocol, cipher, version, MappingProxyType(card), TEST_TRANSPORT_ROOT, issuer, cvk, secret
    )


def next_roots(roots: Roots, *, transport: bool = False) -> Roots:
    """Return the roots of the next version: all are new, the transport root only if asked.

    Blank cards in stock were ordered with the transport root of before. The next version of the
    public test roots is public too. Raises CardKeyError after version 7.
    """
    version = roots.version + 1
    if version not in VERSIONS:
        raise CardKeyError(
            f"key version {roots.version} is the last: a card's key version is 1 to 7. Make a new"
            " key store"
        )
    if roots.is_test:
        if transport:
            raise CardKeyError("the published test keys have one transport root: it cannot change")
        return public_test_roots(roots.protocol, roots.cipher, version)
    fresh = replace(new_roots(roots.protocol, roots.cipher), version=version)
    return fresh if transport else replace(fresh, transport=roots.transport)


def check_values(roots: Roots) -> Mapping[str, bytes]:
    """Return the check value of each root, 3 bytes, by its name (card specification 3).

    "transport" and "issuer" are AES keys of a CMAC, so theirs is of the block 01*16. The others are
    of the card's cipher: of 00*16 for SM4, and no root of SM4 is the key of a CMAC.
    """
    values = {name: key_check_value(roots.cipher, root) for name, root in roots.card.items()}
    values["cvk"] = key_check_value(roots.cipher, roots.cvk)
    for name in ("transport", "issuer"):
        values[name] = key_check_value(Cipher.AES, getattr(roots, name))
    return MappingProxyType(values)


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
