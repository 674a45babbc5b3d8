"""READ, UPDATE, APPEND, WRITE and ERASE RECORD (ISO/IEC 7816-4:2020 11.4)."""

from typing import TYPE_CHECKING

from ..apdu import CommandAPDU
from ..layout import Structure
from ..status import StatusWord
from . import records
from .access import authorised_data, permit, record_file
from .refusal import Refusal
from .session import LogicalChannel
from .tree import ElementaryFile

if TYPE_CHECKING:
    from .card import SoftwareCard

OK = b"\x90\x00"
_BY_TAG, _PREVIOUS, _BY_NUMBER, _FROM_NUMBER = 0x00, 0x03, 0x04, 0x05
_VALID_MARK = b"\0"


def read_record(card: "SoftwareCard", channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """P2 04: record P1; P2 00: the record with tag P1; P2 05: records from P1 on, as fit."""
    file = record_file(card, channel)
    permit(file.read, channel)
    if command.p2 == _BY_NUMBER:
        return records.read(card.memory, file, _existing(card, file, command.p1)) + OK
    if command.p2 == _FROM_NUMBER:
        return _read_from(card, file, command) + OK
    if command.p2 == _BY_TAG and file.prefixes[0]:
        return records.read(card.memory, file, _by_tag(file, command.p1)) + OK
    raise Refusal(StatusWord.INCORRECT_P1_P2, "P2 is 00 (tag), 04 (number) or 05 (from number)")


def _existing(card: "SoftwareCard", file: ElementaryFile, number: int) -> int:
    present = records.count(card.memory, file)
    if not 1 <= number <= present:
        raise Refusal(StatusWord.RECORD_NOT_FOUND, f"{file.path} has {present} records")
    return number


def _by_tag(file: ElementaryFile, tag: int) -> int:
    for number, prefix in enumerate(file.prefixes, 1):
        if prefix[0] == tag:
            return number
    raise Refusal(StatusWord.RECORD_NOT_FOUND, f"{file.path} has no record with tag {tag:02X}")


def _read_from(card: "SoftwareCard", file: ElementaryFile, command: CommandAPDU) -> bytes:
    number = _existing(card, file, command.p1)
    room = command.le or 256
    found = records.read(card.memory, file, number)
    for following in range(number + 1, records.count(card.memory, file) + 1):
        record = records.read(card.memory, file, following)
        if len(found) + len(record) > room:
            break
        found += record
    return found


def _stored_form(file: ElementaryFile, slot: int, record: bytes) -> bytes:
    """A record as it is stored; 6A80 if it is no record of this file."""
    stored = records.stored_form(file, slot, record)
    if stored is None:
        prefix = file.prefixes[slot]
        why = f"a record here has {len(prefix) + file.lengths[slot]} bytes"
        why += f" and begins {prefix.hex().upper()}" if prefix else ""
        raise Refusal(StatusWord.INCORRECT_DATA, why)
    return stored


def update_record(card: "SoftwareCard", channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """P2 04 replaces record P1; P2 03 with P1 00 appends to a cyclic file."""
    if command.p2 == _PREVIOUS and command.p1 == 0:
        return append_record(card, channel, command)
    file = record_file(card, channel)
    if command.p2 != _BY_NUMBER:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P2 is 04 (number) or 03 (append)")
    if file.structure is Structure.CYCLIC:
        raise Refusal(StatusWord.INCOMPATIBLE_FILE_STRUCTURE, "a cyclic file is only appended to")
    data = authorised_data(card, channel, command, file.update)
    number = _existing(card, file, command.p1)
    stored = _stored_form(file, number - 1, data)
    if file.is_index:
        raise Refusal(StatusWord.INCOMPATIBLE_FILE_STRUCTURE, "marks are written, not updated")
    records.write(card.memory, file, number, stored)
    return OK


def append_record(card: "SoftwareCard", channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """A new record 1 in a cyclic file."""
    file = record_file(card, channel)
    if file.structure is not Structure.CYCLIC:
        raise Refusal(StatusWord.INCOMPATIBLE_FILE_STRUCTURE, f"{file.path} is not cyclic")
    data = authorised_data(card, channel, command, file.update)
    records.append(card.memory, file, _stored_form(file, 0, data))
    return OK


def write_record(card: "SoftwareCard", channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Mark a record of an index file as valid: 00."""
    file = _index_file(card, channel, command)
    if authorised_data(card, channel, command, file.update):
        raise Refusal(StatusWord.INCORRECT_DATA, "a mark carries no data")
    records.write(card.memory, file, _existing(card, file, command.p1), _VALID_MARK)
    return OK


def erase_record(card: "SoftwareCard", channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Set a record of a linear-fixed file to FF."""
    file = record_file(card, channel)
    if command.p2 != _BY_NUMBER:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P2 is 04 (number)")
    if file.structure is not Structure.LINEAR_FIXED:
        raise Refusal(StatusWord.INCOMPATIBLE_FILE_STRUCTURE, f"{file.path} is not linear fixed")
    if authorised_data(card, channel, command, file.erase):
        raise Refusal(StatusWord.INCORRECT_DATA, "erasing carries no data")
    number = _existing(card, file, command.p1)
    records.write(card.memory, file, number, b"\xff" * file.lengths[number - 1])
    return OK


def _index_file(
    card: "SoftwareCard", channel: LogicalChannel, command: CommandAPDU
) -> ElementaryFile:
    file = record_file(card, channel)
    if command.p2 != _BY_NUMBER:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P2 is 04 (number)")
    if not file.is_index:
        raise Refusal(StatusWord.INCOMPATIBLE_FILE_STRUCTURE, f"{file.path} is no index")
    return file
