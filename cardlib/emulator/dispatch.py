"""Which commands the card knows, and how a command reaches its handler."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..apdu import CommandAPDU
from . import authentication, binary_commands, record_commands, security_domain, selection
from .session import LogicalChannel

if TYPE_CHECKING:
    from .card import SoftwareCard

Handler = Callable[["SoftwareCard", LogicalChannel, CommandAPDU], bytes]


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its handler, whether version-1 secure messaging may carry it, and its place.

    `data_optional`: without Le the answer is 9000 and nothing (ISO/IEC 7816-4 11.2.2 SELECT).
    `data_anyway`: data is answered even without Le, as some outside hosts expect.
    """

    handler: Handler
    protected: bool = False
    data_optional: bool = False
    data_anyway: bool = False


INTERINDUSTRY: Mapping[int, Command] = MappingProxyType({
    0x20: Command(authentication.verify),
    0x82: Command(authentication.external_authenticate),
    0x84: Command(authentication.get_challenge),
    0x88: Command(authentication.internal_authenticate),
    0xA4: Command(selection.select, data_optional=True),
    0xB0: Command(binary_commands.read_binary),
    0xB2: Command(record_commands.read_record),
    0xCA: Command(security_domain.COMMANDS[0xCA]),
    0xD6: Command(binary_commands.update_binary, protected=True),
    0xDC: Command(record_commands.update_record, protected=True),
})  # fmt: skip
"""Commands of CLA 0x, by INS."""

PROPRIETARY: Mapping[int, Command] = MappingProxyType(
    {ins: Command(handler) for ins, handler in security_domain.COMMANDS.items()}
    | {
        0x0C: Command(record_commands.erase_record, protected=True),
        0x50: Command(security_domain.COMMANDS[0x50], data_anyway=True),
        0xD2: Command(record_commands.write_record, protected=True),
    }
)
"""Commands of CLA 8x, by INS."""
