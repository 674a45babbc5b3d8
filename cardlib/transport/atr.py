"""Read an answer to reset: historical bytes, chip serial (ISO/IEC 7816-3:2006 8.2)."""

from typing import NamedTuple

from ..errors import FormatError
from ..tlv import iter_compact

CHIP_SERIAL_TAG = 0x45
"""Tag of the 8-byte chip serial: COMPACT-TLV tag 5, card issuer's data (card specification 1)."""

CAPABILITIES_TAG = 0x47
_CHAINING, _EXTENDED_LENGTH = 0x80, 0x40


class Capabilities(NamedTuple):
    """Which command forms the ATR announces beside short ones (ISO/IEC 7816-4 table 119)."""

    command_chaining: bool
    extended_length: bool


def historical_bytes(atr: bytes) -> bytes:
    """Return the 0 to 15 historical bytes of an ATR. Raises FormatError when it ends early."""
    if len(atr) < 2 or atr[0] not in (0x3B, 0x3F):
        raise FormatError("not an answer to reset: it must begin with 3B or 3F")
    count, indicator, offset = atr[1] & 0x0F, atr[1] >> 4, 2
    while indicator:
        offset += (indicator & 0x07).bit_count()
        if not indicator & 0x08:
            break
        if offset >= len(atr):
            raise FormatError("the ATR ends inside its interface bytes")
        indicator, offset = atr[offset] >> 4, offset + 1
    if offset + count > len(atr):
        raise FormatError("the ATR ends inside its historical bytes")
    return atr[offset : offset + count]


def chip_serial(atr: bytes) -> bytes:
    """Find the 8-byte chip serial in an ATR by its tag. Raises FormatError when it is absent."""
    historical = historical_bytes(atr)
    if historical[:1] == b"\x80":
        for tlv in iter_compact(historical[1:]):
            if tlv.tag == CHIP_SERIAL_TAG and len(tlv.value) == 8:
                return tlv.value
    raise FormatError("no chip serial in the ATR: not a resident health card")


def capabilities(atr: bytes) -> Capabilities:
    """Return the card capabilities in an ATR; both are False if the ATR names none."""
    historical = historical_bytes(atr)
    third = 0
    if historical[:1] == b"\x80":
        for tlv in iter_compact(historical[1:]):
            if tlv.tag == CAPABILITIES_TAG and len(tlv.value) == 3:
                third = tlv.value[2]
    return Capabilities(bool(third & _CHAINING), bool(third & _EXTENDED_LENGTH))
