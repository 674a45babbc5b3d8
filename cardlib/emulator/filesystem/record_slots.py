"""Read and write the records of a file in the card's memory (ISO/IEC 7816-4:2020 7.4)."""

from ...layout import Structure
from ..chip.memory import Memory
from .tree import ElementaryFile

# Looking up an enumeration member takes longer than reading a record.
_CYCLIC = Structure.CYCLIC


def count(memory: Memory, file: ElementaryFile) -> int:
    """Count the records: all of them, or in a growing file those that were appended."""
    if not file.growing:
        return len(file.offsets)
    appended = memory.byte(file.address)
    return 0 if appended == 0xFF else appended


def slot_of(memory: Memory, file: ElementaryFile, number: int) -> int:
    """Return the slot of a record, from 0; record 1 of a cyclic file is the newest."""
    if file.structure is not _CYCLIC:
        return number - 1
    newest = memory.byte(file.address + 1)
    return (newest - (number - 1)) % len(file.offsets)


def read(memory: Memory, file: ElementaryFile, number: int) -> bytes:
    """Read one whole record; `number` is 1 to `count`."""
    slot = number - 1 if file.structure is not _CYCLIC else slot_of(memory, file, number)
    address = file.address + file.offsets[slot]
    if file.variable:
        length = int.from_bytes(memory.read(address, 2), "big")
        return memory.read(address + 2, length)
    return file.prefixes[slot] + memory.read(address, file.lengths[slot])


def stored_form(file: ElementaryFile, slot: int, record: bytes) -> bytes | None:
    """Return the stored bytes of a whole record, or None if it does not fit this file."""
    if file.variable:
        fits = 0 < len(record) <= file.lengths[slot]
        return len(record).to_bytes(2, "big") + record if fits else None
    prefix = file.prefixes[slot]
    stored = record[len(prefix) :]
    fits = record.startswith(prefix) and len(stored) == file.lengths[slot]
    return stored if fits else None


def write(memory: Memory, file: ElementaryFile, number: int, stored: bytes) -> None:
    """Write the stored bytes of one record."""
    slot = slot_of(memory, file, number)
    memory.write(file.address + file.offsets[slot], stored)


def append(memory: Memory, file: ElementaryFile, stored: bytes) -> None:
    """Append a record: at the end of a linear file, as record 1 (over the oldest) of a cyclic."""
    present = count(memory, file)
    slots = len(file.offsets)
    slot = present
    if file.structure is _CYCLIC:
        slot = (memory.byte(file.address + 1) + 1) % slots if present else 0
    memory.write(file.address + file.offsets[slot], stored)
    memory.write(file.address, bytes((min(present + 1, slots), slot)))
