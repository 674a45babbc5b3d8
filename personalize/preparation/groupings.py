"""From a resident's values to the data groupings that do not depend on the chip."""

from collections.abc import Mapping, Sequence

from cardlib.layout import (
    FILE_BY_PATH,
    FILES,
    FileSpec,
    Structure,
    dgi_of_record,
    encode_record,
)
from cardlib.layout.load import ISSUER_FILE, SERIAL_RECORD, Grouping

from ..listing.columns import COLUMN_BY_NAME, PHOTO_COLUMN

PHOTO = FILE_BY_PATH["DDF1/EF07"]

_CODE = next(field for field in ISSUER_FILE.fields if field.name == "security_code")

_Records = dict[int, dict[str, str | bytes]]
"""Record number → field → text, or the photo's bytes; a transparent file is record 1."""


def lay_out(
    columns: Mapping[str, str], issuer_fields: Mapping[str, str], jpeg: bytes | None
) -> tuple[Grouping, ...]:
    """Values by column, the issuer's own fields of DDF1/EF05, and the photo, as groupings.

    Blank records get no grouping, except in DDF1/EF05, whose ten are mandatory; record 0109, the
    chip serial number, is the station's. FormatError names a field that cannot be stored.
    """
    files = _by_file(columns)
    issuer = files.setdefault(ISSUER_FILE.path, {})
    for field in ISSUER_FILE.fields:
        if field.name in issuer_fields:
            issuer.setdefault(field.record, {})[field.name] = issuer_fields[field.name]
    if jpeg is not None:
        files[PHOTO.path] = {1: {PHOTO.fields[0].name: jpeg}}
    groupings: list[Grouping] = []
    for file in FILES:
        records = files.get(file.path)
        if records is None:
            continue
        if file.structure is Structure.CYCLIC:
            records = dict(enumerate((records[n] for n in sorted(records)), 1))
        groupings += _groupings(file, records)
    return tuple(groupings)


def with_security_code(groupings: Sequence[Grouping], code: str) -> tuple[Grouping, ...]:
    """The groupings of a card with its security code, which only the issuer can calculate."""
    raw = encode_record(ISSUER_FILE, _CODE.record, {_CODE.name: code})
    dgi = dgi_of_record(ISSUER_FILE, _CODE.record)
    return tuple((each, raw if each == dgi else value) for each, value in groupings)


def _by_file(columns: Mapping[str, str]) -> dict[str, _Records]:
    files: dict[str, _Records] = {}
    for name, text in columns.items():
        column = COLUMN_BY_NAME[name]
        if text and name != PHOTO_COLUMN:
            records = files.setdefault(column.path, {})
            records.setdefault(column.record, {})[column.field] = text
    return files


def _groupings(file: FileSpec, records: _Records) -> list[Grouping]:
    if file is ISSUER_FILE:
        numbers = [n for n in range(1, file.records + 1) if n != SERIAL_RECORD]
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
