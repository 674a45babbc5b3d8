"""Count what goes to and from a card, and say what it would take on a real one."""

from dataclasses import dataclass

from cardlib.emulator import SoftwareCard
from cardlib.emulator.timing import CardTiming
from cardlib.transport import Connection

_TIMING = CardTiming()


@dataclass(frozen=True, slots=True)
class Figures:
    """Commands, bytes sent and bytes received, GET RESPONSE included, the ATR not.

    `card_ms` is the time a real card would take in ms, by the model of `CardTiming`.
    """

    commands: int = 0
    sent: int = 0
    received: int = 0
    card_ms: float = 0.0

    def __add__(self, other: "Figures") -> "Figures":
        return Figures(
            self.commands + other.commands,
            self.sent + other.sent,
            self.received + other.received,
            self.card_ms + other.card_ms,
        )

    @property
    def bytes_both_ways(self) -> int:
        """Bytes of commands and responses."""
        return self.sent + self.received


class Meter:
    """A Connection around another one that counts; `figures` is the count so far."""

    def __init__(self, connection: Connection, timing: CardTiming = _TIMING) -> None:
        """Time by `timing`; memory writes count for a software card, which alone tells them."""
        self._connection, self._timing = connection, timing
        self._memory = connection.memory if isinstance(connection, SoftwareCard) else None
        self.figures = Figures()

    @property
    def atr(self) -> bytes:
        """The card's answer to reset."""
        return self._connection.atr

    def transmit(self, command: bytes) -> bytes:
        """Pass a command on and count it."""
        before = self._memory.writes if self._memory else 0
        response = self._connection.transmit(command)
        written = self._memory.writes - before if self._memory else 0
        card_ms = self._timing.exchange_ms(command, response, written)
        self.figures += Figures(1, len(command), len(response), card_ms)
        return response

    def reset(self) -> bytes:
        """Reset the card; that is not counted."""
        return self._connection.reset()
