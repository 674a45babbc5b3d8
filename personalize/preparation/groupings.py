"""From a resident's values to the data groupings that do not depend on the chip."""

from collections.abc import Mapping
from dataclasses import dataclass

from cardlib.layout import (
    FILE_BY_PATH,
    FILES,
    FileSpec,
    Structure,
    dgi_of_record,
    encode,
    encode_record,
)

from ..listing.columns import COLUMN_BY_NAME, PHOTO_COLUMN

ISSUER = FILE_BY_PATH["DDF1/EF05"]
PHOTO = FILE_BY_PATH["DDF1/EF07"]
_CHIP_SERIAL_RECORD = next(f.record for f in ISSUER.fields if f.name == "chip_serial_number")
_STORED = {field.name: field for field in ISSUER.fields}

Records = dict[int, dict[str, str]]
"""Record number → field → text; a transparent file is record 1."""


@dataclass(frozen=True, slots=True)
class Laid:
    """Where everything goes: texts by file and record, and the groupings that carry them."""

    values: dict[str, list[dict[str, str]]]
    groupings: tuple[tuple[int, bytes], ...]


def security_input(card_number: str, issue_date: str) -> tuple[bytes, bytes]:
    """What the security code is computed from: card number (18) and issue date (4) as stored."""
    return encode(_STORED["card_number"], card_number), encode(_STORED["issue_date"], issue_date)


def lay_out(
    columns: Mapping[str, str], issuer_fields: Mapping[str, str], jpeg: bytes | None
) -> Laid:
    """Values by column, the batch's own fields of DDF1/EF05, and the photo, as records.

    Blank records get no grouping, except in DDF1/EF05, whose ten are mandatory; record 0109, the
    chip serial number, is the station's. FormatError names a field that cannot be stored.
    """
    files = _by_file(columns)
    issuer = files.setdefault(ISSUER.path, {})
    for field in ISSUER.fields:
        if field.name in issuer_fields:
            issuer.setdefault(field.record, {})[field.name] = issuer_fields[field.name]
    if jpeg is not None:
        files[PHOTO.path] = {1: {PHOTO.fields[0].name: jpeg.hex().upper()}}
    values: dict[str, list[dict[str, str]]] = {}
    groupings: list[tuple[int, bytes]] = []
    for file in FILES:
        records = files.get(file.path)
        if records is None:
            continue
        if file.structure is Structure.CYCLIC:
            records = dict(enumerate((records[n] for n in sorted(records)), 1))
        values[file.path] = [records.get(n, {}) for n in range(1, max(records) + 1)]
        groupings += _groupings(file, records)
    return Laid(values, tuple(groupings))


def _by_file(columns: Mapping[str, str]) -> dict[str, Records]:
    files: dict[str, Records] = {}
    for name, text in columns.items():
        column = COLUMN_BY_NAME[name]
        if text and name != PHOTO_COLUMN:
            records = files.setdefault(column.path, {})
            records.setdefault(column.record, {})[column.field] = text
    return files


def _groupings(file: FileSpec, records: Records) -> list[tuple[int, bytes]]:
    if file is ISSUER:
        numbers = [n for n in range(1, file.records + 1) if n != _CHIP_SERIAL_RECORD]
    else:
        numbers = sorted(records)
    found = []
    for number in numbers:
        raw = encode_record(file, number, records.get(number, {}))
        if file is PHOTO:
            # What follows the picture stays FF: it need not travel.
            raw = raw[: 2 + int.from_bytes(raw[:2], "big")]
        found.append((dgi_of_record(file, number), raw))
    return found
