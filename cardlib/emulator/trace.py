"""One JSON line for each APDU: what was asked of which file, what was answered, and why not.

Secrets never appear. Bodies of STORE DATA and PUT KEY are left out always: SCP03 has no forward
secrecy, so what is encrypted today can be read by whoever learns the keys. Personal data and
PINs are masked unless asked for.
"""

import json
from time import perf_counter_ns
from typing import TextIO

from ..apdu import CommandAPDU, instruction_name
from ..errors import FormatError
from ..status import words
from .context import Card
from .timing import CardTiming
from .tree import ElementaryFile

_SECRET_ALWAYS = (0xD8, 0xE2)
_SECRET_COMMANDS = (0x20, 0x24, 0x2C)
_READING = (0xA0, 0xA1, 0xA2, 0xB0, 0xB1, 0xB2, 0xB3)
_CHANGING = (0x0C, 0x0E, 0x0F, 0xD0, 0xD1, 0xD2, 0xD6, 0xD7, 0xDC, 0xDD, 0xE2)
_RECORD = (0x0C, 0xB2, 0xB3, 0xD2, 0xDC, 0xDD)


class Trace:
    """An observer of a software card that writes a line for each exchange.

    `personal` asks for personal data and PINs as well; `timing` is the model behind `card_ms`.
    """

    def __init__(
        self, out: TextIO, *, personal: bool = False, timing: CardTiming | None = None
    ) -> None:
        self._out = out
        self._personal = personal
        self._timing = timing or CardTiming()
        self._number = 0

    def exchange(self, card: Card, raw: bytes) -> bytes:
        """Let the card answer, and write what happened."""
        writes, start = card.memory.writes, perf_counter_ns()
        response = card.answer(raw)
        elapsed = perf_counter_ns() - start
        self._number += 1
        line: dict[str, object] = {"n": self._number}
        try:
            command = card.plain_command or CommandAPDU.parse(raw)
        except FormatError as error:
            line |= {"name": "malformed", "reason": str(error)}
        else:
            line |= self._describe(card, raw, command, response)
        sw = int.from_bytes(response[-2:], "big")
        line |= {"sw": f"{sw:04X}", "words": words(sw)}
        if card.last_refusal:
            line["reason"] = card.last_refusal
        written = card.memory.writes - writes
        line |= {
            "page_writes": written,
            "host_us": elapsed // 1000,
            "card_ms": round(self._timing.exchange_ms(raw, response, written), 2),
        }
        self._out.write(json.dumps(line, ensure_ascii=False) + "\n")
        return response

    def _describe(
        self, card: Card, raw: bytes, command: CommandAPDU, response: bytes
    ) -> dict[str, object]:
        channel = card.channels.get(raw[0] & 0x03)
        file = channel.file if channel else None
        line: dict[str, object] = {
            "name": instruction_name(command.cla, command.ins),
            "channel": raw[0] & 0x03,
        }
        if channel:
            line["directory"] = channel.directory.path
        if file and command.ins in _READING + _CHANGING:
            line["file"] = file.path
        if command.ins in _RECORD:
            line["record"] = command.p1
        line["key"] = self._key(card, command, file)
        line |= {
            "header": raw[:4].hex().upper(),
            "command": self._body(
                CommandAPDU.parse(raw).data, self._command_is_secret(command, file), command.ins
            ),
            "le": command.le,
            "response": self._body(
                response[:-2], self._response_is_secret(command, file), command.ins
            ),
        }
        return {name: value for name, value in line.items() if value is not None}

    @staticmethod
    def _key(card: Card, command: CommandAPDU, file: ElementaryFile | None) -> str | None:
        """The key that decides: the one presented, or the one the file's rule names."""
        if command.ins == 0x82 and not command.cla & 0x80:
            channel = card.channels.get(command.cla & 0x03)
            key = channel and channel.directory.key(command.p2, _ROLES)
            return key.name if key else None
        if file and command.ins in _READING:
            return file.read.key.name if file.read.key else None
        if file and command.ins in _CHANGING:
            return file.update.key.name if file.update.key else None
        return None

    @staticmethod
    def _command_is_secret(command: CommandAPDU, file: ElementaryFile | None) -> bool:
        changes = file is not None and command.ins in _CHANGING + _READING
        return command.ins in _SECRET_COMMANDS or changes

    @staticmethod
    def _response_is_secret(command: CommandAPDU, file: ElementaryFile | None) -> bool:
        return command.ins == 0xC0 or (command.ins in _READING and file is not None)

    def _body(self, body: bytes, secret: bool, ins: int) -> str:
        if body and (ins in _SECRET_ALWAYS or (secret and not self._personal)):
            return f"<{len(body)} bytes>"
        return body.hex().upper()


_ROLES = ("RK", "UK", "LK", "BK", "PUK")
