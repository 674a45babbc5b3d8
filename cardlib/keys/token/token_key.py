"""One key in a token, as the primitives of `crypto` use it."""

from .token_session import KeyName, TokenSession


class TokenKey:
    """One key in a token. It encrypts blocks and makes CMACs; its bytes stay there."""

    __slots__ = ("_name", "_session")

    def __init__(self, session: TokenSession, name: KeyName) -> None:
        self._session, self._name = session, name

    def __repr__(self) -> str:
        return f"<key in {self._session!r}>"

    def encrypt_ecb(self, blocks: bytes) -> bytes:
        """Encrypt whole 16-byte blocks, each by itself (SP 800-38A 6.1)."""
        return self._session.encrypt(self._name, blocks)

    def encrypt_cbc(self, blocks: bytes) -> bytes:
        """Encrypt whole blocks, IV 0 (SP 800-38A 6.2)."""
        return self._session.encrypt_cbc(self._name, blocks)

    def cmac(self, message: bytes) -> bytes:
        """Return the CMAC of a message, 16 bytes (SP 800-38B 6.2)."""
        return self._session.cmac(self._name, message)
