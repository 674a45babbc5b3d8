"""Encode and decode records, and find their data groupings (card specification 2 and 6)."""

from collections.abc import Mapping, Sequence
from functools import cache

from ..errors import FormatError
from .card_profile import RHCARD, CardProfile
from .codecs import decode, encode
from .field_value import NO_ENTRIES, FieldValue, State
from .model import FILE_BY_PATH, FILES, KEYS, FieldSpec, FileSpec, KeySpec, Structure

DGI_KEYS = 0x8100
DGI_PIN = 0x8010
DGI_PIN_TRIES = 0x9010
_BLANK_TEXT = {"unwritten": b"\xff", "00": b"\0", "20": b" "}


def encode_record(
    file: FileSpec,
    record: int,
    values: Mapping[str, str | bytes],
    profile: CardProfile = RHCARD,
) -> bytes:
    """Encode one whole record, or a transparent file.

    Fields that are left out become FF; texts become what `profile` says of blank texts.
    Raises FormatError, which names the field that cannot be stored, or the record or field that
    the file does not have.
    """
    fields, raw = _fields_and_head(file, record)
    known, blank = 0, _BLANK_TEXT[profile.blank_text]
    for field in fields:
        value = values.get(field.name)
        known += value is not None
        if value is None or value == "":
            raw += (blank if field.coding == "ans" else b"\xff") * field.length
        else:
            raw += _encode_named(field, value, profile)
    if known != len(values):
        unknown = values.keys() - {field.name for field in fields}
        raise FormatError(f"{file.path} record {record} has no field {min(unknown)}")
    return raw


@cache
def _fields_and_head(file: FileSpec, record: int) -> tuple[tuple[FieldSpec, ...], bytes]:
    """Find a record's fields, and the tag and length before them in a TLV file."""
    if file.structure is not Structure.TRANSPARENT and not 1 <= record <= file.records:
        raise FormatError(f"{file.path} has no record {record}")
    fields = file.fields_of(record)
    tag = fields[0].tag
    return fields, b"" if tag is None else bytes((tag, fields[0].length))


def _encode_named(field: FieldSpec, value: str | bytes, profile: CardProfile) -> bytes:
    try:
        return encode(field, value, profile)
    except FormatError as error:
        raise FormatError(f"{field.name}: {error}") from None


def decode_record(file: FileSpec, record: int, raw: bytes) -> tuple[FieldValue, ...]:
    """Decode one whole record to its fields and their states. It never raises, whatever `raw` is.

    The returned record number is 0 for a transparent file.
    """
    fields = file.fields_of(record)
    number = 0 if file.structure is Structure.TRANSPARENT else record
    tag = fields[0].tag
    if tag is not None:
        expected = bytes((tag, fields[0].length))
        if raw[:2] != expected:
            why = f"the record begins {raw[:2].hex().upper()}, not {expected.hex().upper()}"
            return tuple(FieldValue(f, number, State.CORRUPT, None, why) for f in fields)
        raw = raw[2:]
    if tag is None and len(raw) != file.record_length(record):
        why = f"the record has {len(raw)} bytes, not {file.record_length(record)}"
        return tuple(FieldValue(f, number, State.CORRUPT, None, why) for f in fields)
    if tag is not None:
        return (FieldValue(fields[0], number, *decode(fields[0], raw)),)
    return tuple(
        FieldValue(f, number, *decode(f, raw[f.offset : f.offset + f.length])) for f in fields
    )


def decode_file(file: FileSpec, records: Sequence[bytes | None]) -> tuple[FieldValue, ...]:
    """Decode all fields of a file from its records in order (one if transparent).

    None is a record that the card does not have: its fields are `missing`. A cyclic file without
    records gives one entry that is `unwritten`.
    """
    if file.structure is Structure.CYCLIC and not records:
        return without_entries(file)
    found: list[FieldValue] = []
    for number, raw in enumerate(records, 1):
        if raw is None:
            found += without_value(file, number, State.MISSING, "no such record")
        else:
            found += decode_record(file, number, raw)
    return tuple(found)


def without_value(
    file: FileSpec, record: int, state: State, detail: str = ""
) -> tuple[FieldValue, ...]:
    """Return the fields of a record that could not be read, each with this state and reason."""
    number = 0 if file.structure is Structure.TRANSPARENT else record
    return tuple(FieldValue(f, number, state, None, detail) for f in file.fields_of(record))


def without_entries(file: FileSpec) -> tuple[FieldValue, ...]:
    """Return the one `unwritten` entry of a cyclic file without records."""
    return without_value(file, 1, State.UNWRITTEN, NO_ENTRIES)


def without_access(file: FileSpec, state: State, detail: str = "") -> tuple[FieldValue, ...]:
    """Return every field of a file that could not be read, with the reason.

    Of a cyclic file it returns one record, because nobody knows how many were appended.
    """
    count = 1 if file.structure is Structure.CYCLIC else file.records
    numbers = range(1, count + 1)
    return tuple(v for number in numbers for v in without_value(file, number, state, detail))


@cache
def dgi_of_record(file: FileSpec, record: int) -> int:
    """Return the DGI nnrr of a record; rr is 00 for a transparent file."""
    return file.line << 8 | (0 if file.structure is Structure.TRANSPARENT else record)


def record_of_dgi(dgi: int) -> tuple[FileSpec, int] | None:
    """Return the file and record of a DGI nnrr (record 0 if transparent), or None."""
    line, record = dgi >> 8, dgi & 0xFF
    if not 1 <= line <= len(FILES):
        return None
    file = FILES[line - 1]
    transparent = file.structure is Structure.TRANSPARENT
    valid = record == 0 if transparent else 1 <= record <= file.records
    return (file, record) if valid else None


def dgi_of_key(key: KeySpec) -> int:
    """Return the DGI 81kk of a card key; kk is its key id in the SAM."""
    return DGI_KEYS | key.sam_key_id


def key_of_dgi(dgi: int) -> KeySpec | None:
    """Return the card key of a DGI 81kk, or None."""
    return _KEY_OF_DGI.get(dgi)


_KEY_OF_DGI = {dgi_of_key(key): key for key in KEYS}


MANDATORY_DGIS = frozenset(
    {dgi_of_key(key) for key in KEYS}
    | {DGI_PIN, DGI_PIN_TRIES}
    | {dgi_of_record(FILES[0], r) for r in range(1, FILE_BY_PATH["DDF1/EF05"].records + 1)}
)
"""The groupings that a load must have: all card keys, the PIN, its tries, the ten records of file
01 (card specification 6)."""
