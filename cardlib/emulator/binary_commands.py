"""READ BINARY and UPDATE BINARY (ISO/IEC 7816-4:2020 11.3)."""

from typing import TYPE_CHECKING

from ..apdu import MAX_EXTENDED_LE, MAX_SHORT_LE, CommandAPDU
from ..status import StatusWord
from .access import authorised_data, binary_file, permit
from .refusal import Refusal
from .session import LogicalChannel
from .tree import ElementaryFile

if TYPE_CHECKING:
    from .card import SoftwareCard

OK = b"\x90\x00"
_END_REACHED = b"\x62\x82"


def _offset(file: ElementaryFile, command: CommandAPDU) -> int:
    if command.p1 & 0x80:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "no short file identifiers")
    offset = command.p1 << 8 | command.p2
    if offset >= file.size:
        raise Refusal(StatusWord.WRONG_P1_P2, f"{file.path} has {file.size} bytes")
    return offset


def read_binary(card: "SoftwareCard", channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Bytes from offset P1-P2: Le of them; all there are, as far as they fit, where Le is 00."""
    file = binary_file(card, channel)
    permit(file.read, channel)
    offset = _offset(file, command)
    wanted = command.le or MAX_SHORT_LE
    data = card.memory.read(file.address + offset, min(wanted, file.size - offset))
    cut = len(data) < wanted and wanted not in (MAX_SHORT_LE, MAX_EXTENDED_LE)
    return data + (_END_REACHED if cut else OK)


def update_binary(card: "SoftwareCard", channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Replace bytes from offset P1-P2 on."""
    file = binary_file(card, channel)
    data = authorised_data(card, channel, command, file.update)
    offset = _offset(file, command)
    if not data:
        raise Refusal(StatusWord.WRONG_LENGTH, "no data")
    if offset + len(data) > file.size:
        raise Refusal(StatusWord.NOT_ENOUGH_MEMORY, f"{file.path} has {file.size} bytes")
    card.memory.write(file.address + offset, data)
    return OK
