"""What a card is loaded with at personalization, and what must read back afterwards.

The groupings of keys and PIN come in as bytes: whoever holds the keys has encrypted them.
"""

from collections.abc import Iterable, Mapping, Sequence

from ..facts import ChipSerial
from . import FILE_BY_PATH, dgi_of_record, encode_record

ISSUER_FILE = FILE_BY_PATH["DDF1/EF05"]
SERIAL_RECORD = next(f.record for f in ISSUER_FILE.fields if f.name == "chip_serial_number")

Grouping = tuple[int, bytes]
"""One data grouping: its DGI and its value (card specification 6)."""

Values = Mapping[str, Sequence[Mapping[str, str]]]
"""File path → records in order, the first being record 1 (or the transparent file) → field → text.

A field that is not there was left blank and reads `unwritten`; records after the last one too.
"""


def loaded(
    prepared: Iterable[Grouping], chip: ChipSerial, of_keys: Iterable[Grouping]
) -> list[Grouping]:
    """All groupings of one card: those prepared, its chip serial number, its keys and PIN."""
    return [*prepared, chip_grouping(chip), *of_keys]


def chip_grouping(chip: ChipSerial) -> Grouping:
    """The grouping 0109: the record chip_serial_number of the issuer's file."""
    record = encode_record(ISSUER_FILE, SERIAL_RECORD, {"chip_serial_number": chip.as_field})
    return dgi_of_record(ISSUER_FILE, SERIAL_RECORD), record


def expected_values(values: Values, chip: ChipSerial) -> Values:
    """What must be read back: the prepared values and the chip's serial."""
    issuer = [dict(record) for record in values.get(ISSUER_FILE.path, ())]
    issuer += [{} for _ in range(SERIAL_RECORD - len(issuer))]
    issuer[SERIAL_RECORD - 1]["chip_serial_number"] = chip.as_field
    return {**values, ISSUER_FILE.path: issuer}
