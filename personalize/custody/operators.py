"""Operators: the people who may act on root keys, each with a private file and a public record.

An operator's two keys are derived from one random seed of 32 bytes by HKDF-SHA256 (RFC 5869, salt
"rhcard operator"): info "sign" gives the Ed25519 key (RFC 8032), info "wrap" the X25519 key
(RFC 7748). The private file holds the seed under the person's passphrase.
"""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cardlib.errors import DAMAGE, CardKeyError
from cardlib.keys.store.passphrase import new_kdf, passphrase_key

from .roles import Role

FORMAT = "rhcard operator 1"
NAME = re.compile(r"[a-z0-9-]{1,32}")
_SEED = _KEY = 32
_CHECK = 16
_NONCE = 12
_DAMAGED = "the operator's file is damaged. Use your copy of it"


ROLES = (Role.CUSTODIAN, Role.PREPARATION, Role.STATION, Role.AUDITOR)
"""The roles of people. `statement.ACTIONS` says what each may do."""


@dataclass(frozen=True, slots=True)
class Operator:
    """The public record of a person: what is known of them without their passphrase.

    `signing` and `wrapping` are the public Ed25519 and X25519 keys, 32 bytes each. Raises
    CardKeyError when the name or a key has the wrong form, or there is no role.
    """

    name: str
    roles: frozenset[Role]
    signing: bytes
    wrapping: bytes
    created: date
    retired: date | None = None

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise CardKeyError(
                f"operator {self.name!r}: a name has 1 to 32 small letters a-z, digits and '-'"
            )
        if not self.roles or not self.roles <= set(ROLES):
            raise CardKeyError(f"operator {self.name}: give a role: {', '.join(ROLES)}")
        if len(self.signing) != _KEY or len(self.wrapping) != _KEY:
            raise CardKeyError(f"operator {self.name}: a public key does not have 32 bytes")

    @property
    def fingerprint(self) -> str:
        """20 hex digits that name both public keys: people compare them when they first meet."""
        return hashlib.sha256(self.signing + self.wrapping).hexdigest()[:20]

    def verify(self, signature: bytes, message: bytes) -> None:
        """Check an Ed25519 signature. Raises CardKeyError when it is not this operator's."""
        try:
            Ed25519PublicKey.from_public_bytes(self.signing).verify(signature, message)
        except (InvalidSignature, ValueError):
            raise CardKeyError(f"the signature of {self.name} is wrong") from None

    def seal(self, data: bytes, bound: bytes) -> bytes:
        """Encrypt data for this operator alone: ephemeral key (32) ‖ ciphertext ‖ tag (16).

        X25519 with a new key, HKDF-SHA256, AES-256-GCM with nonce 0: the key is used once.
        """
        ephemeral = X25519PrivateKey.generate()
        public = ephemeral.public_key().public_bytes_raw()
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(self.wrapping))
        return public + _one_time(shared, public, self.wrapping).encrypt(bytes(_NONCE), data, bound)

    def as_dict(self) -> dict[str, Any]:
        """The record as JSON members."""
        return {
            "name": self.name,
            "roles": sorted(self.roles),
            "sign_key": self.signing.hex(),
            "wrap_key": self.wrapping.hex(),
            "created": self.created.isoformat(),
            "retired": self.retired.isoformat() if self.retired else None,
        }

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> "Operator":
        """Decode what `as_dict` made. Raises CardKeyError when it is not a record."""
        try:
            retired = entry["retired"]
            return cls(
                entry["name"],
                frozenset(map(Role, entry["roles"])),
                bytes.fromhex(entry["sign_key"]),
                bytes.fromhex(entry["wrap_key"]),
                date.fromisoformat(entry["created"]),
                None if retired is None else date.fromisoformat(retired),
            )
        except CardKeyError:
            raise
        except DAMAGE:
            raise CardKeyError("an operator's record is damaged: a member is wrong") from None


@dataclass(frozen=True, slots=True)
class OperatorKey:
    """An operator's private keys, opened. They sign and exchange, and are never shown."""

    operator: Operator
    _signing: Ed25519PrivateKey = field(repr=False)
    _wrapping: X25519PrivateKey = field(repr=False)

    @property
    def name(self) -> str:
        """The operator's name."""
        return self.operator.name

    def sign(self, message: bytes) -> bytes:
        """Sign a message with Ed25519: 64 bytes (RFC 8032)."""
        return self._signing.sign(message)

    def exchange(self, public: bytes) -> bytes:
        """Return the X25519 secret with another public key, 32 bytes (RFC 7748).

        Raises CardKeyError when the key is none, or gives a secret of zeros.
        """
        try:
            return self._wrapping.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError:
            raise CardKeyError("a public X25519 key is not valid") from None

    def unseal(self, sealed: bytes, bound: bytes) -> bytes:
        """Decrypt what `Operator.seal` made. Raises CardKeyError when it is not for this person."""
        public, rest = sealed[:_KEY], sealed[_KEY:]
        try:
            one_time = _one_time(self.exchange(public), public, self.operator.wrapping)
            return one_time.decrypt(bytes(_NONCE), rest, bound)
        except (CardKeyError, InvalidTag, ValueError):
            raise CardKeyError(f"it was not sealed for {self.name}, or is damaged") from None


def _one_time(shared: bytes, ephemeral: bytes, wrapping: bytes) -> AESGCM:
    info = b"rhcard sealed for an operator" + ephemeral + wrapping
    return AESGCM(HKDF(SHA256(), 32, b"rhcard operator", info).derive(shared))


def new_operator(
    name: str, roles: Iterable[Role], passphrase: str, today: date
) -> tuple[OperatorKey, bytes]:
    """Make an operator with a random seed. Returns the opened key and the private file's bytes.

    Raises CardKeyError when the name is not valid or the passphrase is empty.
    """
    seed = secrets.token_bytes(_SEED)
    key = _from_seed(seed, name, frozenset(roles), today)
    kdf = new_kdf()
    secret, check = _keys_of(passphrase, kdf, f"operator {name}")
    nonce = secrets.token_bytes(_NONCE)
    header = {
        "format": FORMAT,
        "operator": key.operator.as_dict(),
        "kdf": kdf,
        "check": check.hex(),
        "cipher": "AES-256-GCM",
        "nonce": nonce.hex(),
    }
    sealed = AESGCM(secret).encrypt(nonce, seed, _canonical(header))
    return key, json.dumps({**header, "sealed": sealed.hex()}, indent=1).encode("ascii") + b"\n"


def open_operator(raw: bytes, passphrase: str, place: str) -> OperatorKey:
    """Open an operator's private file. `place` names it in errors.

    Raises CardKeyError when the passphrase is wrong, or the file is damaged or no operator's.
    """
    header = _header(raw, place)
    try:
        record = Operator.from_dict(header["operator"])
        sealed, nonce = bytes.fromhex(header.pop("sealed")), bytes.fromhex(header["nonce"])
        secret, check = _keys_of(passphrase, header["kdf"], place)
        if not hmac.compare_digest(check, bytes.fromhex(header["check"])):
            raise CardKeyError(f"{place}: this is not the passphrase of {record.name}")
        seed = AESGCM(secret).decrypt(nonce, sealed, _canonical(header))
        key = _from_seed(seed, record.name, record.roles, record.created)
    except CardKeyError:
        raise
    except (InvalidTag, *DAMAGE):
        raise CardKeyError(
            f"{place}: the operator's file is damaged. Use your copy of it"
        ) from None
    if key.operator != record:
        raise CardKeyError(f"{place}: the operator's file is damaged. Use your copy of it")
    return key


def public_record(raw: bytes, place: str) -> Operator:
    """Read the public record in an operator's private file; no passphrase is needed.

    Raises CardKeyError when the file is no operator's.
    """
    try:
        return Operator.from_dict(_header(raw, place)["operator"])
    except (CardKeyError, *DAMAGE):
        raise CardKeyError(f"{place} is not an operator's file, or is damaged") from None


def _header(raw: bytes, place: str) -> dict[str, Any]:
    try:
        header = json.loads(raw)
        if header["format"] != FORMAT:
            raise ValueError
    except DAMAGE:
        raise CardKeyError(f"{place} is not an operator's file, or is damaged") from None
    return dict(header)


def _from_seed(seed: bytes, name: str, roles: frozenset[Role], created: date) -> OperatorKey:
    signing, wrapping = (
        HKDF(SHA256(), 32, b"rhcard operator", info).derive(seed) for info in (b"sign", b"wrap")
    )
    ours, theirs = (
        Ed25519PrivateKey.from_private_bytes(signing),
        X25519PrivateKey.from_private_bytes(wrapping),
    )
    publics = ours.public_key().public_bytes_raw(), theirs.public_key().public_bytes_raw()
    return OperatorKey(Operator(name, roles, *publics, created), ours, theirs)


def _keys_of(passphrase: str, kdf: Mapping[str, Any], what: str) -> tuple[bytes, bytes]:
    """Return an AES-256 key, and 16 bytes that tell a wrong passphrase from damage."""
    both = HKDF(SHA256(), 32 + _CHECK, b"rhcard operator", b"passphrase").derive(
        passphrase_key(passphrase, kdf, what)
    )
    return both[:32], both[32:]


def _canonical(header: Mapping[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":")).encode("ascii")
