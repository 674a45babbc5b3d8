"""Record every exchange with a card, for tests, measurements and support."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..commands import Body, spec_of
from ..errors import DAMAGE, FormatError
from ..exchange import Connection, Exchange, Observed

FORMAT = "rhcard recording 1"
_SECRET = (Body.KEY, Body.PIN)
_GET_RESPONSE = b"\xc0"


@dataclass(frozen=True, slots=True)
class Recorded:
    """One command and its response. A reset has an empty command; its response is the ATR.

    `hidden` counts the bytes at the end of the command that were left out.
    """

    command: bytes
    response: bytes
    hidden: int = 0

    @property
    def command_length(self) -> int:
        """How many bytes the command had when it was sent."""
        return len(self.command) + self.hidden


def note(command: bytes, response: bytes) -> Recorded:
    """Return an exchange as it may be kept: without data that carries keys or a PIN.

    SCP03 has no forward secrecy: who gets the keys later could read a kept body.
    """
    spec = spec_of(command[0], command[1]) if len(command) > 5 else None
    if spec is None or spec.sent not in _SECRET:
        return Recorded(command, response)
    return Recorded(command[:5], response, len(command) - 5)


class Recorder(Observed):
    """A Connection around another one. It adds every command and reset to `exchanges`.

    A command that raises is not recorded, and neither is a key that a SAM answers.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, self)
        self.exchanges: list[Recorded] = [Recorded(b"", connection.atr)]
        self._answers_key = False

    def saw(self, exchange: Exchange) -> None:
        """Record one exchange."""
        response = exchange.response
        if self._tells_key(exchange.command):
            response = response[-2:]
        self.exchanges.append(note(exchange.command, response))

    def _tells_key(self, command: bytes) -> bool:
        """Whether the answer to a command is a key: also if GET RESPONSE fetches it."""
        if command[1:2] != _GET_RESPONSE:
            spec = spec_of(command[0], command[1]) if len(command) > 1 else None
            self._answers_key = spec is not None and spec.answered is Body.KEY
        return self._answers_key

    @property
    def commands(self) -> list[Recorded]:
        """The exchanges without the resets."""
        return [exchange for exchange in self.exchanges if exchange.command]

    def save(self, path: Path) -> None:
        """Write the recording as JSON lines. It holds everything that was read from the card."""
        with open(path, "w", encoding="ascii", opener=private) as file:
            file.write(dump(self.exchanges))


def private(path: str, flags: int) -> int:
    """Open a new file for its owner alone (mode 0600), as `opener` of `open`.

    Raises OSError for a pipe that nobody reads: it does not wait for a reader.
    """
    handle = os.open(path, flags | os.O_NONBLOCK, 0o600)
    os.set_blocking(handle, True)
    return handle


def dump(exchanges: Iterable[Recorded]) -> str:
    """Encode a recording as JSON lines.

    The first line names the format. Each further line has `reset`, or `command`, `response` and,
    if it is not 0, `hidden`.
    """
    lines = [json.dumps({"format": FORMAT})]
    for exchange in exchanges:
        response = exchange.response.hex().upper()
        if not exchange.command:
            line: dict[str, str | int] = {"reset": response}
        else:
            line = {"command": exchange.command.hex().upper(), "response": response}
            if exchange.hidden:
                line["hidden"] = exchange.hidden
        lines.append(json.dumps(line))
    return "\n".join(lines) + "\n"


def load(text: str) -> list[Recorded]:
    """Decode a recording. Raises FormatError, which names the line, when a line is not valid."""
    exchanges: list[Recorded] = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            entry = json.loads(line)
            if number == 1:
                if entry["format"] != FORMAT:
                    raise ValueError
                continue
            command, response = entry.get("command", ""), entry.get("response")
            raw = bytes.fromhex(entry["reset"] if response is None else response)
            exchanges.append(Recorded(bytes.fromhex(command), raw, int(entry.get("hidden", 0))))
        except DAMAGE:
            raise FormatError(f"line {number} is not valid in a file of format {FORMAT}") from None
    return exchanges
