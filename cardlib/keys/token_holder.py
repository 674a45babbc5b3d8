"""All versions of one key store in a token."""

from collections.abc import Mapping
from types import MappingProxyType

from ..errors import CardKeyError
from .pkcs11 import TokenSession
from .token import TokenKeys
from .token_version import TokenVersion, differences, found_versions


class TokenHolder:
    """The versions of the root keys of one store in a token, as a `KeyHolder`."""

    def __init__(self, session: TokenSession, store: str) -> None:
        """Find the versions and compare their check values with the keys.

        Raises CardKeyError when there is none, or a key is missing or another one.
        """
        found = found_versions(session, store)
        if not found:
            raise CardKeyError(
                f"token {session.label} holds no root keys of {store!r}. {_others(session)}"
            )
        for version in found:
            _check(session, version)
        self._session = session
        self.versions: Mapping[int, TokenKeys] = MappingProxyType(
            {version.number: TokenKeys(session, version) for version in found}
        )

    def __repr__(self) -> str:
        return f"<keys of versions {', '.join(map(str, self.versions))} in {self._session!r}>"

    @property
    def newest(self) -> TokenKeys:
        """The keys of the highest version."""
        return self.versions[max(self.versions)]

    def of(self, identity: str) -> TokenKeys:
        """Return the version with this identity. Raises CardKeyError when there is none."""
        for keys in self.versions.values():
            if keys.identity == identity:
                return keys
        raise CardKeyError(f"token {self._session.label} holds no keys with identity {identity}")

    def close(self) -> None:
        """Log out of the token."""
        self._session.close()


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
