"""Records of a card's files in its memory, by number (ISO/IEC 7816-4:2020 7.4)."""

from ..layout import Structure
from .memory import Memory
from .tree import ElementaryFile


def count(memory: Memory, file: ElementaryFile) -> int:
    """How many records can be read now: all of them, but in a cyclic file those appended."""
    if file.structure is not Structure.CYCLIC:
        return len(file.offsets)
    appended = memory.byte(file.address)
    return 0 if appended == 0xFF else appended


def slot_of(memory: Memory, file: ElementaryFile, number: int) -> int:
    """The slot that holds a record, from 0; record 1 of a cyclic file is the newest."""
    if file.structure is not Structure.CYCLIC:
        return number - 1
    newest = memory.byte(file.address + 1)
    return (newest - (number - 1)) % len(file.offsets)


def read(memory: Memory, file: ElementaryFile, number: int) -> bytes:
    """One whole record; the number must be one that `count` admits."""
    slot = slot_of(memory, file, number)
    stored = memory.read(file.address + file.offsets[slot], file.lengths[slot])
    return file.prefixes[slot] + stored


def write(memory: Memory, file: ElementaryFile, number: int, stored: bytes) -> None:
    """Change the stored part of one record; its length must be the record's."""
    slot = slot_of(memory, file, number)
    memory.write(file.address + file.offsets[slot], stored)


def append(memory: Memory, file: ElementaryFile, stored: bytes) -> None:
    """Make a new record 1 of a cyclic file, in the place of the oldest once all are used."""
    present = count(memory, file)
    slots = len(file.offsets)
    slot = (memory.byte(file.address + 1) + 1) % slots if present else 0
    memory.write(file.address + file.offsets[slot], stored)
    memory.write(file.address, bytes((min(present + 1, slots), slot)))
