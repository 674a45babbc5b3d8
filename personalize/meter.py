"""Count what goes to and from a card: on a real one, commands and bytes are seconds."""

from dataclasses import dataclass

from cardlib.transport import Connection


@dataclass(frozen=True, slots=True)
class Figures:
    """Commands, bytes sent and bytes received, GET RESPONSE included, the ATR not."""

    commands: int = 0
    sent: int = 0
    received: int = 0

    def __add__(self, other: "Figures") -> "Figures":
        return Figures(
            self.commands + other.commands, self.sent + other.sent, self.received + other.received
        )


class Meter:
    """A Connection around another one that counts; `figures` is the count so far."""

    def __init__(self, connection: Connection, before: Figures = Figures()) -> None:
        """Count on from `before`."""
        self._connection = connection
        self.figures = before

    @property
    def atr(self) -> bytes:
        """The card's answer to reset."""
        return self._connection.atr

    def transmit(self, command: bytes) -> bytes:
        """Pass a command on and count it."""
        response = self._connection.transmit(command)
        self.figures += Figures(1, len(command), len(response))
        return response

    def reset(self) -> bytes:
        """Reset the card; that is not counted."""
        return self._connection.reset()
