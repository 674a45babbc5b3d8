"""One change of a store of root keys in a token: it is made by one data object, which comes last.

Before it the token holds the store of before, after it the new one. When a token fails at that
object, it is asked whether the object is there.
"""

from contextlib import suppress
from types import TracebackType

from ...errors import CardKeyError
from .token_session import TokenSession
from .token_version import APPLICATION, KEY_NAMES, TokenVersion, facts_label


class ChangeUnknown(CardKeyError):
    """A change of keys was begun, and nobody can say now whether it was made."""


def put_last(session: TokenSession, label: str, application: str, value: bytes) -> None:
    """Put the data object that makes a change into a token.

    Raises CardKeyError when the object is not there, and ChangeUnknown when the token does not say.
    """
    try:
        session.put_data(label, application, value)
    except CardKeyError as error:
        try:
            is_there = (label, value) in session.data(application)
        except CardKeyError:
            raise ChangeUnknown(
                f"{error}. Whether the change was made is seen when the token is opened again"
            ) from None
        if not is_there:
            raise


class TokenDraft:
    """A version whose keys are in the token, and whose facts are not: it is no version yet.

    When its block ends and the facts are not in the token, its own keys are removed. They stay when
    the token does not say so: then they are a version, or the rest of an interrupted command.
    """

    def __init__(self, session: TokenSession, version: TokenVersion, removed: int) -> None:
        """Take the facts, and how many keys of an earlier interrupted try were removed."""
        self.version, self.removed = version, removed
        self._session, self._is_kept = session, False

    def __enter__(self) -> "TokenDraft":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._is_kept:
            return
        facts = facts_label(self.version.store, self.version.number)
        with suppress(CardKeyError):
            if facts not in {label for label, _ in self._session.data(APPLICATION)}:
                names = frozenset(KEY_NAMES) - self.version.shared.keys()
                self._session.remove(frozenset(map(self.version.label, names)))

    def keep(self) -> None:
        """Write the facts: now it is a version. Raises CardKeyError as `put_last` does."""
        facts = facts_label(self.version.store, self.version.number)
        put_last(self._session, facts, APPLICATION, self.version.to_json())
        self._is_kept = True
