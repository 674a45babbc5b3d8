"""The readable part of a key store's file, format 2: versions, check values, who can open it.

The file is one JSON object. `checksum` is the SHA-256 of all its other members: with it, damage is
told from a wrong passphrase. It proves nothing against somebody who changes the file on purpose:
AES-GCM does, when the store is opened.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ...crypto import Cipher
from ...errors import DAMAGE, CardKeyError

FORMAT = "rhcard key store 2"
FORMAT_1 = "rhcard key store 1"
NONCE_SIZE = 12
CHECK_SIZE = 16
"""Bytes of the value that tells whether a wrap's key is the right one."""
DATA_KEY_SIZE = 32
LARGEST_FILE = 2**18
"""Bytes. Seven versions of all roots and the pairs of 20 custodians are less."""
_WRAPPED_SIZE = DATA_KEY_SIZE + 16
_ANY_FORMAT = re.compile(r"rhcard key store ([1-9][0-9]{0,3})")
_OPERATOR = re.compile(r"[a-z0-9-]{1,32}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_HEX = re.compile(r"(?:[0-9a-f]{2})*")


class DamagedStore(CardKeyError):
    """A key store's file was changed or cut off, or it is no key store."""


class NewerStore(CardKeyError):
    """A key store's file has a format that this version of the program does not know."""


@dataclass(frozen=True, slots=True)
class StoreVersion:
    """One version of the roots, as everybody may see it.

    `created` is None when an old file does not say it. `check_values` has 3 bytes for each root.
    """

    version: int
    identity: str
    created: str | None
    retired: bool
    check_values: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class PassphraseWrap:
    """The data key, wrapped under a passphrase."""

    kdf: Mapping[str, Any]
    nonce: bytes
    wrapped: bytes
    check: bytes


@dataclass(frozen=True, slots=True)
class PairWrap:
    """The data key, wrapped for two custodians, who can only open it together.

    `keys` are their X25519 public keys and `public` that of the wrap, 32 bytes each. `store` is the
    name of the store: it is bound to the wrap.
    """

    store: str
    operators: tuple[str, str]
    keys: tuple[bytes, bytes]
    public: bytes
    nonce: bytes
    wrapped: bytes
    check: bytes


Wrap = PassphraseWrap | PairWrap


@dataclass(frozen=True, slots=True)
class StoreHeader:
    """What the file of a key store says without any secret. Only opening it proves it.

    A file of format 1 says nothing: `versions` is empty, and `protocol` and `cipher` are None.
    """

    store: str
    protocol: int | None
    cipher: Cipher | None
    created: str | None
    versions: tuple[StoreVersion, ...]
    wraps: tuple[Wrap, ...] = field(repr=False)
    format: int = 2

    @property
    def is_production(self) -> bool:
        """Whether two custodians open it, and not one passphrase."""
        return any(isinstance(wrap, PairWrap) for wrap in self.wraps)

    @property
    def custodians(self) -> tuple[str, ...]:
        """The names of the custodians, two of whom open it; none for a passphrase."""
        return tuple(sorted(self.custodian_keys))

    @property
    def custodian_keys(self) -> Mapping[str, bytes]:
        """The X25519 public key, 32 bytes, of each custodian by name."""
        pairs = [wrap for wrap in self.wraps if isinstance(wrap, PairWrap)]
        return {n: k for wrap in pairs for n, k in zip(wrap.operators, wrap.keys, strict=True)}


@dataclass(frozen=True, slots=True)
class StoreFile:
    """A file of format 2, decoded: header, nonce (12 bytes) and the sealed roots."""

    header: StoreHeader
    nonce: bytes
    sealed: bytes


def encoded(file: StoreFile) -> bytes:
    """Encode a file as JSON, with its checksum."""
    members = {**_readable(file.header), "nonce": file.nonce.hex(), "sealed": file.sealed.hex()}
    members["checksum"] = _checksum(members)
    return json.dumps(members, indent=1).encode("ascii") + b"\n"


def associated_data(header: StoreHeader, nonce: bytes) -> bytes:
    """Return what the seal authenticates beside the roots: all that can be read, as JSON."""
    return _canonical({**_readable(header), "nonce": nonce.hex()})


def decoded(raw: bytes, what: str) -> StoreFile:
    """Decode a file of format 2. `what` names it, for errors.

    Raises DamagedStore when it is none, or not whole, and NewerStore when its format is newer.
    """
    if not raw:
        raise DamagedStore(
            f"{what} is empty, so it is not a key store. It is damaged, or making it was stopped"
            " before it was written: then delete it and make it again"
        )
    try:
        members = json.loads(raw, object_pairs_hook=_without_doubles)
        _check_format(members, what)
        expected = members.pop("checksum")
        if not hmac.compare_digest(_checksum(members), expected):
            raise ValueError
        return StoreFile(
            _header(members), _hex(members.pop("nonce"), NONCE_SIZE), _hex(members.pop("sealed"))
        )
    except DAMAGE:
        raise DamagedStore(
            f"{what} is not a key store, or is damaged. If it is your key store, take a copy of it"
            " that is whole"
        ) from None


def format_of(raw: bytes) -> int | None:
    """Return the number of the format that a file names; None when it is no key store."""
    try:
        found = _ANY_FORMAT.fullmatch(json.loads(raw)["format"])
    except DAMAGE:
        return None
    return int(found[1]) if found else None


def _check_format(members: dict[str, Any], what: str) -> None:
    number = _ANY_FORMAT.fullmatch(members["format"])
    if members["format"] == FORMAT:
        return
    rest = {name: value for name, value in members.items() if name != "checksum"}
    # All formats from 2 on have this checksum; without it, one wrong bit makes a 3 of a 2.
    if number and hmac.compare_digest(_checksum(rest), members["checksum"]):
        raise NewerStore(
            f"{what} has format {number[1]}, and this rhcard knows 1 and 2. Use a newer rhcard"
        )
    raise ValueError


def _checksum(members: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(members)).hexdigest()


def _canonical(members: Mapping[str, Any]) -> bytes:
    return json.dumps(members, sort_keys=True, separators=(",", ":")).encode("ascii")


def _readable(header: StoreHeader) -> dict[str, Any]:
    assert header.cipher is not None
    return {
        "format": FORMAT,
        "store": header.store,
        "protocol": header.protocol,
        "cipher": header.cipher.name,
        "created": header.created,
        "versions": [_version_members(version) for version in header.versions],
        "wraps": [_wrap_members(wrap) for wrap in header.wraps],
    }


def _version_members(version: StoreVersion) -> dict[str, Any]:
    return {
        "version": version.version,
        "identity": version.identity,
        "created": version.created,
        "retired": version.retired,
        "check_values": {name: value.hex() for name, value in version.check_values.items()},
    }


def _wrap_members(wrap: Wrap) -> dict[str, Any]:
    sealed = {
        "nonce": wrap.nonce.hex(),
        "wrapped": wrap.wrapped.hex(),
        "check": wrap.check.hex(),
    }
    if isinstance(wrap, PassphraseWrap):
        return {"kind": "passphrase", "kdf": dict(wrap.kdf), **sealed}
    return {
        "kind": "pair",
        "operators": list(wrap.operators),
        "keys": [key.hex() for key in wrap.keys],
        "public": wrap.public.hex(),
        **sealed,
    }


def _header(members: dict[str, Any]) -> StoreHeader:
    if members.keys() != {
        "format", "store", "protocol", "cipher", "created", "versions", "wraps", "nonce", "sealed",
    }:  # fmt: skip
        raise ValueError
    store, protocol = _hex(members["store"], 16).hex(), members["protocol"]
    if type(protocol) is not int or protocol not in (1, 2):
        raise ValueError
    versions = tuple(_version(entry) for entry in members["versions"])
    numbers = [version.version for version in versions]
    if not numbers or numbers != sorted(set(numbers)):
        raise ValueError
    wraps = _all_wraps(members["wraps"], store)
    cipher = Cipher[members["cipher"]]
    return StoreHeader(store, protocol, cipher, _time(members["created"]), versions, wraps)


def _version(entry: Mapping[str, Any]) -> StoreVersion:
    number, retired = entry["version"], entry["retired"]
    if type(number) is not int or not 1 <= number <= 7 or type(retired) is not bool:
        raise ValueError
    if entry.keys() != {"version", "identity", "created", "retired", "check_values"}:
        raise ValueError
    values = {str(name): _hex(value, 3) for name, value in entry["check_values"].items()}
    identity = _hex(entry["identity"], 16).hex()
    return StoreVersion(
        number, identity, _time(entry["created"]), retired, MappingProxyType(values)
    )


def _all_wraps(entries: Iterable[Mapping[str, Any]], store: str) -> tuple[Wrap, ...]:
    """One wrap for a passphrase, or one for each pair; a name has one key in all of them."""
    wraps = tuple(_wrap(entry, store) for entry in entries)
    if len(wraps) == 1 and isinstance(wraps[0], PassphraseWrap):
        return wraps
    pairs = [wrap for wrap in wraps if isinstance(wrap, PairWrap)]
    keys = {(n, k) for wrap in pairs for n, k in zip(wrap.operators, wrap.keys, strict=True)}
    names, couples = {name for name, _ in keys}, {wrap.operators for wrap in pairs}
    if not pairs or not len(pairs) == len(wraps) == len(couples) or len(names) != len(keys):
        raise ValueError
    return wraps


def _wrap(entry: Mapping[str, Any], store: str) -> Wrap:
    nonce, wrapped = _hex(entry["nonce"], NONCE_SIZE), _hex(entry["wrapped"], _WRAPPED_SIZE)
    check = _hex(entry["check"], CHECK_SIZE)
    if entry["kind"] == "passphrase":
        if entry.keys() != {"kind", "kdf", "nonce", "wrapped", "check"}:
            raise ValueError
        return PassphraseWrap(_kdf(entry["kdf"]), nonce, wrapped, check)
    if entry["kind"] != "pair" or entry.keys() != {
        "kind", "operators", "keys", "public", "nonce", "wrapped", "check",
    }:  # fmt: skip
        raise ValueError
    first, second = entry["operators"]
    one, two = (_hex(key, 32) for key in entry["keys"])
    if first >= second or one == two:
        raise ValueError
    if not _OPERATOR.fullmatch(first) or not _OPERATOR.fullmatch(second):
        raise ValueError
    public = _hex(entry["public"], 32)
    return PairWrap(store, (first, second), (one, two), public, nonce, wrapped, check)


def _kdf(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    if entry.keys() != {"name", "n", "r", "p", "salt"} or entry["name"] != "scrypt":
        raise ValueError
    if any(type(entry[name]) is not int for name in ("n", "r", "p")):
        raise ValueError
    _hex(entry["salt"], 16)
    return MappingProxyType(dict(entry))


def _time(text: str | None) -> str | None:
    if text is not None and not _TIME.fullmatch(text):
        raise ValueError
    return text


def _hex(text: str, size: int | None = None) -> bytes:
    if not _HEX.fullmatch(text) or size not in (None, len(text) // 2):
        raise ValueError
    return bytes.fromhex(text)


def _without_doubles(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    entries = list(pairs)
    members = dict(entries)
    if len(members) != len(entries):
        raise ValueError
    return members


def is_operator_name(name: str) -> bool:
    """Whether a name can be a custodian's: 1 to 32 of a to z, 0 to 9 and the hyphen."""
    return _OPERATOR.fullmatch(name) is not None
