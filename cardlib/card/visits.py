"""Write and read visit records so that a power cut leaves a record whole or absent.

The functions need only the card operations of `Slots` (card specification 9).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol

from ..errors import CardError
from ..layout import FILE_BY_PATH, FieldSpec, FieldValue, State, decode, encode_record
from ..layout.card_profile import CardProfile

VisitKind = Literal["inpatient", "outpatient"]
VALID, FREE = b"\x00", b"\xff"


class Slots(Protocol):
    """The card operations that visit records need."""

    @property
    def rights(self) -> frozenset[str]:
        """The keys whose rights are held."""
        ...

    def read(self, path: str) -> tuple[FieldValue, ...]:
        """Read every field of a file with its state."""
        ...

    def read_raw(self, path: str) -> list[bytes | None]:
        """Read the records of a file."""
        ...

    def read_binary(self, path: str, offset: int, length: int) -> bytes:
        """Read a part of a transparent file."""
        ...

    def write_binary(self, path: str, offset: int, data: bytes) -> None:
        """Replace a part of a transparent file."""
        ...

    def mark(self, path: str, record: int) -> None:
        """Mark an index record as valid."""
        ...

    def erase_mark(self, path: str, record: int) -> None:
        """Set an index record to FF."""
        ...


@dataclass(frozen=True, slots=True)
class VisitFiles:
    """One kind of visit: its index file, its slots in order, and the field with its date."""

    index: str
    slots: tuple[str, ...]
    date: FieldSpec


def _files(index: str, prefix: str, date: str) -> VisitFiles:
    slots = tuple(path for path in FILE_BY_PATH if path.startswith(f"DDF1/DF03/{prefix}"))
    field = next(field for field in FILE_BY_PATH[slots[0]].fields if field.name == date)
    return VisitFiles(index, slots, field)


VISITS = MappingProxyType(
    {
        "inpatient": _files("DDF1/DF03/EF05", "EE", "admission_date"),
        "outpatient": _files("DDF1/DF03/EF06", "ED", "visit_datetime"),
    }
)


def write_visit(
    card: Slots,
    kind: VisitKind,
    values: Mapping[str, str | bytes],
    profile: CardProfile,
) -> int:
    """Write a record into a free slot, or over the oldest record; return the slot, from 1.

    If no slot is free, the oldest record's mark is erased first. Then the record is written, and
    its mark last. `profile` says how codes and blank texts are written. Raises FormatError, before
    anything is written, when a value does not fit, and CardError when no slot is free and the right
    of the index file's erase key is not held.
    """
    files = VISITS[kind]
    record = encode_record(FILE_BY_PATH[files.slots[0]], 1, values, profile)
    marks = card.read_raw(files.index)
    if FREE in marks:
        slot = marks.index(FREE) + 1
    else:
        needed = FILE_BY_PATH[files.index].erase_key
        if needed not in card.rights:
            raise CardError(f"no free slot for an {kind} record: erasing the oldest needs {needed}")
        slot = _oldest(card, files, marks)
        card.erase_mark(files.index, slot)
    card.write_binary(files.slots[slot - 1], 0, record)
    card.mark(files.index, slot)
    return slot


def read_visits(card: Slots, kind: VisitKind) -> list[tuple[int, tuple[FieldValue, ...]]]:
    """Read the records that are marked valid, with their slots. Other slots are never shown."""
    files = VISITS[kind]
    marks = card.read_raw(files.index)
    return [
        (slot, card.read(path))
        for slot, (path, mark) in enumerate(zip(files.slots, marks, strict=False), 1)
        if mark == VALID
    ]


def _oldest(card: Slots, files: VisitFiles, marks: list[bytes | None]) -> int:
    """Choose the slot to overwrite: one without a readable mark or date, else the earliest."""

    def age(slot: int) -> str:
        if marks[slot - 1] != VALID:
            return ""
        raw = card.read_binary(files.slots[slot - 1], files.date.offset, files.date.length)
        state, value, _ = decode(files.date, raw)
        return value if state is State.VALUE and isinstance(value, str) else ""

    return min(range(1, len(files.slots) + 1), key=age)
