"""A PKCS#11 token as what the key agent opens: its PIN is known to the agent alone."""

from dataclasses import dataclass

from cardlib.keys.token.token_holder import TokenHolder
from cardlib.keys.token.token_session import TokenSession

TOKEN = "token "
"""How the name of a token begins, in the agent's status."""


@dataclass(frozen=True, slots=True)
class TokenSource:
    """One store of root keys in a token."""

    module: str
    label: str
    store: str

    @property
    def name(self) -> str:
        """The token and the store in it."""
        return f"{TOKEN}{self.label}/{self.store}"

    def open(self, passphrase: str) -> TokenHolder:
        """Log in with the PIN. Raises CardKeyError when it is wrong, or keys are missing."""
        session = TokenSession(self.module, self.label, passphrase)
        try:
            session.open()
            return TokenHolder(session, self.store)
        except BaseException:
            session.lock()
            raise
