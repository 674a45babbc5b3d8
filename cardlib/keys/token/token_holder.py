"""All versions of one key store in a token."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

from ...crypto import Cipher
from ...errors import CardKeyError
from .. import retired_error
from ..roots import Roots, next_roots, public_test_roots
from ..several import SeveralKeySets
from .token_change import TokenDraft, put_last
from .token_keys import TokenKeys
from .token_making import given_draft, one_key_draft, random_draft
from .token_session import TokenSession
from .token_version import (
    RETIRED,
    TokenVersion,
    differences,
    facts_label,
    found_versions,
    retired_identities,
)


class TokenHolder:
    """The versions of the root keys of one store in a token, as a `KeyHolder`."""

    def __init__(
        self,
        session: TokenSession,
        store: str,
        *,
        drafted: TokenVersion | None = None,
        retiring: str | None = None,
    ) -> None:
        """Find the versions and compare their check values with the keys.

        What is about to be written counts as written: the facts of a version that is `drafted`,
        and the mark of one that is `retiring`, an identity. Raises CardKeyError when there is none
        that makes cards, or a key is missing or another one.
        """
        found = found_versions(session, store) + (() if drafted is None else (drafted,))
        for version in found:
            _check(session, version)
        retired = retired_identities(session) | (set() if retiring is None else {retiring})
        active = [version.number for version in found if version.identity not in retired]
        if not active:
            raise CardKeyError(
                f"token {session.label} holds no root keys of {store!r} that make cards."
                f" {_others(session)}"
            )
        self._session, self._store, self._retired = session, store, retired
        self._facts = {version.number: version for version in found}
        self.versions: Mapping[int, TokenKeys] = MappingProxyType(
            {version.number: TokenKeys(session, version) for version in found}
        )
        self.newest = self.versions[max(active)]
        sets = {number: keys.terminal_keys for number, keys in self.versions.items()}
        self.terminal_keys = SeveralKeySets(sets, self.newest.key_version)

    def __repr__(self) -> str:
        return f"<keys of versions {', '.join(map(str, self.versions))} in {self._session!r}>"

    def of(self, identity: str) -> TokenKeys:
        """Return the version with this identity. Raises CardKeyError when there is none."""
        for keys in self.versions.values():
            if keys.identity == identity:
                return keys
        raise CardKeyError(f"token {self._session.label} holds no keys with identity {identity}")

    def for_issuing(self, identity: str) -> TokenKeys:
        """Return the version with this identity, to make cards.

        Raises CardKeyError when there is none, or it is retired.
        """
        found = self.of(identity)
        if identity in self._retired:
            raise retired_error(found.key_version, identity)
        return found

    @contextmanager
    def with_roots(self, roots: Roots) -> Iterator["TokenChange"]:
        """Prepare a version of given roots; its number must be higher than all that are there.

        Raises CardKeyError as `given_draft` does.
        """
        with given_draft(self._session, self._store, roots) as draft:
            yield self._after(draft)

    @contextmanager
    def with_one_key(self, number: int, name: str, value: bytes) -> Iterator["TokenChange"]:
        """Prepare a version with one root, 16 bytes; the others are those of the newest version.

        Raises CardKeyError as `one_key_draft` does.
        """
        newest = self._facts[self.newest.key_version]
        with one_key_draft(self._session, newest, number, name, value) as draft:
            yield self._after(draft)

    @contextmanager
    def with_new_keys(self, number: int, *, transport: bool = False) -> Iterator["TokenChange"]:
        """Prepare a version of random roots; the transport root is a new one only if asked.

        The next version of the public test roots is public too. Raises CardKeyError as
        `random_draft` does.
        """
        last = self._facts[max(self._facts)]
        if self.newest.is_test:
            public = public_test_roots(last.protocol, Cipher.AES, last.number)
            draft = given_draft(self._session, self._store, next_roots(public, transport=transport))
        else:
            draft = random_draft(
                self._session, self._store, last.protocol, number, keeps_transport=not transport
            )
        with draft:
            yield self._after(draft)

    def retired(self, number: int) -> "TokenChange":
        """Prepare the mark of a version: it makes no more cards. It still reads and verifies them.

        Raises CardKeyError when there is no such version, it is retired, or it is the only one
        left.
        """
        chosen = self._facts.get(number)
        if chosen is None:
            raise CardKeyError(
                f"token {self._session.label} holds no version {number} of {self._store}"
            )
        active = {each.identity for each in self._facts.values()} - self._retired
        if chosen.identity not in active:
            raise CardKeyError(f"key version {number} is retired already")
        if active == {chosen.identity}:
            raise CardKeyError(
                f"key version {number} is the only one that makes cards: rotate first"
            )
        after = TokenHolder(self._session, self._store, retiring=chosen.identity)
        label, mark = f"{facts_label(self._store, number)}/retired", chosen.identity.encode()
        return TokenChange(chosen, after, lambda: put_last(self._session, label, RETIRED, mark))

    def _after(self, draft: TokenDraft) -> "TokenChange":
        after = TokenHolder(self._session, self._store, drafted=draft.version)
        return TokenChange(draft.version, after, draft.keep, draft.removed)

    def lock(self) -> None:
        """Log out of the token and forget its PIN: the keys cannot be used any more."""
        self._session.lock()


@dataclass(frozen=True, slots=True)
class TokenChange:
    """A change of the keys in a token that is prepared, and made by one step, `make`.

    `version` is what changes, `after` who holds the keys then, `removed` how many keys of an
    earlier interrupted try were removed. `make` raises CardKeyError as `put_last` does.
    """

    version: TokenVersion
    after: TokenHolder
    make: Callable[[], None]
    removed: int = 0


def _others(session: TokenSession) -> str:
    names = sorted({each.store for each in found_versions(session)})
    return f"It holds: {', '.join(names)}" if names else "It holds none at all"


def _check(session: TokenSession, version: TokenVersion) -> None:
    wrong = differences(session, version)
    if wrong:
        raise CardKeyError(
            f"token {session.label}, {version.store} version {version.number}: the check value of"
            f" {', '.join(wrong)} is not the one that was written down. The key was replaced or"
            " is damaged: do not issue cards"
        )
