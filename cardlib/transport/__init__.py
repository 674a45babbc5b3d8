"""How APDUs travel: the `Connection` protocol, the ATR, a recorder and a player."""

from typing import Protocol

from .atr import Capabilities, capabilities, chip_serial, historical_bytes

__all__ = ["Capabilities", "Connection", "capabilities", "chip_serial", "historical_bytes"]


class Connection(Protocol):
    """One powered card. TransportError when a command or its answer does not get through."""

    @property
    def atr(self) -> bytes:
        """The answer to reset, 2 to 33 bytes (ISO/IEC 7816-3 8)."""
        ...

    def transmit(self, command: bytes) -> bytes:
        """Send one command APDU; returns the response APDU, data and 2 status bytes."""
        ...

    def reset(self) -> bytes:
        """Reset the card; returns its ATR."""
        ...
