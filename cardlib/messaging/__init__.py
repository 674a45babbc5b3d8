"""Secure messaging on the host: protection without I/O, and channels that send commands."""

from typing import Protocol

from ..apdu import CommandAPDU, ResponseAPDU
from ..keys import CardKeys
from ..layout import KeySpec


class Messaging(Protocol):
    """What a terminal needs of each version of secure messaging (card specification 4 and 5)."""

    @property
    def reply_room(self) -> int:
        """The most plain bytes that a reply can carry."""
        ...

    @property
    def command_room(self) -> int:
        """The most plain bytes that a command without Le can carry."""
        ...

    @property
    def is_protected(self) -> bool:
        """Whether a session is open, in which every command and reply is protected."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether the session has ended: nothing may be sent until the card is reset."""
        ...

    def close(self) -> None:
        """End the session, if there is one."""
        ...

    def send(self, command: CommandAPDU) -> ResponseAPDU:
        """Send a command: protected in a session, else in clear."""
        ...

    def authenticate(self, keys: CardKeys, key: KeySpec) -> ResponseAPDU:
        """Authenticate with a role key in the current DF; return the card's answer to 82."""
        ...

    def change(self, command: CommandAPDU, keys: CardKeys, stk: str) -> ResponseAPDU:
        """Send a command that changes the card, protected; version 1 uses the key `stk`."""
        ...
