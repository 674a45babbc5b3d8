"""READ, UPDATE, APPEND, WRITE, ERASE and SEARCH RECORD (ISO/IEC 7816-4:2020 11.4)."""

from ...apdu import CommandAPDU
from ...layout import Structure
from ...status import OK, StatusWord
from ...tlv import ber
from ..chip.refusal import Refusal
from ..filesystem import record_slots
from ..filesystem.tree import ElementaryFile
from ..sessions.card_interface import Card
from ..sessions.logical_channel import LogicalChannel
from .access import authorised_data, permit, record_file, update_rule
from .binary_commands import offset_objects, written

_BY_TAG, _PREVIOUS, _BY_NUMBER, _FROM_NUMBER = 0x00, 0x03, 0x04, 0x05
_SHORT_IDENTIFIER = 0xF8
_VALID_MARK = b"\0"
_UPDATE_RECORD = 0xDC


def read_record(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Answer record P1 (P2 04), the record with tag P1 (P2 00), or records from P1 on (P2 05)."""
    file = _record_file(card, channel, command)
    permit(file.read, channel)
    if command.p2 == _BY_NUMBER:
        return record_slots.read(card.memory, file, _existing(card, file, command.p1)) + OK
    if command.p2 == _FROM_NUMBER:
        return _read_from(card, file, command.p1, channel.room(command)) + OK
    if command.p2 == _BY_TAG and file.prefixes[0]:
        return record_slots.read(card.memory, file, _by_tag(file, command.p1)) + OK
    raise Refusal(StatusWord.INCORRECT_P1_P2, "P2 must be 00 (tag), 04 (number), 05 (from number)")


def _record_file(card: Card, channel: LogicalChannel, command: CommandAPDU) -> ElementaryFile:
    if command.p2 & _SHORT_IDENTIFIER:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "short file identifiers are not supported")
    return record_file(card, channel)


def _existing(card: Card, file: ElementaryFile, number: int) -> int:
    present = record_slots.count(card.memory, file)
    if not 1 <= number <= present:
        raise Refusal(StatusWord.RECORD_NOT_FOUND, f"{file.path} has {present} records")
    return number


def _by_tag(file: ElementaryFile, tag: int) -> int:
    for number, prefix in enumerate(file.prefixes, 1):
        if prefix[0] == tag:
            return number
    raise Refusal(StatusWord.RECORD_NOT_FOUND, f"{file.path} has no record with tag {tag:02X}")


def _read_from(card: Card, file: ElementaryFile, first: int, room: int) -> bytes:
    number = _existing(card, file, first)
    found = record_slots.read(card.memory, file, number)
    for following in range(number + 1, record_slots.count(card.memory, file) + 1):
        record = record_slots.read(card.memory, file, following)
        if len(found) + len(record) > room:
            break
        found += record
    return found


def _stored_form(file: ElementaryFile, slot: int, record: bytes) -> bytes:
    """Return the stored form of a record. Refuses with 6A80 if it does not fit this file."""
    stored = record_slots.stored_form(file, slot, record)
    if stored is None:
        prefix = file.prefixes[slot]
        why = f"a record here has {len(prefix) + file.lengths[slot]} bytes"
        why += f" and begins {prefix.hex().upper()}" if prefix else ""
        raise Refusal(StatusWord.INCORRECT_DATA, why)
    return stored


def update_record(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Replace record P1 (P2 04), or append to a cyclic file (P2 03, P1 00)."""
    if command.p2 == _PREVIOUS and command.p1 == 0:
        return append_record(card, channel, command)
    file = _record_file(card, channel, command)
    if command.p2 != _BY_NUMBER:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P2 must be 04 (number) or 03 (append)")
    data = authorised_data(card, channel, command, update_rule(card, file))
    if file.structure is Structure.CYCLIC:
        raise Refusal(StatusWord.INCOMPATIBLE_FILE_STRUCTURE, "append to a cyclic file: P2 03")
    if file.is_index:
        raise Refusal(StatusWord.INCOMPATIBLE_FILE_STRUCTURE, "set marks with WRITE RECORD")
    number = _existing(card, file, command.p1)
    record_slots.write(card.memory, file, number, _stored_form(file, number - 1, data))
    return OK


def read_record_odd(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Answer record P1 from the offset in 54 on, in a data object 53 (INS B3)."""
    file = _record_file(card, channel, command)
    permit(file.read, channel)
    record, offset, _ = _part(card, file, command, command.data)
    room = max(1, channel.room(command) - 3)
    return ber(0x53, record[offset : offset + room]) + OK


def update_record_odd(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Replace a part of record P1: offset in 54, bytes in 53 (INS DD)."""
    file = _record_file(card, channel, command)
    data = authorised_data(card, channel, command, update_rule(card, file))
    if file.structure is Structure.CYCLIC or file.is_index or file.variable:
        why = "only for linear files with records of fixed length"
        raise Refusal(StatusWord.INCOMPATIBLE_FILE_STRUCTURE, why)
    record, offset, new = _part(card, file, command, data)
    changed = record[:offset] + new + record[offset + len(new) :]
    if not new or len(changed) != len(record):
        raise Refusal(StatusWord.INCORRECT_DATA, f"a record here has {len(record)} bytes")
    stored = _stored_form(file, command.p1 - 1, changed)
    record_slots.write(card.memory, file, command.p1, stored)
    return OK


def _part(
    card: Card, file: ElementaryFile, command: CommandAPDU, data: bytes
) -> tuple[bytes, int, bytes]:
    """Return the record that an odd INS names, the offset in it, and the command's bytes."""
    if command.p2 != _BY_NUMBER:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P2 must be 04 (number)")
    record = record_slots.read(card.memory, file, _existing(card, file, command.p1))
    found = offset_objects(data)
    offset = int.from_bytes(found[0x54], "big")
    if offset >= len(record):
        raise Refusal(StatusWord.WRONG_P1_P2, f"the record has only {len(record)} bytes")
    return record, offset, found.get(0x53, b"")


def append_record(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Append a record: record 1 of a cyclic file, the last record of a growing linear file."""
    file = _record_file(card, channel, command)
    if command.ins != _UPDATE_RECORD and (command.p1 or command.p2):
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P1 and P2 must be 00")
    data = authorised_data(card, channel, command, update_rule(card, file))
    if not file.growing:
        raise Refusal(StatusWord.INCOMPATIBLE_FILE_STRUCTURE, f"{file.path} cannot grow")
    full = record_slots.count(card.memory, file) == file.slots
    if full and file.structure is not Structure.CYCLIC:
        raise Refusal(StatusWord.NOT_ENOUGH_MEMORY, f"{file.path} is full")
    record_slots.append(card.memory, file, _stored_form(file, 0, data))
    return OK


def write_record(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Mark a record of an index file as valid (00); in other files write by the data coding."""
    file = _record_file(card, channel, command)
    if command.p2 != _BY_NUMBER:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P2 must be 04 (number)")
    data = authorised_data(card, channel, command, update_rule(card, file))
    if file.structure is Structure.CYCLIC or file.variable:
        raise Refusal(StatusWord.INCOMPATIBLE_FILE_STRUCTURE, "not in cyclic and variable files")
    number = _existing(card, file, command.p1)
    if file.is_index:
        if data:
            raise Refusal(StatusWord.INCORRECT_DATA, "send no data with a mark")
        stored = _VALID_MARK
    else:
        new = _stored_form(file, number - 1, data)
        old = record_slots.read(card.memory, file, number)[len(file.prefixes[number - 1]) :]
        stored = written(file, old, new)
    record_slots.write(card.memory, file, number, stored)
    return OK


def erase_record(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Set a record of a linear file to FF."""
    file = _record_file(card, channel, command)
    if command.p2 != _BY_NUMBER:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P2 must be 04 (number)")
    data = authorised_data(card, channel, command, file.erase)
    if file.structure is Structure.CYCLIC or file.variable:
        raise Refusal(StatusWord.INCOMPATIBLE_FILE_STRUCTURE, "not in cyclic and variable files")
    if data:
        raise Refusal(StatusWord.INCORRECT_DATA, "send no data")
    number = _existing(card, file, command.p1)
    record_slots.write(card.memory, file, number, b"\xff" * file.lengths[number - 1])
    return OK


def search_record(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Answer the numbers of the records that hold the data: from P1 on (P2 04) or back (P2 05)."""
    file = _record_file(card, channel, command)
    permit(file.read, channel)
    if command.p2 not in (_BY_NUMBER, _FROM_NUMBER):
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P2 must be 04 (forward) or 05 (backward)")
    if not command.data:
        raise Refusal(StatusWord.WRONG_LENGTH, "needs data to search for")
    present = record_slots.count(card.memory, file)
    start = _existing(card, file, command.p1 or 1)
    forward = command.p2 == _BY_NUMBER
    numbers = range(start, present + 1) if forward else range(start, 0, -1)
    found = bytes(n for n in numbers if command.data in record_slots.read(card.memory, file, n))
    if not found:
        raise Refusal(StatusWord.END_REACHED, "no match")
    return found + OK
