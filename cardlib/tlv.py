"""Encode and decode TLV objects and data groupings.

BER-TLV, SIMPLE-TLV and COMPACT-TLV are from ISO/IEC 7816-4:2020 6 and 12.1.1.3, DGIs from EMV
CPS 1.1 2.2. Every decoder raises FormatError when the data ends early.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .errors import FormatError


class Tlv(NamedTuple):
    """One data object: its tag as a number (0x87, 0x7F49, ...) and its value."""

    tag: int
    value: bytes


def ber_length(length: int) -> bytes:
    """Encode a definite length, 1 to 4 bytes. Raises FormatError above 2^24 - 1."""
    if length < 0x80:
        return bytes((length,))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    if len(octets) > 3:
        raise FormatError(f"a value of {length} bytes is too long for a data object")
    return bytes((0x80 | len(octets),)) + octets


def ber(tag: int, value: bytes) -> bytes:
    """Encode one BER-TLV data object."""
    tag_bytes = tag.to_bytes(max(1, (tag.bit_length() + 7) // 8), "big")
    return tag_bytes + ber_length(len(value)) + value


def read_ber(data: bytes, offset: int = 0) -> tuple[Tlv, int]:
    """Decode the data object at `offset`; return it and the offset after it."""
    start = offset
    try:
        if data[offset] & 0x1F == 0x1F:
            offset += 1
            while data[offset] & 0x80:
                offset += 1
        offset += 1
        tag = int.from_bytes(data[start:offset], "big")
        length = data[offset]
        offset += 1
        if length >= 0x80:
            count = length & 0x7F
            if not 1 <= count <= 3:
                raise FormatError(f"the length at byte {offset - 1} has {count} bytes, not 1 to 3")
            if offset + count > len(data):
                raise IndexError
            length = int.from_bytes(data[offset : offset + count], "big")
            offset += count
    except IndexError:
        raise FormatError(f"the data object at byte {start} ends early") from None
    if offset + length > len(data):
        raise FormatError(
            f"data object {tag:X} says {length} bytes, but {len(data) - offset} are left"
        )
    return Tlv(tag, data[offset : offset + length]), offset + length


def iter_ber(data: bytes) -> Iterator[Tlv]:
    """Decode the BER-TLV data objects in `data`, one after the other."""
    offset = 0
    while offset < len(data):
        tlv, offset = read_ber(data, offset)
        yield tlv


def find_ber(data: bytes, *path: int) -> bytes | None:
    """Return the value at a path of tags, each inside the one before, or None."""
    for tag in path:
        for tlv in iter_ber(data):
            if tlv.tag == tag:
                data = tlv.value
                break
        else:
            return None
    return data


def simple(tag: int, value: bytes) -> bytes:
    """Encode one SIMPLE-TLV data object: tag 01 to FE, length in 1 byte, or FF and 2 bytes."""
    if not 0x01 <= tag <= 0xFE:
        raise FormatError(f"{tag:X} is not a SIMPLE-TLV tag: use 01 to FE")
    return bytes((tag,)) + _length_1_or_3(len(value)) + value


def iter_simple(data: bytes) -> Iterator[Tlv]:
    """Decode the SIMPLE-TLV data objects in `data`, one after the other."""
    return _iter_fixed_tag(data, 1)


def dgi(tag: int, value: bytes) -> bytes:
    """Encode one data grouping: DGI in 2 bytes, length in 1 byte, or FF and 2 bytes."""
    if not 0 <= tag <= 0xFFFF:
        raise FormatError(f"{tag:X} is not a DGI: use 0000 to FFFF")
    return tag.to_bytes(2, "big") + _length_1_or_3(len(value)) + value


def iter_dgi(data: bytes) -> Iterator[Tlv]:
    """Decode the data groupings in `data`, one after the other."""
    return _iter_fixed_tag(data, 2)


def _length_1_or_3(length: int) -> bytes:
    if length < 0xFF:
        return bytes((length,))
    if length > 0xFFFF:
        raise FormatError(f"the value has {length} bytes; at most 65535 fit")
    return b"\xff" + length.to_bytes(2, "big")


def _iter_fixed_tag(data: bytes, tag_size: int) -> Iterator[Tlv]:
    offset = 0
    while offset < len(data):
        start, offset = offset, offset + tag_size
        size = 3 if data[offset : offset + 1] == b"\xff" else 1
        field = data[offset : offset + size]
        offset += size
        if len(field) < size:
            raise FormatError(f"the data object at byte {start} ends early")
        length = field[0] if size == 1 else int.from_bytes(field[1:], "big")
        if offset + length > len(data):
            raise FormatError(
                f"the data object at byte {start} says {length} bytes, but fewer are left"
            )
        tag = int.from_bytes(data[start : start + tag_size], "big")
        yield Tlv(tag, data[offset : offset + length])
        offset += length


def iter_compact(data: bytes) -> Iterator[Tlv]:
    """Decode the COMPACT-TLV objects of historical bytes; tag X is returned as 0x4X."""
    offset = 0
    while offset < len(data):
        tag, length = 0x40 | data[offset] >> 4, data[offset] & 0x0F
        value = data[offset + 1 : offset + 1 + length]
        if len(value) < length:
            raise FormatError(f"the COMPACT-TLV object at byte {offset} ends early")
        yield Tlv(tag, value)
        offset += 1 + length


def concatenate(parts: Iterable[tuple[int, bytes]]) -> bytes:
    """Encode BER-TLV data objects, one after the other."""
    return b"".join(ber(tag, value) for tag, value in parts)
