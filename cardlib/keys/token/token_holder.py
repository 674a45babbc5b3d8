"""All versions of one key store in a token."""

from collections.abc import Mapping
from types import MappingProxyType

from ...errors import CardKeyError
from .. import retired
from ..roots import Roots
from ..several import SeveralKeySets
from .token_keys import TokenKeys
from .token_making import import_roots
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

    def __init__(self, session: TokenSession, store: str) -> None:
        """Find the versions and compare their check values with the keys.

        Raises CardKeyError when there is none that makes cards, or a key is missing or another one.
        """
        found = found_versions(session, store)
        for version in found:
            _check(session, version)
        retired = retired_identities(session)
        active = [version.number for version in found if version.identity not in retired]
        if not active:
            raise CardKeyError(
                f"token {session.label} holds no root keys of {store!r} that make cards."
                f" {_others(session)}"
            )
        self._session, self._store, self._retired = session, store, retired
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
            raise retired(found.key_version, identity)
        return found

    def with_roots(self, roots: Roots) -> "TokenHolder":
        """Put the roots of a higher version into the token, all or none; return who holds it too.

        Raises CardKeyError as `import_roots` does.
        """
        import_roots(self._session, self._store, roots)
        return TokenHolder(self._session, self._store)

    def lock(self) -> None:
        """Log out of the token and forget its PIN: the keys cannot be used any more."""
        self._session.lock()


def retire(session: TokenSession, store: str, number: int) -> TokenVersion:
    """Mark a version: it makes no more cards. It still reads and verifies them.

    Raises CardKeyError when there is no such version, it is retired, or it is the only one left.
    """
    versions = {each.number: each for each in found_versions(session, store)}
    if number not in versions:
        raise CardKeyError(f"token {session.label} holds no version {number} of {store}")
    retired = retired_identities(session)
    active = [each for each in versions.values() if each.identity not in retired]
    chosen = versions[number]
    if chosen not in active:
        raise CardKeyError(f"key version {number} is retired already")
    if active == [chosen]:
        raise CardKeyError(f"key version {number} is the only one that makes cards: rotate first")
    label = f"{facts_label(store, number)}/retired"
    session.put_data(label, RETIRED, chosen.identity.encode("ascii"))
    return chosen


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
