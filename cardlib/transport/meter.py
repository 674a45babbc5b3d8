"""Count what goes to and from a card, and say what it would take on a real one."""

from dataclasses import dataclass

from ..exchange import Exchange
from ..timing import CardTiming

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
    """An observer that counts; `figures` is the count so far. A reset is not counted."""

    def __init__(self, timing: CardTiming = _TIMING) -> None:
        """Time by `timing`; memory writes count where the card tells them: a software card."""
        self._timing = timing
        self.figures = Figures()

    def saw(self, exchange: Exchange) -> None:
        """Count one exchange."""
        command, response = exchange.command, exchange.response
        if command:
            card_ms = self._timing.exchange_ms(command, response, exchange.page_writes)
            self.figures += Figures(1, len(command), len(response), card_ms)
