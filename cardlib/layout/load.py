"""The data groupings that a card is loaded with at personalization, and their fields.

Groupings with keys and the PIN arrive encrypted; this module never decodes them.
"""

from collections.abc import Iterable, Mapping
from functools import cache

from ..facts import ChipSerial
from . import FILE_BY_PATH, FieldValue, FileSpec, Structure, decode_record, dgi_of_record
from .records import encode_record

ISSUER_FILE = FILE_BY_PATH["DDF1/EF05"]
SERIAL_RECORD = next(f.record for f in ISSUER_FILE.fields if f.name == "chip_serial_number")

Grouping = tuple[int, bytes]
"""One data grouping: its DGI and its value (card specification 6)."""

Records = Mapping[int, bytes]
"""The records of a card by DGI. A record that is left out stays unwritten. A transparent file may
be given without the FF at its end."""


def records(prepared: Iterable[Grouping], chip: ChipSerial) -> Records:
    """Return the records of one card: the prepared ones and its chip serial number."""
    return dict([*prepared, chip_grouping(chip)])


def chip_grouping(chip: ChipSerial) -> Grouping:
    """Return the grouping 0109: the record chip_serial_number of DDF1/EF05."""
    record = encode_record(ISSUER_FILE, SERIAL_RECORD, {"chip_serial_number": chip.as_field})
    return dgi_of_record(ISSUER_FILE, SERIAL_RECORD), record


def stored(file: FileSpec, loaded: Records) -> list[bytes]:
    """Return the records of a file as a card stores them (one if transparent).

    A record that was not loaded is FF after its tag and length. A cyclic file holds only what was
    loaded.
    """
    whole = list(_blank_records(file.path))
    if file.structure is Structure.TRANSPARENT:
        raw = loaded.get(dgi_of_record(file, 0))
        return whole if raw is None else [_whole(file, raw)]
    first = dgi_of_record(file, 1)
    if file.structure is Structure.CYCLIC:
        dgis = range(first, first + file.records)
        return [loaded[dgi] for dgi in dgis if dgi in loaded]
    return [loaded.get(first + n, blank) for n, blank in enumerate(whole)]


@cache
def _blank_records(path: str) -> tuple[bytes, ...]:
    file = FILE_BY_PATH[path]
    if file.structure is Structure.TRANSPARENT:
        return (b"\xff" * file.size,)
    return tuple(encode_record(file, number, {}) for number in range(1, file.records + 1))


def decoded(file: FileSpec, loaded: Records) -> tuple[FieldValue, ...]:
    """Decode the fields of a file's loaded records, each with its state."""
    found: list[FieldValue] = []
    for number in range(1, file.records + 1):
        raw = loaded.get(dgi_of_record(file, number))
        if raw is not None:
            found += decode_record(file, number, _whole(file, raw))
    return tuple(found)


def text_of(loaded: Records, path: str, record: int, name: str) -> str:
    """Return the text of one field of a record (1 in a transparent file), or "" if unwritten."""
    file = FILE_BY_PATH[path]
    raw = loaded.get(dgi_of_record(file, record))
    if raw is None:
        return ""
    values = decode_record(file, record, _whole(file, raw))
    return next(value.text for value in values if value.field.name == name)


def _whole(file: FileSpec, raw: bytes) -> bytes:
    return raw.ljust(file.size, b"\xff") if file.structure is Structure.TRANSPARENT else raw
