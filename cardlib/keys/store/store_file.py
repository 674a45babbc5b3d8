"""The key store's file: made, opened, changed and written anew.

One file holds several versions of every root (card specification 10, amendment 10). One passphrase
opens it, or two of its custodians. Nothing is changed in place: each change returns another
`OpenStore`, and `replace` writes it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from ...crypto import Cipher
from ...errors import CardKeyError, file_error
from ...unfinished import lock, write_over
from .. import retired_error
from ..roots import Roots, check_values
from ..several import SeveralKeySets
from .custodians import Custodian, check_custodians
from .key_store import KeyStore
from .store_header import StoreHeader
from .store_seal import (
    OpenedRoots,
    described,
    header_of,
    new_data_key,
    new_store,
    new_wraps,
    now,
    opened_by_data_key,
    opened_by_passphrase,
    read_store,
    refuse_mixed,
    sealed_file,
    write_new_store,
)


def create(
    path: Path,
    roots: Roots,
    *,
    passphrase: str | None = None,
    custodians: Sequence[Custodian] = (),
) -> "OpenStore":
    """Make a store of one version and write its file, mode 0600.

    A custodian is a name and an X25519 public key of 32 bytes: 2 to 20 of them, and any two open
    the store. Raises CardKeyError when the file exists, or when neither or both of passphrase and
    custodians are given, or one is not valid, or the transport root alone is a test key.
    """
    opened = new_store(roots, passphrase=passphrase, custodians=custodians)
    write_new_store(path, opened)
    return OpenStore(opened, read_store(path))


def open_with_passphrase(path: Path, passphrase: str) -> "OpenStore":
    """Open a file of either format.

    Raises WrongPassphrase, DamagedStore, NewerStore, and CardKeyError when there is no such file,
    when custodians open it, when its scrypt parameters are weaker than `SCRYPT`, or when its
    transport root alone is a published test key.
    """
    raw = read_store(path)
    return OpenStore(opened_by_passphrase(raw, passphrase, _named(path)), raw)


def open_with_data_key(path: Path, data_key: bytes) -> "OpenStore":
    """Open a file with its data key, 32 bytes, which `custodians.opened_pair` gives.

    Raises DamagedStore, NewerStore, and CardKeyError as `open_with_passphrase` does.
    """
    raw = read_store(path)
    return OpenStore(opened_by_data_key(raw, data_key, _named(path)), raw)


def read_header(path: Path) -> StoreHeader:
    """Read what a file says without any secret. Only opening the file proves it.

    Raises DamagedStore, NewerStore, and CardKeyError when there is no such file.
    """
    return header_of(read_store(path), _named(path))


def kept_beside(path: Path) -> Path:
    """Return where `OpenStore.replace` keeps the file of before: FILE.old."""
    return path.with_name(f"{path.name}.old")


class StoreChanged(CardKeyError):
    """A key store's file is not the one that was opened, or another program has it in use."""


class OpenStore:
    """A `KeyHolder` with all versions of the roots in memory."""

    def __init__(self, opened: OpenedRoots, raw: bytes | None) -> None:
        """Take what was opened, and the bytes of its file. Use the functions of this module."""
        self._opened, self._raw = opened, raw
        self._versions: dict[int, KeyStore] = {}

    def __repr__(self) -> str:
        numbers = ", ".join(str(version) for version in self._opened.roots)
        return f"<key store {self.header.store} versions {numbers}>"

    @property
    def header(self) -> StoreHeader:
        """What the file says about itself; now it is proved."""
        return self._opened.header

    @property
    def protocol(self) -> int:
        """The version of secure messaging of all versions: 1 or 2."""
        return self.roots(self._opened.newest).protocol

    @property
    def cipher(self) -> Cipher:
        """The block cipher of the card keys of all versions."""
        return self.roots(self._opened.newest).cipher

    @property
    def is_test(self) -> bool:
        """Whether any of the keys is a published test key."""
        return any(roots.is_test for roots in self._opened.roots.values())

    @property
    def is_production(self) -> bool:
        """Whether two custodians open the file, and not one passphrase."""
        return self.header.is_production

    @property
    def versions(self) -> Mapping[int, KeyStore]:
        """The roots by key version, retired ones too."""
        return MappingProxyType({number: self._version(number) for number in self._opened.roots})

    @property
    def newest(self) -> KeyStore:
        """The newest version that is not retired: new batches are prepared with it."""
        return self._version(self._opened.newest)

    def of(self, identity: str) -> KeyStore:
        """Return the version with this identity, to read and verify; it may be retired.

        Raises CardKeyError when the store has no such version.
        """
        for each in self.header.versions:
            if each.identity == identity:
                return self._version(each.version)
        known = ", ".join(each.identity for each in self.header.versions)
        raise CardKeyError(f"no version of this key store is {identity}. It has: {known}")

    def for_issuing(self, identity: str) -> KeyStore:
        """Return the version with this identity, to make cards with it.

        A batch that was prepared before a rotation is issued with its own version. Raises
        CardKeyError when the store has no such version, or when that is retired.
        """
        found = self.of(identity)
        if any(each.retired for each in self.header.versions if each.identity == identity):
            raise retired_error(found.key_version, identity)
        return found

    @property
    def terminal_keys(self) -> SeveralKeySets:
        """The card keys of all versions as a terminal uses them, retired ones too."""
        sets = {number: store.terminal_keys for number, store in self.versions.items()}
        return SeveralKeySets(sets, self._opened.newest)

    def roots(self, version: int) -> Roots:
        """Return the roots of a version, to export or to check them: all else uses `versions`.

        Raises CardKeyError when the store has no such version.
        """
        try:
            return self._opened.roots[version]
        except KeyError:
            raise CardKeyError(f"the key store has no version {version}") from None

    def differences(self) -> list[str]:
        """Calculate identities and check values again; say each that the file has wrong."""
        found = []
        for each in self.header.versions:
            roots = self.roots(each.version)
            if roots.identity != each.identity:
                found.append(f"version {each.version} is {roots.identity}, not {each.identity}")
            right = check_values(roots)
            found += [
                f"version {each.version}, {name}: the check value is {right[name].hex().upper()}"
                for name in right
                if each.check_values.get(name) != right[name]
            ]
        return found

    def with_version(self, roots: Roots) -> "OpenStore":
        """Return a store that also has these roots, of a version that is higher than all others.

        The same people open it. Raises CardKeyError when the version is not higher, when protocol
        or cipher are others, when test keys and own keys would be together, or when the transport
        root alone is a published test key.
        """
        header, highest = self.header, max(self._opened.roots)
        if roots.version <= highest:
            raise CardKeyError(
                f"the new roots have version {roots.version}, and the key store has version"
                f" {highest} already: the next one is {highest + 1}"
            )
        if (roots.protocol, roots.cipher) != (header.protocol, header.cipher):
            raise CardKeyError("all versions of a key store have one protocol and one cipher")
        if roots.is_test != self.is_test:
            raise CardKeyError(
                "published test keys and keys of your own are never in one key store"
            )
        refuse_mixed([roots], "the new version")
        versions = (*header.versions, described(roots, now()))
        return self._changed(
            replace(header, versions=versions), {**self._opened.roots, roots.version: roots}
        )

    def retired(self, version: int) -> "OpenStore":
        """Return a store in which a version makes no more cards; it still reads and verifies them.

        Raises CardKeyError when there is no such version, it is retired already, or it is the only
        one that is not.
        """
        self.roots(version)
        active = [each.version for each in self.header.versions if not each.retired]
        if version not in active:
            raise CardKeyError(f"key version {version} is retired already")
        if active == [version]:
            raise CardKeyError(
                f"key version {version} is the only one that makes cards: rotate first"
            )
        versions = tuple(
            replace(each, retired=True) if each.version == version else each
            for each in self.header.versions
        )
        return self._changed(replace(self.header, versions=versions), self._opened.roots)

    def with_passphrase(self, new: str) -> "OpenStore":
        """Return a store that another passphrase opens, with a new data key.

        Raises CardKeyError when it is empty, or custodians open the store.
        """
        if self.is_production:
            raise CardKeyError(
                "this key store has custodians: it does not go back to one passphrase"
            )
        return self._wrapped_anew(passphrase=new)

    def with_custodians(self, custodians: Sequence[Custodian]) -> "OpenStore":
        """Return a store that two of these custodians open, and nobody else, with a new data key.

        Raises CardKeyError when they are fewer than 2 or more than 20, or one is not valid.
        """
        check_custodians(custodians)
        return self._wrapped_anew(custodians=custodians)

    def replace(self, path: Path) -> None:
        """Write the store over its file, which is kept as FILE.old (an older one is overwritten).

        At every moment the file is the old or the new one, whole. Raises StoreChanged when the file
        is not what was opened: somebody changed it meanwhile.
        """
        path = path.resolve()
        try:
            with lock(path) as ours:
                if not ours or read_store(path) != self._raw:
                    raise StoreChanged(
                        f"{_named(path)} was changed by another program meanwhile, or is in use:"
                        " nothing was written. Run the same command again"
                    )
                content = sealed_file(self._opened)
                write_over(path, content, kept_beside(path))
        except OSError as error:
            raise file_error(CardKeyError, error, _named(path)) from None
        self._raw = content

    def _version(self, number: int) -> KeyStore:
        if number not in self._versions:
            self._versions[number] = KeyStore(self._opened.roots[number])
        return self._versions[number]

    def _wrapped_anew(
        self, *, passphrase: str | None = None, custodians: Sequence[Custodian] = ()
    ) -> "OpenStore":
        store, data_key = self.header.store, new_data_key()
        wraps = new_wraps(store, data_key, passphrase=passphrase, custodians=custodians)
        header = replace(self.header, wraps=wraps, format=2)
        return OpenStore(OpenedRoots(header, self._opened.roots, data_key), self._raw)

    def _changed(self, header: StoreHeader, roots: Mapping[int, Roots]) -> "OpenStore":
        opened = OpenedRoots(
            replace(header, format=2), MappingProxyType(dict(roots)), self._opened.data_key
        )
        return OpenStore(opened, self._raw)


def _named(path: Path) -> str:
    return f"key store {path}"
