"""BER-TLV, SIMPLE-TLV, COMPACT-TLV (ISO/IEC 7816-4:2020 6, 12.1.1.3) and DGIs (EMV CPS 1.1 2.2)."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .errors import FormatError


class Tlv(NamedTuple):
    """One data object: the tag as a number (0x87, 0x7F49, ...) and its value."""

    tag: int
    value: bytes


def ber_length(length: int) -> bytes:
    """A definite length field, 1 to 4 bytes (ISO/IEC 7816-4 table 7: up to 65535 needs 3)."""
    if length < 0x80:
        return bytes((length,))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    if len(octets) > 3:
        raise FormatError(f"value of {length} bytes is too long for a data object")
    return bytes((0x80 | len(octets),)) + octets


def ber(tag: int, value: bytes) -> bytes:
    """Encode one BER-TLV data object."""
    tag_bytes = tag.to_bytes(max(1, (tag.bit_length() + 7) // 8), "big")
    return tag_bytes + ber_length(len(value)) + value


def read_ber(data: bytes, offset: int = 0) -> tuple[Tlv, int]:
    """Decode the data object at `offset`; returns it and the offset after it."""
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
                raise FormatError(f"length of length {count} at byte {offset - 1}")
            if offset + count > len(data):
                raise IndexError
            length = int.from_bytes(data[offset : offset + count], "big")
            offset += count
    except IndexError:
        raise FormatError(f"data object at byte {start} ends early") from None
    if offset + length > len(data):
        raise FormatError(f"data object {tag:X} says {length} bytes, {len(data) - offset} are left")
    return Tlv(tag, data[offset : offset + length]), offset + length


def iter_ber(data: bytes) -> Iterator[Tlv]:
    """The data objects that follow one another in `data`."""
    offset = 0
    while offset < len(data):
        tlv, offset = read_ber(data, offset)
        yield tlv


def find_ber(data: bytes, *path: int) -> bytes | None:
    """The value at a path of tags, each inside the one before; None where there is none."""
    for tag in path:
        for tlv in iter_ber(data):
            if tlv.tag == tag:
                data = tlv.value
                break
        else:
            return None
    return data


def simple(tag: int, value: bytes) -> bytes:
    """Encode one SIMPLE-TLV data object: tag 01..FE, length 1 byte, or FF and 2."""
    if not 0x01 <= tag <= 0xFE:
        raise FormatError(f"{tag:X} is no SIMPLE-TLV tag")
    return bytes((tag,)) + _length_1_or_3(len(value)) + value


def iter_simple(data: bytes) -> Iterator[Tlv]:
    """The SIMPLE-TLV data objects that follow one another in `data`."""
    return _iter_fixed_tag(data, 1)


def dgi(tag: int, value: bytes) -> bytes:
    """Encode one data grouping: DGI 2 bytes, length 1 byte, or FF and 2 (EMV CPS 1.1 2.2)."""
    if not 0 <= tag <= 0xFFFF:
        raise FormatError(f"{tag:X} is no DGI")
    return tag.to_bytes(2, "big") + _length_1_or_3(len(value)) + value


def iter_dgi(data: bytes) -> Iterator[Tlv]:
    """The data groupings that follow one another in `data`."""
    return _iter_fixed_tag(data, 2)


def _length_1_or_3(length: int) -> bytes:
    if length < 0xFF:
        return bytes((length,))
    if length > 0xFFFF:
        raise FormatError(f"value of {length} bytes, at most 65535 fit")
    return b"\xff" + length.to_bytes(2, "big")


def _iter_fixed_tag(data: bytes, tag_size: int) -> Iterator[Tlv]:
    offset = 0
    while offset < len(data):
        start, offset = offset, offset + tag_size
        size = 3 if data[offset : offset + 1] == b"\xff" else 1
        field = data[offset : offset + size]
        offset += size
        if len(field) < size:
            raise FormatError(f"data object at byte {start} ends early")
        length = field[0] if size == 1 else int.from_bytes(field[1:], "big")
        if offset + length > len(data):
            raise FormatError(f"data object at byte {start} says {length} bytes, fewer are left")
        tag = int.from_bytes(data[start : start + tag_size], "big")
        yield Tlv(tag, data[offset : offset + length])
        offset += length


def iter_compact(data: bytes) -> Iterator[Tlv]:
    """COMPACT-TLV of historical bytes; tags are given as 0x4X (ISO/IEC 7816-4 12.1.1.3)."""
    offset = 0
    while offset < len(data):
        tag, length = 0x40 | data[offset] >> 4, data[offset] & 0x0F
        value = data[offset + 1 : offset + 1 + length]
        if len(value) < length:
            raise FormatError(f"COMPACT-TLV object at byte {offset} ends early")
        yield Tlv(tag, value)
        offset += 1 + length


def concatenate(parts: Iterable[tuple[int, bytes]]) -> bytes:
    """BER-TLV data objects, one after the other."""
    return b"".join(ber(tag, value) for tag, value in parts)
