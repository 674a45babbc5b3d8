"""Make the answer to reset (ISO/IEC 7816-3:2006 8, ISO/IEC 7816-4:2020 12.1.1)."""

from collections.abc import Callable
from functools import reduce
from operator import xor

from .card_options import CardOptions

_INTERFACE_BYTES = bytes.fromhex("9E968001")
"""T0 with 14 historical bytes, TA1 96 (Fi 512, Di 32), TD1 T=0, TD2 T=1."""
_SELECTION, _SELECTION_BY_IDENTIFIER = 0xB3, 0x13
"""DF by full name, path and file identifier, or by file identifier; records by number and
identifier."""
_DATA_CODING = 0x21
"""WRITE is proprietary; data units have one byte."""
_CHAINING, _EXTENDED_LENGTH, _ASSIGNED_BY_CARD = 0x80, 0x40, 0x10

_DEPLOYED_INTERFACE_BYTES = bytes.fromhex("8E8001")
"""T0 with 14 historical bytes, TD1 T=0, TD2 T=1."""
_T0_ONLY = bytes.fromhex("6C0000")
"""T0 with 12 historical bytes, TB1, TC1: T=0 alone, which has no TCK."""
_CATEGORY, _FILLING, _NO_SERIAL = b"F", b"FIELD", b"RESIDENT"
"""Historical bytes in no form of ISO/IEC 7816-4: they announce nothing, and are made up."""


def capabilities(options: CardOptions) -> bytes:
    """Return the card capabilities, 3 bytes (ISO/IEC 7816-4 tables 117 to 119)."""
    third = options.command_chaining * _CHAINING | options.extended_length * _EXTENDED_LENGTH
    if options.logical_channels > 1:
        third |= _ASSIGNED_BY_CARD | (options.logical_channels - 1)
    by_identifier = options.selection == "file identifier"
    first = _SELECTION_BY_IDENTIFIER if by_identifier else _SELECTION
    return bytes((first, _DATA_CODING, third))


def answer_to_reset(chip: bytes, options: CardOptions) -> bytes:
    """Return the ATR; the option `serial_place` says where the chip serial is in it.

    As specified: no status indicator (80), card capabilities (73), chip serial (58). See card
    specification 1, and 1a.
    """
    return _FORMS[options.serial_place](chip, options)


def _historical_tag(chip: bytes, options: CardOptions) -> bytes:
    return with_check_byte(_INTERFACE_BYTES + b"\x80\x73" + capabilities(options) + b"\x58" + chip)


def _bytes_5_to_12(chip: bytes, _options: CardOptions) -> bytes:
    return with_check_byte(_DEPLOYED_INTERFACE_BYTES + _CATEGORY + chip + _FILLING)


def _last_8(chip: bytes, _options: CardOptions) -> bytes:
    return b"\x3b" + _T0_ONLY + (_CATEGORY + _FILLING)[:4] + chip


def _given(_chip: bytes, _options: CardOptions) -> bytes:
    return with_check_byte(_DEPLOYED_INTERFACE_BYTES + _CATEGORY + _NO_SERIAL + _FILLING)


def with_check_byte(body: bytes) -> bytes:
    """Put TS before and TCK after an ATR's bytes (ISO/IEC 7816-3 8.2.5)."""
    return b"\x3b" + body + bytes((reduce(xor, body),))


_FORMS: dict[str, Callable[[bytes, CardOptions], bytes]] = {
    "historical tag": _historical_tag,
    "bytes 5-12": _bytes_5_to_12,
    "last 8": _last_8,
    "given": _given,
}
