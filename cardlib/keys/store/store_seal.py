"""Sealing and opening the root keys in a key store's file, formats 1 and 2.

A random data key seals the roots (AES-256-GCM, SP 800-38D). The data key is wrapped under a
passphrase, or for each pair of custodians. A file of format 1 has no data key: the passphrase's key
seals its one version of the roots.
"""

import hmac
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ...errors import DAMAGE, CardKeyError, file_error
from ...regular_file import read_regular
from ...unfinished import write_new
from ..roots import Roots, check_values, from_json, to_json
from .custodians import Custodian, pair_wraps
from .passphrase import new_kdf, passphrase_key
from .store_header import (
    CHECK_SIZE,
    DATA_KEY_SIZE,
    FORMAT_1,
    LARGEST_FILE,
    NONCE_SIZE,
    DamagedStore,
    PassphraseWrap,
    StoreFile,
    StoreHeader,
    StoreVersion,
    Wrap,
    associated_data,
    decoded,
    encoded,
    format_of,
)


class WrongPassphrase(CardKeyError):
    """A passphrase does not open a key store."""


@dataclass(frozen=True, slots=True)
class OpenedRoots:
    """What a file holds, opened: its header, its roots by key version, its data key (32 bytes)."""

    header: StoreHeader
    roots: Mapping[int, Roots] = field(repr=False)
    data_key: bytes = field(repr=False)

    @property
    def newest(self) -> int:
        """The newest version that is not retired: new batches are prepared with it."""
        return max(each.version for each in self.header.versions if not each.retired)


def new_store(
    roots: Roots, *, passphrase: str | None = None, custodians: Sequence[Custodian] = ()
) -> OpenedRoots:
    """Make a store of one version for a passphrase, or for two of the custodians; write nothing.

    Raises CardKeyError when the passphrase is empty, the custodians are fewer than 2 or not valid,
    or the transport root alone is a published test key.
    """
    refuse_mixed([roots], "the new key store")
    time, store, data_key = now(), new_name(), new_data_key()
    wraps = new_wraps(store, data_key, passphrase=passphrase, custodians=custodians)
    versions = (described(roots, time),)
    header = StoreHeader(store, roots.protocol, roots.cipher, time, versions, wraps)
    return OpenedRoots(header, MappingProxyType({roots.version: roots}), data_key)


def new_wraps(
    store: str, data_key: bytes, *, passphrase: str | None, custodians: Sequence[Custodian]
) -> tuple[Wrap, ...]:
    """Wrap a data key under a passphrase, or for each pair of custodians: one of the two."""
    if (passphrase is None) == (not custodians):
        raise CardKeyError("a key store has either a passphrase or custodians")
    if passphrase is None:
        return pair_wraps(custodians, store, data_key)
    kdf = new_kdf()
    key = passphrase_key(passphrase, kdf, "the key store")
    return (_passphrase_wrap(key, kdf, store, data_key),)


def write_new_store(path: Path, opened: OpenedRoots) -> None:
    """Write a new file, mode 0600, whole or not at all. Raises CardKeyError when it exists."""
    try:
        write_new(path, sealed_file(opened))
    except FileExistsError:
        raise CardKeyError(f"{path} exists already and is not overwritten") from None
    except OSError as error:
        raise file_error(CardKeyError, error, f"key store {path}") from None


def read_store(path: Path) -> bytes:
    """Read the file of a key store. Raises CardKeyError when there is none, or it is too large."""
    try:
        return read_regular(path, LARGEST_FILE)
    except OSError as error:
        raise file_error(CardKeyError, error, f"key store {path}") from None


def header_of(raw: bytes, what: str) -> StoreHeader:
    """Return what a file of either format says without a secret.

    Raises DamagedStore when it is no key store or not whole, NewerStore when its format is newer.
    """
    if format_of(raw) == 1:
        return StoreHeader("", None, None, None, (), (), format=1)
    return decoded(raw, what).header


def opened_by_passphrase(raw: bytes, passphrase: str, what: str) -> OpenedRoots:
    """Open a file of either format; one of format 1 as it will be in format 2.

    Raises WrongPassphrase, DamagedStore, NewerStore, and CardKeyError when custodians open it, its
    scrypt parameters are too weak, or its transport root alone is a published test key.
    """
    if format_of(raw) == 1:
        return _opened_of_format_1(raw, passphrase, what)
    file = decoded(raw, what)
    wrap = file.header.wraps[0]
    if not isinstance(wrap, PassphraseWrap):
        names = ", ".join(file.header.custodians)
        raise CardKeyError(
            f"{what} is opened by two of its custodians, not by a passphrase: {names}"
        )
    try:
        key, check = _wrap_keys(passphrase_key(passphrase, wrap.kdf, what), file.header.store)
    except DAMAGE:
        raise DamagedStore(f"{what} is damaged: its scrypt parameters are not possible") from None
    if not hmac.compare_digest(check, wrap.check):
        raise WrongPassphrase(f"{what}: wrong passphrase. The file itself is not damaged")
    try:
        data_key = AESGCM(key).decrypt(wrap.nonce, wrap.wrapped, None)
    except InvalidTag:
        raise _changed(what) from None
    return _opened(file, data_key, what)


def opened_by_data_key(raw: bytes, data_key: bytes, what: str) -> OpenedRoots:
    """Open a file of format 2 with its data key, 32 bytes. Raises CardKeyError as the others do."""
    return _opened(decoded(raw, what), data_key, what)


def sealed_file(opened: OpenedRoots) -> bytes:
    """Return the bytes of a file of format 2, sealed under the data key with a new nonce."""
    nonce = secrets.token_bytes(NONCE_SIZE)
    plain = b"[" + b",".join(to_json(roots) for roots in opened.roots.values()) + b"]"
    bound = associated_data(opened.header, nonce)
    sealed = AESGCM(opened.data_key).encrypt(nonce, plain, bound)
    return encoded(StoreFile(opened.header, nonce, sealed))


def described(roots: Roots, created: str | None, *, retired: bool = False) -> StoreVersion:
    """Return what the header of a file says about one version of the roots."""
    return StoreVersion(roots.version, roots.identity, created, retired, check_values(roots))


def new_name() -> str:
    """Return a random name for a store, 32 hex digits."""
    return secrets.token_hex(16)


def new_data_key() -> bytes:
    """Return a random data key, 32 bytes."""
    return secrets.token_bytes(DATA_KEY_SIZE)


def now() -> str:
    """Return the time as the header has it: UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def refuse_mixed(all_roots: Iterable[Roots], what: str) -> None:
    """Raise CardKeyError when a transport root is published and other roots of it are not."""
    for roots in all_roots:
        if roots.is_mixed:
            raise CardKeyError(
                f"{what} has the published transport root and other roots of its own. Whoever"
                " records how a card is made would learn the card's keys: make a new key store"
            )


def _opened(file: StoreFile, data_key: bytes, what: str) -> OpenedRoots:
    try:
        plain = AESGCM(data_key).decrypt(
            file.nonce, file.sealed, associated_data(file.header, file.nonce)
        )
        entries = [from_json(json.dumps(entry).encode()) for entry in json.loads(plain)]
    except (InvalidTag, *DAMAGE):
        raise _changed(what) from None
    roots = {each.version: each for each in entries}
    found = [(each.version, each.protocol, each.cipher) for each in entries]
    header = file.header
    if found != [(each.version, header.protocol, header.cipher) for each in header.versions]:
        raise _changed(what)
    refuse_mixed(entries, what)
    return OpenedRoots(header, MappingProxyType(roots), data_key)


def _opened_of_format_1(raw: bytes, passphrase: str, what: str) -> OpenedRoots:
    try:
        header = json.loads(raw)
        sealed, nonce = bytes.fromhex(header.pop("sealed")), bytes.fromhex(header["nonce"])
        if header["format"] != FORMAT_1 or len(nonce) != NONCE_SIZE:
            raise ValueError
        key = passphrase_key(passphrase, header["kdf"], what)
        bound = json.dumps(header, sort_keys=True, separators=(",", ":")).encode("utf-8")
        roots = from_json(AESGCM(key).decrypt(nonce, sealed, bound))
        kdf = {name: header["kdf"][name] for name in ("name", "n", "r", "p", "salt")}
    except InvalidTag:
        raise WrongPassphrase(
            f"{what}: wrong passphrase, or damaged file. A file of format 1 does not tell which"
        ) from None
    except DAMAGE:
        raise DamagedStore(f"{what} is not a key store, or is damaged") from None
    refuse_mixed([roots], what)
    store, data_key = new_name(), new_data_key()
    wraps = (_passphrase_wrap(key, kdf, store, data_key),)
    versions = (described(roots, None),)
    in_format_2 = StoreHeader(store, roots.protocol, roots.cipher, None, versions, wraps)
    return OpenedRoots(replace(in_format_2, format=1), {roots.version: roots}, data_key)


def _passphrase_wrap(
    key: bytes, kdf: Mapping[str, Any], store: str, data_key: bytes
) -> PassphraseWrap:
    wrapping, check = _wrap_keys(key, store)
    nonce = secrets.token_bytes(NONCE_SIZE)
    return PassphraseWrap(kdf, nonce, AESGCM(wrapping).encrypt(nonce, data_key, None), check)


def _wrap_keys(key: bytes, store: str) -> tuple[bytes, bytes]:
    """The key of a passphrase's wrap (32 bytes), and its check (16), from what scrypt gave."""
    info = b"rhcard passphrase " + store.encode()
    both = HKDF(SHA256(), 32 + CHECK_SIZE, b"rhcard key store", info).derive(key)
    return both[:32], both[32:]


def _changed(what: str) -> DamagedStore:
    return DamagedStore(
        f"{what} was changed on purpose, or its parts are of different files: the checksum is"
        " right, and the seal is not. Take a copy of it that is whole"
    )
