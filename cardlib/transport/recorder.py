"""A connection that notes every exchange, for tests, figures and support."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import FormatError
from . import Connection

FORMAT = "rhcard recording 1"
_KEY_AND_LOAD = (0xD8, 0xE2)
_PASSWORDS = (0x20, 0x21, 0x24, 0x25, 0x2C, 0x2D)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One command and its response; a reset has an empty command and the ATR as response.

    `hidden` counts the bytes at the end of the command that were not noted.
    """

    command: bytes
    response: bytes
    hidden: int = 0

    @property
    def command_length(self) -> int:
        """Bytes of the command as it was sent."""
        return len(self.command) + self.hidden


def note(command: bytes, response: bytes) -> Exchange:
    """An exchange as it may be kept: no body of STORE DATA, PUT KEY or a command with a PIN.

    SCP03 has no forward secrecy: a kept body is readable to whoever gets the keys later.
    """
    ins = command[1] if len(command) > 1 else -1
    secret = ins in _PASSWORDS or (ins in _KEY_AND_LOAD and bool(command[0] & 0x80))
    if not secret or len(command) <= 5:
        return Exchange(command, response)
    return Exchange(command[:5], response, len(command) - 5)


class Recorder:
    """A Connection around another one; `exchanges` grows with every command and reset."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.exchanges: list[Exchange] = [Exchange(b"", connection.atr)]

    @property
    def atr(self) -> bytes:
        """The card's answer to reset."""
        return self._connection.atr

    def transmit(self, command: bytes) -> bytes:
        """Pass a command on and note it with its response; nothing is noted if it fails."""
        response = self._connection.transmit(command)
        self.exchanges.append(note(command, response))
        return response

    def reset(self) -> bytes:
        """Reset the card and note it."""
        atr = self._connection.reset()
        self.exchanges.append(Exchange(b"", atr))
        return atr

    @property
    def commands(self) -> list[Exchange]:
        """The exchanges without the resets."""
        return [exchange for exchange in self.exchanges if exchange.command]

    def save(self, path: Path) -> None:
        """Write the recording as JSON lines. It holds whatever was read from the card."""
        path.write_text(dump(self.exchanges), encoding="ascii")


def dump(exchanges: Iterable[Exchange]) -> str:
    """JSON lines: the format, then `reset`, or `command`, `response` and `hidden` if not 0."""
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


def load(text: str) -> list[Exchange]:
    """The exchanges of a recording; FormatError names the line that is none."""
    exchanges: list[Exchange] = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            entry = json.loads(line)
            if number == 1:
                if entry["format"] != FORMAT:
                    raise ValueError
                continue
            command, response = entry.get("command", ""), entry.get("response")
            raw = bytes.fromhex(entry["reset"] if response is None else response)
            exchanges.append(Exchange(bytes.fromhex(command), raw, int(entry.get("hidden", 0))))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise FormatError(f"line {number} is not of a {FORMAT}") from None
    return exchanges
