"""Answer commands from a recording instead of a card."""

from collections.abc import Iterable
from pathlib import Path

from ..errors import TransportError
from ..regular_file import read_regular
from .recorder import Recorded, load, note

_LARGEST = 64 << 20
"""Bytes of a recording: some 100,000 commands."""


class Player:
    """A Connection that plays recorded exchanges back in order.

    Raises TransportError when a command differs from the recorded one, or when the recording ends.
    """

    def __init__(self, exchanges: Iterable[Recorded]) -> None:
        self._exchanges = list(exchanges)
        self._next = 0
        self._atr = b""
        if self._exchanges and not self._exchanges[0].command:
            self.reset()

    @classmethod
    def open(cls, path: Path) -> "Player":
        """Open a recording file. Raises FormatError when it is not a recording.

        Raises OSError when it cannot be read; a recording has 64 MiB at most.
        """
        return cls(load(read_regular(path, _LARGEST).decode("ascii", "replace")))

    @property
    def atr(self) -> bytes:
        """The last ATR that was played."""
        return self._atr

    @property
    def finished(self) -> bool:
        """Whether every exchange was played."""
        return self._next == len(self._exchanges)

    def transmit(self, command: bytes) -> bytes:
        """Return the recorded response to the recorded command."""
        return self._play(note(command, b"")).response

    def reset(self) -> bytes:
        """Return the recorded ATR."""
        self._atr = self._play(Recorded(b"", b"")).response
        return self._atr

    def _play(self, sent: Recorded) -> Recorded:
        if self.finished:
            raise TransportError("the recording has ended")
        expected = self._exchanges[self._next]
        if (expected.command, expected.hidden) != (sent.command, sent.hidden):
            raise TransportError(
                f"recording, exchange {self._next}: expected {_say(expected)}, got {_say(sent)}"
            )
        self._next += 1
        return expected


def _say(exchange: Recorded) -> str:
    if not exchange.command:
        return "a reset"
    return f"command {exchange.command[:5].hex().upper()} of {exchange.command_length} bytes"
