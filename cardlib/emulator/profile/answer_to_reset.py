"""Make the answer to reset (ISO/IEC 7816-3:2006 8, ISO/IEC 7816-4:2020 12.1.1)."""

from functools import reduce
from operator import xor

from .card_options import CardOptions

_INTERFACE_BYTES = bytes.fromhex("9E968001")
"""T0 with 14 historical bytes, TA1 96 (Fi 512, Di 32), TD1 T=0, TD2 T=1."""
_SELECTION = 0xB3
"""DF by full name, path and file identifier; records by number and identifier."""
_DATA_CODING = 0x21
"""WRITE is proprietary; data units have one byte."""
_CHAINING, _EXTENDED_LENGTH, _ASSIGNED_BY_CARD = 0x80, 0x40, 0x10


def capabilities(options: CardOptions) -> bytes:
    """Return the card capabilities, 3 bytes (ISO/IEC 7816-4 tables 117 to 119)."""
    third = options.command_chaining * _CHAINING | options.extended_length * _EXTENDED_LENGTH
    if options.logical_channels > 1:
        third |= _ASSIGNED_BY_CARD | (options.logical_channels - 1)
    return bytes((_SELECTION, _DATA_CODING, third))


def answer_to_reset(chip: bytes, options: CardOptions) -> bytes:
    """Return the ATR: no status indicator (80), card capabilities (73), chip serial (58).

    See card specification 1.
    """
    body = _INTERFACE_BYTES + b"\x80\x73" + capabilities(options) + b"\x58" + chip
    return b"\x3b" + body + bytes((reduce(xor, body),))
