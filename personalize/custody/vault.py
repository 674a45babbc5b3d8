"""Where the key agent has its keys: locked at first, opened by people, locked again when idle."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cardlib.errors import CardKeyError, KeysUnavailable
from cardlib.keys import RootKeys
from cardlib.keys.store import KeyStore

from .own_roots import check_roots
from .policy import Policy

LOCKED = (
    "the key agent is locked. Somebody who may must run `rhcard agent unlock`, and then you can"
    " start again"
)
_WRONG_TRIES, _PAUSE = 5, 60.0
"""After so many wrong passphrases, so many seconds without a try."""


class KeySource(Protocol):
    """A key store or a token that is not open yet."""

    @property
    def name(self) -> str:
        """Where the keys are, for a person."""
        ...

    def open(self, passphrase: str) -> KeyStore:
        """Open it. Raises CardKeyError when the passphrase is wrong."""
        ...


@dataclass(frozen=True, slots=True)
class StoreFile:
    """A key store in a file."""

    path: Path

    @property
    def name(self) -> str:
        """The path of the file."""
        return str(self.path)

    def open(self, passphrase: str) -> KeyStore:
        """Open the store. Raises CardKeyError when the passphrase is wrong, or it is damaged."""
        return KeyStore.open(self.path, passphrase)


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
        self._keys: KeyStore | None = None
        self._used, self._wrong, self._wait_until = now(), 0, 0.0

    def __repr__(self) -> str:
        return f"<vault of {self.source.name}, {'locked' if self.is_locked else 'open'}>"

    @property
    def is_locked(self) -> bool:
        """Whether there are no keys here now."""
        return self._keys is None

    @property
    def is_idle(self) -> bool:
        """Whether there are keys here that nobody used for as long as the policy says."""
        unused = self._now() - self._used
        return not self.is_locked and unused >= 60 * self._policy.idle_minutes

    @property
    def identity(self) -> str | None:
        """The identity of the keys; None while they are locked. This is no use of them."""
        return None if self._keys is None else self._keys.identity

    @property
    def keys(self) -> KeyStore:
        """The keys, which are used now. Raises CardKeyError while they are locked."""
        if self._keys is None:
            raise KeysUnavailable(LOCKED)
        self._used = self._now()
        return self._keys

    def of(self, identity: str) -> RootKeys:
        """The roots of one version. Raises CardKeyError while locked, or when it is not there."""
        keys = self.keys
        if keys.identity != identity:
            raise CardKeyError(f"the key agent has no keys {identity}: it has {keys.identity}")
        return keys

    def unlock(self, passphrase: str) -> KeyStore:
        """Open the keys with a passphrase.

        Raises CardKeyError when it is wrong, when it was wrong too often, or when the agent may
        not use such keys.
        """
        if self._now() < self._wait_until:
            raise CardKeyError("the passphrase was wrong too often: wait a minute, then try again")
        try:
            keys = self.source.open(passphrase)
        except CardKeyError:
            self._wrong += 1
            if self._wrong >= _WRONG_TRIES:
                self._wrong, self._wait_until = 0, self._now() + _PAUSE
            raise
        return self.put(keys)

    def put(self, keys: KeyStore) -> KeyStore:
        """Take keys that were opened. Raises CardKeyError when the agent may not use them."""
        check_roots(keys, test_keys=self.test_keys)
        if self._policy.stock is None and not keys.is_test:
            raise CardKeyError(
                f'{self._policy.path}: stock = "any" is for test keys only. Write a list of chips'
            )
        self._keys, self._used, self._wrong = keys, self._now(), 0
        return keys

    def lock(self) -> None:
        """Forget the keys."""
        self._keys = None
        gc.collect()
