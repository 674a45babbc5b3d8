"""What can go wrong between a program and a card in a PC/SC reader."""

from collections.abc import Sequence

from ..errors import TransportError


class PcscNotRunning(TransportError):
    """The PC/SC service is not running, has ended, or refuses this user."""


class PcscRestarted(PcscNotRunning):
    """The PC/SC service was restarted: the connection is lost. Open a new one."""


class NoReader(TransportError):
    """There is no reader, or none with this name or number, or it was unplugged."""


class AmbiguousReader(TransportError):
    """More than one reader fits the choice. `numbers` are theirs."""

    def __init__(self, message: str, numbers: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.numbers = tuple(numbers)


class ReaderInUse(TransportError):
    """Another program uses the card, exclusively or longer than was waited for."""


class NoCard(TransportError):
    """There is no card in the reader, or it does not answer to reset."""


class CardPulledOut(TransportError):
    """The card was removed while it was connected. Open a new connection for the next card."""


class CardWasReset(TransportError):
    """Another program reset the card: selection, rights and sessions are lost. Call `reset`."""
