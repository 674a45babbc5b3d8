"""Where the key agent has its keys: locked at first, opened by people, locked again when idle."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from cardlib.errors import CardKeyError, KeysUnavailable
from cardlib.keys import KeyHolder, RootKeys
from cardlib.keys.store.store_file import (
    OpenStore,
    open_with_data_key,
    open_with_passphrase,
    read_header,
)
from cardlib.keys.store.store_header import StoreHeader
from cardlib.keys.token.token_holder import TokenHolder

from .key_change import KeyChange, KeyChanges, StoreChanges, TokenChanges
from .own_roots import check_roots
from .policy import Policy
from .token_source import TokenSource

LOCKED = (
    "the key agent is locked. Let a person who may do so run `rhcard agent unlock`. Then run your"
    " command again"
)
_NO_STORE = "the keys are in a token, and this is for a key store: see `rhcard keys token`"
_WRONG_TRIES, _PAUSE = 5, 60.0
"""After so many wrong passphrases, so many seconds without a try."""


class KeySource(Protocol):
    """A key store or a token that is not open yet."""

    @property
    def name(self) -> str:
        """Where the keys are, for a person."""
        ...

    def open(self, passphrase: str) -> KeyHolder:
        """Open it. Raises CardKeyError when the passphrase is wrong."""
        ...


@runtime_checkable
class Lockable(Protocol):
    """Keys that must be told when nobody may use them any more, as those of a token."""

    def lock(self) -> None:
        """Log out."""
        ...


@dataclass(frozen=True, slots=True)
class StoreSource:
    """A key store in a file."""

    path: Path

    @property
    def name(self) -> str:
        """The path of the file."""
        return str(self.path)

    def header(self) -> StoreHeader:
        """Read what the file says without a secret. Raises CardKeyError as `read_header` does."""
        return read_header(self.path)

    def open(self, passphrase: str) -> OpenStore:
        """Open the store. Raises CardKeyError when the passphrase is wrong, or it is damaged."""
        return open_with_passphrase(self.path, passphrase)

    def open_with(self, data_key: bytes) -> OpenStore:
        """Open the store with its data key. Raises CardKeyError when it is damaged."""
        return open_with_data_key(self.path, data_key)


def is_retired(holder: KeyHolder, identity: str) -> bool:
    """Whether a version of these keys makes no more cards. Raises CardKeyError when it is none."""
    holder.of(identity)
    try:
        holder.for_issuing(identity)
    except CardKeyError:
        return True
    return False


class Vault:
    """The keys of the agent while it is unlocked. One thread at a time may call its methods."""

    def __init__(
        self,
        source: KeySource,
        policy: Policy,
        *,
        test_keys: bool,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.source, self._policy, self.test_keys = source, policy, test_keys
        self._now = now
        self._holder: KeyHolder | None = None
        self._used, self._wrong, self._wait_until = now(), 0, 0.0

    def __repr__(self) -> str:
        return f"<vault of {self.source.name}, {'locked' if self.is_locked else 'open'}>"

    @property
    def is_locked(self) -> bool:
        """Whether there are no keys here now."""
        return self._holder is None

    @property
    def is_idle(self) -> bool:
        """Whether there are keys here that nobody used for as long as the policy says."""
        unused = self._now() - self._used
        return not self.is_locked and unused >= 60 * self._policy.idle_minutes

    @property
    def identity(self) -> str | None:
        """The identity of the newest keys; None while they are locked. This is no use of them."""
        return None if self._holder is None else self._holder.newest.identity

    @property
    def is_of_one_person(self) -> bool:
        """Whether one passphrase opens the keys, so that one person alone has them."""
        return isinstance(self._holder, OpenStore) and not self._holder.is_production

    @property
    def is_token(self) -> bool:
        """Whether the keys are in a token."""
        return isinstance(self.source, TokenSource)

    @property
    def needs_two(self) -> bool:
        """Whether one secret would open production keys, so that two people must say so."""
        return self.is_token and not self.test_keys

    @property
    def holder(self) -> KeyHolder:
        """All versions, which are used now. Raises CardKeyError while they are locked."""
        if self._holder is None:
            raise KeysUnavailable(LOCKED)
        self._used = self._now()
        return self._holder

    @property
    def keys(self) -> RootKeys:
        """The newest keys, which are used now. Raises CardKeyError while they are locked."""
        return self.holder.newest

    @property
    def store(self) -> OpenStore:
        """The open key store, for ceremonies. Raises CardKeyError while locked, or for a token."""
        if not isinstance(self.holder, OpenStore):
            raise CardKeyError(_NO_STORE)
        return self.holder

    @property
    def store_source(self) -> StoreSource:
        """The file of the key store. Raises CardKeyError when the keys are in a token."""
        if not isinstance(self.source, StoreSource):
            raise CardKeyError(_NO_STORE)
        return self.source

    def of(self, identity: str) -> RootKeys:
        """The roots of one version. Raises CardKeyError while locked, or when it is not there."""
        return self.holder.of(identity)

    def for_issuing(self, identity: str) -> RootKeys:
        """The roots of one version, to make cards. Raises CardKeyError when it is retired too."""
        return self.holder.for_issuing(identity)

    def unlock(self, passphrase: str) -> RootKeys:
        """Open the keys with a passphrase.

        Raises CardKeyError when it is wrong, when it was wrong too often, or when the agent may
        not use such keys.
        """
        return self._tried(lambda: self.source.open(passphrase))

    def unlock_together(self, data_key: Callable[[], bytes]) -> RootKeys:
        """Open the keys with the data key that two custodians' shares give.

        Raises CardKeyError when the shares are wrong, or as `unlock` does.
        """
        return self._tried(lambda: self.store_source.open_with(data_key()))

    def put(self, holder: KeyHolder) -> RootKeys:
        """Take keys that were opened. Raises CardKeyError when the agent may not use them."""
        self.check(holder)
        return self._hold(holder)

    def check(self, holder: KeyHolder) -> None:
        """Raise CardKeyError when the agent may not use a version of these keys."""
        for keys in holder.versions.values():
            check_roots(keys, test_keys=self.test_keys)
        if self._policy.stock is None and not holder.newest.is_test:
            raise CardKeyError(
                f'{self._policy.path}: stock = "any" is for test keys only. Write a list of chips'
            )

    @property
    def changes(self) -> KeyChanges:
        """What the keys can be changed to. Raises CardKeyError while they are locked."""
        if isinstance(self.holder, OpenStore):
            return StoreChanges(self.holder, self.store_source.path)
        if isinstance(self.holder, TokenHolder):
            return TokenChanges(self.holder)
        raise CardKeyError(_NO_STORE)

    def make(self, change: KeyChange) -> None:
        """Make a change, whole or not at all, and use the changed keys from now on.

        Raises CardKeyError when the agent may not use them, or as `KeyChange.make` does.
        """
        self.check(change.after)
        change.make()
        self._hold(change.after)

    def lock(self) -> None:
        """Forget the keys. A token is logged out of."""
        held, self._holder = self._holder, None
        if isinstance(held, Lockable):
            held.lock()
        del held
        gc.collect()

    def _hold(self, holder: KeyHolder) -> RootKeys:
        self._holder, self._used, self._wrong = holder, self._now(), 0
        return holder.newest

    def _tried(self, opened: Callable[[], KeyHolder]) -> RootKeys:
        if self._now() < self._wait_until:
            raise CardKeyError("the passphrase was wrong too often: wait a minute, then try again")
        try:
            holder = opened()
        except CardKeyError:
            self._wrong += 1
            if self._wrong >= _WRONG_TRIES:
                self._wrong, self._wait_until = 0, self._now() + _PAUSE
            raise
        return self.put(holder)
