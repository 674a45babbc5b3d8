"""One JSON line for each APDU: what was asked of which file, what was answered, and why not.

Bodies of STORE DATA and PUT KEY are left out always: SCP03 has no forward secrecy, so what is
encrypted today can be read by whoever learns the keys. Everything else that may hold personal
data or a PIN is masked unless it is asked for; only bodies that cannot are shown anyway.
"""

import json
from time import perf_counter_ns
from typing import TextIO

from ..apdu import INSTRUCTIONS, CommandAPDU, instruction_name
from ..errors import FormatError
from ..status import words
from .context import Card
from .registry import DATA_OBJECTS
from .security_attributes import AUTHENTICATING_ROLES
from .session import LogicalChannel
from .timing import CardTiming
from .tree import ElementaryFile

_NEVER_SHOWN = frozenset({0xD8, 0xE2})
_HARMLESS = frozenset({0x04, 0x16, 0x18, 0x1E, 0x44, 0x50, 0x70, 0x82, 0x84, 0x88, 0xA4, 0xE0, 0xE4,
                       0xE6, 0xE8, 0xF0, 0xF2, 0xFE})  # fmt: skip
"""Commands whose bodies hold neither keys, PINs nor what was written on the card."""
_GET_DATA = frozenset({0xCA, 0xCB})
_READING = frozenset({0xA0, 0xA1, 0xA2, 0xB0, 0xB1, 0xB2, 0xB3})
_ERASING = frozenset({0x0C, 0x0E, 0x0F})
_CHANGING = frozenset({0xD0, 0xD1, 0xD2, 0xD6, 0xD7, 0xDC, 0xDD, 0xE2})
_OF_RECORDS = frozenset({0x0C, 0xA2, 0xB2, 0xB3, 0xD2, 0xDC, 0xDD})
_SELECT, _EXTERNAL_AUTHENTICATE, _INTERNAL_AUTHENTICATE = 0xA4, 0x82, 0x88
_FURTHER_CHANNELS, _PROPRIETARY = 0x40, 0x80


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
            sent = CommandAPDU.parse(raw)
        except FormatError:
            line["name"] = "malformed"
        else:
            line |= self._described(card, sent, response[:-2])
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

    def _described(self, card: Card, sent: CommandAPDU, answered: bytes) -> dict[str, object]:
        """A command as sent, and where it came protected, what it was without the protection."""
        plain = card.plain_command or sent
        number = _channel_number(sent.cla)
        line: dict[str, object] = {"name": instruction_name(plain.cla, plain.ins)}
        line["channel"] = number
        if channel := card.channels.get(number):
            line |= _place(channel, plain)
        line |= {"header": sent.header.hex().upper(), "command": self._body(sent.data, plain)}
        if card.plain_command and plain.data:
            line["plain"] = self._body(plain.data, plain)
        if plain.le is not None:
            line["le"] = plain.le
        line["response"] = self._body(answered, plain)
        return line

    def _body(self, body: bytes, command: CommandAPDU) -> str:
        if not body or self._may_show(command):
            return body.hex().upper()
        return f"<{len(body)} bytes>"

    def _may_show(self, command: CommandAPDU) -> bool:
        ins = command.ins
        if ins in _NEVER_SHOWN or ins not in INSTRUCTIONS:
            return False
        public = ins in _GET_DATA and command.p1 << 8 | command.p2 in DATA_OBJECTS
        return self._personal or public or ins in _HARMLESS


def _channel_number(cla: int) -> int:
    """The logical channel in a class byte (ISO/IEC 7816-4 5.4.1)."""
    return 4 + (cla & 0x0F) if cla & (_FURTHER_CHANNELS | _PROPRIETARY) == 0x40 else cla & 0x03


def _place(channel: LogicalChannel, command: CommandAPDU) -> dict[str, object]:
    """Directory, file, record, key and rule, as far as the command concerns them."""
    found: dict[str, object] = {"directory": channel.directory.path}
    file, ins = channel.file, command.ins
    if file and (ins == _SELECT or ins in _READING | _ERASING | _CHANGING):
        found["file"] = file.path
    if ins in _OF_RECORDS:
        found["record"] = command.p1
    if ins == _INTERNAL_AUTHENTICATE:
        found["key"] = "IRK_DDF1"
    elif ins == _EXTERNAL_AUTHENTICATE and not command.cla & _PROPRIETARY:
        key = channel.directory.key(command.p2, (*AUTHENTICATING_ROLES, "PUK"))
        if key:
            found["key"] = key.name
    if file and ins in _READING | _ERASING | _CHANGING:
        found["rule"] = _rule(file, ins)
    return found


def _rule(file: ElementaryFile, ins: int) -> str:
    """The access rule of the file that decides on a command, and what it asks for."""
    if ins in _READING:
        name, rule = "read", file.read
    elif ins in _ERASING:
        name, rule = "erase", file.erase
    else:
        name, rule = "update", file.update
    if rule.never:
        return f"{name}: never"
    needed = [rule.key.name] if rule.key else []
    return f"{name}: {' and '.join([*needed, *(['PIN'] if rule.pin else [])]) or 'always'}"
