"""Count commands and bytes, and calculate the time that a real card would need."""

from dataclasses import dataclass

from ..exchange import Exchange
from ..timing import CardTiming

_TIMING = CardTiming()


@dataclass(frozen=True, slots=True)
class Figures:
    """Commands, bytes sent and bytes received; GET RESPONSE is counted, the ATR is not.

    `card_ms` is the time that a real card would need, in ms, calculated by `CardTiming`.
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
        """The bytes of commands and responses together."""
        return self.sent + self.received


class Meter:
    """An observer that counts. `figures` is the count so far; resets are not counted."""

    def __init__(self, timing: CardTiming = _TIMING) -> None:
        """Calculate by `timing`. Memory writes count only if a software card reports them."""
        self._timing = timing
        self.figures = Figures()

    def saw(self, exchange: Exchange) -> None:
        """Count one exchange."""
        command, response = exchange.command, exchange.response
        if command:
            card_ms = self._timing.exchange_ms(command, response, exchange.page_writes)
            self.figures += Figures(1, len(command), len(response), card_ms)
