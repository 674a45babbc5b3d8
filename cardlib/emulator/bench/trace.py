"""Write one JSON line for each APDU: command, file, answer, and why it was refused.

`cardlib.commands` says what the data may hold. Data with keys are never shown, not even encrypted:
SCP03 has no forward secrecy, so who gets the keys later could decrypt them. Personal data and PINs
are shown only on request.
"""

import json
from typing import TextIO

from ...apdu import CommandAPDU
from ...commands import Body, CommandSpec, spec_of
from ...errors import FormatError
from ...exchange import Exchange
from ...status import words
from ...timing import CardTiming
from ..filesystem.security_attributes import AUTHENTICATING_ROLES
from ..filesystem.tree import ElementaryFile
from ..handlers.access import update_rule
from ..handlers.registry import DATA_OBJECTS
from ..sessions.card_interface import Card
from ..sessions.logical_channel import LogicalChannel

_HARMLESS = (Body.OPEN, Body.CRYPTOGRAM)
_READING = frozenset({"READ BINARY", "READ RECORD", "SEARCH BINARY", "SEARCH RECORD"})
_ERASING = frozenset({"ERASE BINARY", "ERASE RECORD"})
_CHANGING = frozenset(
    {"APPEND RECORD", "UPDATE BINARY", "UPDATE RECORD", "WRITE BINARY", "WRITE RECORD"}
)
_WITH_RULE = _READING | _ERASING | _CHANGING
_WITH_RECORD = frozenset(
    {"ERASE RECORD", "READ RECORD", "SEARCH RECORD", "UPDATE RECORD", "WRITE RECORD"}
)
"""Commands are told apart by name: an INS means another command in GlobalPlatform's class."""
_FURTHER_CHANNELS, _PROPRIETARY = 0x40, 0x80


class Trace:
    """An observer of a software card that writes one line for each exchange.

    `personal` also shows personal data and PINs. `timing` calculates `card_ms`.
    """

    def __init__(
        self,
        card: Card,
        out: TextIO,
        *,
        personal: bool = False,
        timing: CardTiming | None = None,
    ) -> None:
        self._card = card
        self._out = out
        self._personal = personal
        self._timing = timing or CardTiming()
        self._number = 0

    def saw(self, exchange: Exchange) -> None:
        """Write one exchange."""
        self._number += 1
        line: dict[str, object] = {"n": self._number}
        try:
            sent = CommandAPDU.parse(exchange.command)
        except FormatError:
            line["name"] = "malformed"
        else:
            line |= self._described(sent, exchange)
        sw = int.from_bytes(exchange.response[-2:], "big")
        line |= {"sw": f"{sw:04X}", "words": words(sw)}
        if exchange.refusal:
            line["reason"] = exchange.refusal
        written = exchange.page_writes
        card_ms = self._timing.exchange_ms(exchange.command, exchange.response, written)
        line |= {
            "page_writes": written,
            "host_us": int(exchange.seconds * 1_000_000),
            "card_ms": round(card_ms, 2),
        }
        self._out.write(json.dumps(line, ensure_ascii=False) + "\n")

    def _described(self, sent: CommandAPDU, exchange: Exchange) -> dict[str, object]:
        """Describe a command as sent, and without protection if it was protected."""
        plain = exchange.plain or sent
        spec = spec_of(plain.cla, plain.ins)
        number = _channel_number(sent.cla)
        line: dict[str, object] = {"name": spec.name if spec else f"INS {plain.ins:02X}"}
        line["channel"] = number
        if channel := self._card.channels.get(number):
            line |= _place(self._card, channel, plain, spec)
        command, response = self._may_show(spec, plain)
        line |= {"header": sent.header.hex().upper(), "command": _body(sent.data, command)}
        if exchange.plain and plain.data:
            line["plain"] = _body(plain.data, command)
        if plain.le is not None:
            line["le"] = plain.le
        line["response"] = _body(exchange.response[:-2], response)
        return line

    def _may_show(self, spec: CommandSpec | None, command: CommandAPDU) -> tuple[bool, bool]:
        """Whether the data of a command and of its answer may be shown."""
        if spec is None:
            return False, False
        of_domain = spec.name == "GET DATA" and spec.cla == _PROPRIETARY
        if of_domain and command.p1 << 8 | command.p2 in DATA_OBJECTS:
            return True, True
        sent = spec.sent in _HARMLESS or (self._personal and spec.sent is not Body.KEY)
        return sent, spec.answered in _HARMLESS or self._personal


def _body(body: bytes, shown: bool) -> str:
    return body.hex().upper() if shown or not body else f"<{len(body)} bytes>"


def _channel_number(cla: int) -> int:
    """Return the logical channel in a class byte (ISO/IEC 7816-4 5.4.1)."""
    return 4 + (cla & 0x0F) if cla & (_FURTHER_CHANNELS | _PROPRIETARY) == 0x40 else cla & 0x03


def _place(
    card: Card, channel: LogicalChannel, command: CommandAPDU, spec: CommandSpec | None
) -> dict[str, object]:
    """Return the directory, file, record, key and rule that the command is about."""
    found: dict[str, object] = {"directory": channel.directory.path}
    file, name = channel.file, spec.name if spec else ""
    if file and (name == "SELECT" or name in _WITH_RULE):
        found["file"] = file.path
    if name in _WITH_RECORD:
        found["record"] = command.p1
    if name == "INTERNAL AUTHENTICATE":
        found["key"] = "IRK_DDF1"
    elif name == "EXTERNAL AUTHENTICATE" and not command.cla & _PROPRIETARY:
        key = channel.directory.key(command.p2, (*AUTHENTICATING_ROLES, "PUK"))
        if key:
            found["key"] = key.name
    if file and name in _WITH_RULE:
        found["rule"] = _rule(card, file, name)
    return found


def _rule(card: Card, file: ElementaryFile, command: str) -> str:
    """Return the file's access rule for a command, in words."""
    if command in _READING:
        name, rule = "read", file.read
    elif command in _ERASING:
        name, rule = "erase", file.erase
    else:
        name, rule = "update", update_rule(card, file)
    if rule.never:
        return f"{name}: never"
    needed = [rule.key.name] if rule.key else []
    return f"{name}: {' and '.join([*needed, *(['PIN'] if rule.pin else [])]) or 'always'}"
