"""Secure messaging, host side: state without I/O, and thin channels over a `transmit`."""

from typing import Protocol

from ..apdu import CommandAPDU, ResponseAPDU
from ..keys import CardKeys
from ..layout import KeySpec


class Messaging(Protocol):
    """How a terminal speaks to a card in one version of secure messaging.

    `reply_room` and `command_room` are the most plain bytes that a reply and a command without Le
    carry.
    """

    @property
    def reply_room(self) -> int:
        """The most bytes of data in a reply."""
        ...

    @property
    def command_room(self) -> int:
        """The most bytes of data in a changing command."""
        ...

    @property
    def is_protected(self) -> bool:
        """Whether every command and reply is protected now."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether a session has ended and nothing may be sent until the card is reset."""
        ...

    def close(self) -> None:
        """End a session, if there is one."""
        ...

    def send(self, command: CommandAPDU) -> ResponseAPDU:
        """Send a command, as protected as the session is."""
        ...

    def authenticate(self, keys: CardKeys, key: KeySpec) -> ResponseAPDU:
        """Authenticate by a role key in the current DF; the card's answer to 82."""
        ...

    def change(self, command: CommandAPDU, keys: CardKeys, stk: str) -> ResponseAPDU:
        """Send a changing command, protected in any case; `stk` is the DF's key of version 1."""
        ...
