"""READ, UPDATE, WRITE, ERASE and SEARCH BINARY, even and odd INS (ISO/IEC 7816-4:2020 11.3)."""

from collections.abc import Callable

from ...apdu import MAX_EXTENDED_LE, MAX_SHORT_LE, CommandAPDU
from ...errors import FormatError
from ...status import OK, StatusWord
from ...tlv import ber, iter_ber
from ..chip.refusal import Refusal
from ..filesystem.tree import ElementaryFile
from ..sessions.card_interface import Card
from ..sessions.logical_channel import LogicalChannel
from .access import authorised_data, binary_file, permit

_END_REACHED = b"\x62\x82"
_OFFSET, _DATA, _DISCRETIONARY = 0x54, 0x53, 0x73
_NO_LIMIT = (MAX_SHORT_LE, MAX_EXTENDED_LE)
_WRITE_BEHAVIOUR = 0x60
_ONE_TIME, _OR, _AND = 0x00, 0x40, 0x60
_ERASED = b"\xff"


def _binary_file(card: Card, channel: LogicalChannel, command: CommandAPDU) -> ElementaryFile:
    if command.p1 & 0x80 and not command.ins & 1:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "short file identifiers are not supported")
    return binary_file(card, channel)


def _offset(file: ElementaryFile, command: CommandAPDU) -> int:
    offset = command.p1 << 8 | command.p2
    if offset >= file.size:
        raise _beyond(file)
    return offset


def _beyond(file: ElementaryFile) -> Refusal:
    return Refusal(StatusWord.WRONG_P1_P2, f"{file.path} has only {file.size} bytes")


def offset_objects(data: bytes) -> dict[int, bytes]:
    """Decode the data objects of an odd INS by tag. Refuses with 6A80 without an offset (54)."""
    try:
        found = {tlv.tag: tlv.value for tlv in iter_ber(data)}
    except FormatError as error:
        raise Refusal(StatusWord.INCORRECT_DATA, str(error)) from None
    if not 1 <= len(found.get(_OFFSET, b"")) <= 4:
        raise Refusal(StatusWord.INCORRECT_DATA, "needs an offset data object (54)")
    return found


def _odd(file: ElementaryFile, command: CommandAPDU, data: bytes) -> tuple[int, bytes]:
    """Return offset and bytes of an odd INS on the current EF (P1 P2 00)."""
    if command.p1 or command.p2:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "with an odd INS, P1 and P2 must be 00")
    found = offset_objects(data)
    offset = int.from_bytes(found[_OFFSET], "big")
    if offset >= file.size:
        raise _beyond(file)
    return offset, found.get(_DATA, found.get(_DISCRETIONARY, b""))


def read_binary(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Answer Le bytes from offset P1-P2; with Le 00 as many as there are and fit."""
    file = _binary_file(card, channel, command)
    permit(file.read, channel)
    offset, wanted = _offset(file, command), command.le or MAX_SHORT_LE
    room = min(wanted, channel.v2.room) if channel.v2 else wanted
    if room < wanted and wanted not in _NO_LIMIT:
        raise Refusal(StatusWord.WRONG_LENGTH, f"only {room} bytes fit a protected short reply")
    left = file.size - offset
    data = card.memory.read(file.address + offset, room if room < left else left)
    cut = len(data) < wanted and wanted not in _NO_LIMIT
    return data + (_END_REACHED if cut else OK)


def read_binary_odd(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Answer bytes from the offset in 54 in a data object 53; Le counts its tag and length."""
    file = _binary_file(card, channel, command)
    permit(file.read, channel)
    offset, _ = _odd(file, command, command.data)
    wanted = channel.room(command)
    overhead = 2 if wanted <= 0x81 else 3 if wanted <= 0x102 else 4
    room = max(1, wanted - overhead)
    data = card.memory.read(file.address + offset, min(room, file.size - offset))
    return ber(_DATA, data) + OK


def update_binary(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Replace bytes from offset P1-P2 on."""
    return _change(card, channel, command, _replaced)


def write_binary(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Write bytes from offset P1-P2 on, as the file's data coding byte says."""
    return _change(card, channel, command, written)


def _replaced(_file: ElementaryFile, _old: bytes, new: bytes) -> bytes:
    return new


def written(file: ElementaryFile, old: bytes, new: bytes) -> bytes:
    """Return what WRITE leaves over `old`: once, OR, AND, replace (ISO/IEC 7816-4 table 118)."""
    behaviour = file.data_coding & _WRITE_BEHAVIOUR
    if behaviour == _ONE_TIME:
        if old.strip(_ERASED):
            raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, "it was already written once")
        return new
    if behaviour == _OR:
        return bytes(a | b for a, b in zip(old, new, strict=True))
    if behaviour == _AND:
        return bytes(a & b for a, b in zip(old, new, strict=True))
    return new


def _change(
    card: Card,
    channel: LogicalChannel,
    command: CommandAPDU,
    change: Callable[[ElementaryFile, bytes, bytes], bytes],
) -> bytes:
    file = _binary_file(card, channel, command)
    data = authorised_data(card, channel, command, file.update)
    if command.ins & 1:
        offset, data = _odd(file, command, data)
    else:
        offset = _offset(file, command)
    if not data:
        raise Refusal(StatusWord.WRONG_LENGTH, "needs data")
    if offset + len(data) > file.size:
        raise Refusal(StatusWord.NOT_ENOUGH_MEMORY, f"{file.path} has only {file.size} bytes")
    old = card.memory.read(file.address + offset, len(data))
    card.memory.write(file.address + offset, change(file, old, data))
    return OK


def erase_binary(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Set bytes to FF from offset P1-P2 to the end, or up to the offset in the data."""
    file = _binary_file(card, channel, command)
    data = authorised_data(card, channel, command, file.erase)
    if command.ins & 1:
        start, _ = _odd(file, command, data)
        data = b""
    else:
        start = _offset(file, command)
    end = int.from_bytes(data, "big") if data else file.size
    if len(data) > 2 or not start < end <= file.size:
        raise Refusal(StatusWord.INCORRECT_DATA, "the end must be after the start, in the file")
    card.memory.write(file.address + start, _ERASED * (end - start))
    return OK


def search_binary(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Answer the offset of the first match of the data from P1-P2 on, 2 bytes; 6282 if none."""
    file = _binary_file(card, channel, command)
    permit(file.read, channel)
    if command.ins & 1:
        start, wanted = _odd(file, command, command.data)
    else:
        start, wanted = _offset(file, command), command.data
    if not wanted:
        raise Refusal(StatusWord.WRONG_LENGTH, "needs data to search for")
    found = card.memory.read(file.address, file.size).find(wanted, start)
    if found < 0:
        raise Refusal(StatusWord.END_REACHED, "no match")
    answer = found.to_bytes(2, "big")
    return (ber(_OFFSET, answer) if command.ins & 1 else answer) + OK
