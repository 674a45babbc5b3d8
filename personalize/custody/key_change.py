"""A change of the keys: it is prepared first, so that its receipt is on disk before it is made.

A key store and a token are changed in the same ways, each by one last step.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cardlib.errors import CardError, CardKeyError
from cardlib.keys import KeyHolder
from cardlib.keys.roots import Roots, next_roots
from cardlib.keys.roots import check_values as root_check_values
from cardlib.keys.store.custodians import Custodian
from cardlib.keys.store.store_file import OpenStore, StoreChanged, read_header
from cardlib.keys.token.token_change import ChangeUnknown
from cardlib.keys.token.token_holder import TokenChange, TokenHolder

from .component import CARD_KEYS, SET
from .new_version import imported, next_version, roots_of_set


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """What a receipt says of one version of the keys; check values are 6 hex digits, by name."""

    version: int
    identity: str
    check_values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class KeyChange:
    """A change that is prepared: what it is about, who has the keys after it, and what makes it.

    `removed` is how many keys of an earlier interrupted try were removed from a token. `make` makes
    it, whole or not at all. It raises CardKeyError, or ChangeUnknown when nobody can say which.
    """

    about: VersionFacts
    after: KeyHolder
    make: Callable[[], None]
    removed: int = 0


_Prepared = AbstractContextManager[KeyChange]


class KeyChanges(Protocol):
    """The changes of a key store or a token. A block that does not make its change leaves none."""

    def imported(self, what: str, value: bytes) -> _Prepared:
        """Prepare a version with one root, or all roots, that components made."""
        ...

    def rotated(self, *, transport: bool) -> _Prepared:
        """Prepare a version of random roots; the transport root is a new one only if asked."""
        ...

    def retired(self, version: int) -> _Prepared:
        """Prepare that a version makes no more cards."""
        ...


@dataclass(frozen=True, slots=True)
class StoreChanges:
    """The changes of an open key store, whose file is at `path`."""

    store: OpenStore
    path: Path

    @contextmanager
    def imported(self, what: str, value: bytes) -> Iterator[KeyChange]:
        """Prepare a version with one root, or all roots, that components made."""
        roots = imported(self.store, what, value)
        yield self._change(self.store.with_version(roots), roots)

    @contextmanager
    def rotated(self, *, transport: bool) -> Iterator[KeyChange]:
        """Prepare a version of random roots; the transport root is a new one only if asked."""
        roots = next_roots(self.store.roots(max(self.store.versions)), transport=transport)
        yield self._change(self.store.with_version(roots), roots)

    @contextmanager
    def retired(self, version: int) -> Iterator[KeyChange]:
        """Prepare that a version makes no more cards."""
        yield self._change(self.store.retired(version), self.store.roots(version))

    def with_custodians(self, custodians: Sequence[Custodian]) -> KeyChange:
        """Prepare that others open the store, under a new data key."""
        newest = self.store.newest
        about = VersionFacts(newest.key_version, newest.identity, {})
        after = self.store.with_custodians(custodians)
        return KeyChange(about, after, lambda: self._write(after))

    def _change(self, after: OpenStore, roots: Roots) -> KeyChange:
        return KeyChange(facts_of(roots), after, lambda: self._write(after))

    def _write(self, after: OpenStore) -> None:
        try:
            after.replace(self.path)
        except StoreChanged:
            raise CardKeyError(
                f"key store {self.path} is not the file that was unlocked: nothing was changed."
                " Find out who changed it. Then run `rhcard agent lock`, and unlock it"
            ) from None
        except CardError as error:
            if not self._may_be(after):
                raise
            raise ChangeUnknown(
                f"{error}. The new file is there, but the disk may not have it. Mend that, then"
                " unlock the agent again"
            ) from None

    def _may_be(self, after: OpenStore) -> bool:
        try:
            return read_header(self.path) == after.header
        except CardError:
            return True


@dataclass(frozen=True, slots=True)
class TokenChanges:
    """The changes of the keys in an open token."""

    holder: TokenHolder

    @contextmanager
    def imported(self, what: str, value: bytes) -> Iterator[KeyChange]:
        """Prepare a version with one root, or all roots, that components made."""
        version = next_version(self.holder)
        if what == SET:
            prepared = self.holder.with_roots(roots_of_set(self.holder.newest, version, value))
        else:
            prepared = self.holder.with_one_key(version, what, value)
        with prepared as change:
            yield _of_token(change)

    @contextmanager
    def rotated(self, *, transport: bool) -> Iterator[KeyChange]:
        """Prepare a version of random roots; the transport root is a new one only if asked."""
        version = next_version(self.holder)
        with self.holder.with_new_keys(version, transport=transport) as change:
            yield _of_token(change)

    @contextmanager
    def retired(self, version: int) -> Iterator[KeyChange]:
        """Prepare that a version makes no more cards."""
        yield _of_token(self.holder.retired(version))


def facts_of(roots: Roots) -> VersionFacts:
    """Return what a receipt says of these roots."""
    values = {name: value.hex().upper() for name, value in root_check_values(roots).items()}
    return VersionFacts(roots.version, roots.identity, values)


def _of_token(change: TokenChange) -> KeyChange:
    version = change.version
    names = (*CARD_KEYS, "cvk", "transport", "issuer")
    values = {name: version.check_values[name] for name in names}
    about = VersionFacts(version.number, version.identity, values)
    return KeyChange(about, change.after, change.make, change.removed)
