"""BER-TLV, SIMPLE-TLV, COMPACT-TLV and data groupings: there and back, and never a surprise."""

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardlib.errors import FormatError
from cardlib.tlv import (
    Tlv,
    ber,
    ber_length,
    concatenate,
    dgi,
    find_ber,
    iter_ber,
    iter_compact,
    iter_dgi,
    iter_simple,
    read_ber,
    simple,
)

values = st.one_of(
    st.binary(max_size=40), st.sampled_from([126, 127, 128, 254, 255, 256, 65535]).map(bytes)
)
ber_tags = st.one_of(
    st.integers(0x01, 0xFE).filter(lambda tag: tag & 0x1F != 0x1F),
    st.builds(lambda first, last: (first | 0x1F) << 8 | last, st.integers(0, 255),
              st.integers(0, 0x7F)),
    st.builds(lambda first, middle, last: (first | 0x1F) << 16 | (middle | 0x80) << 8 | last,
              st.integers(0, 255), st.integers(0, 255), st.integers(0, 0x7F)),
)  # fmt: skip


@given(st.lists(st.tuples(ber_tags, values), max_size=4))
def test_ber_objects_come_back_as_they_were_coded(objects: list[tuple[int, bytes]]) -> None:
    assert [tuple(item) for item in iter_ber(concatenate(objects))] == objects


@given(st.lists(st.tuples(st.integers(1, 0xFE), values), max_size=4))
def test_simple_objects_come_back_as_they_were_coded(objects: list[tuple[int, bytes]]) -> None:
    coded = b"".join(simple(tag, value) for tag, value in objects)
    assert [tuple(item) for item in iter_simple(coded)] == objects


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), values), max_size=4))
def test_data_groupings_come_back_as_they_were_coded(objects: list[tuple[int, bytes]]) -> None:
    coded = b"".join(dgi(tag, value) for tag, value in objects)
    assert [tuple(item) for item in iter_dgi(coded)] == objects


@given(st.lists(st.tuples(st.integers(0x40, 0x4F), st.binary(max_size=15)), max_size=4))
def test_compact_objects_come_back_as_they_were_coded(objects: list[tuple[int, bytes]]) -> None:
    coded = b"".join(bytes(((tag & 0x0F) << 4 | len(value),)) + value for tag, value in objects)
    assert [tuple(item) for item in iter_compact(coded)] == objects


def test_lengths_take_the_bytes_the_standards_give_them() -> None:
    assert [ber_length(n).hex() for n in (0, 127, 128, 255, 256, 65535, 65536)] == [
        "00", "7f", "8180", "81ff", "820100", "82ffff", "83010000",
    ]  # fmt: skip
    assert ber(0x7F49, b"\1").hex() == "7f490101"
    assert simple(1, bytes(254))[:2].hex() == "01fe"
    assert simple(1, bytes(255))[:4].hex() == "01ff00ff"
    assert dgi(0x8101, b"x").hex() == "81010178"
    assert dgi(0x0300, bytes(3072))[:5].hex() == "0300ff0c00"


@pytest.mark.parametrize(
    "encode",
    [
        lambda: simple(0x00, b""), lambda: simple(0xFF, b""), lambda: simple(1, bytes(65536)),
        lambda: dgi(1, bytes(65536)), lambda: ber(1, bytes(1 << 24)),
        lambda: dgi(0x10000, b""), lambda: dgi(-1, b""),
    ],
)  # fmt: skip
def test_what_cannot_be_coded_is_a_format_error(encode: Callable[[], bytes]) -> None:
    with pytest.raises(FormatError):
        encode()


DECODERS: list[Callable[[bytes], Iterable[Tlv]]] = [iter_ber, iter_simple, iter_dgi, iter_compact]


@given(st.sampled_from(DECODERS), st.binary(max_size=40))
def test_any_bytes_are_objects_or_a_format_error(
    decode: Callable[[bytes], Iterable[Tlv]], raw: bytes
) -> None:
    try:
        objects = list(decode(raw))
    except FormatError:
        return
    assert sum(len(item.value) for item in objects) <= len(raw)


@given(ber_tags, values.filter(bool), st.data())
def test_an_object_cut_anywhere_is_a_format_error(
    tag: int, value: bytes, draw: st.DataObject
) -> None:
    for coded, decode in (
        (ber(tag, value), iter_ber),
        (simple(0x41, value), iter_simple),
        (dgi(0x0101, value), iter_dgi),
    ):
        cut = draw.draw(st.integers(1, len(coded) - 1))
        with pytest.raises(FormatError):
            list(decode(coded[:cut]))


@pytest.mark.parametrize(
    "raw",
    ["80", "1f", "1f80", "1fff", "8080", "80840000000101", "8081", "808201", "8005aa", "80ff"],
)
def test_malformed_ber_is_a_format_error(raw: str) -> None:
    with pytest.raises(FormatError):
        list(iter_ber(bytes.fromhex(raw)))


def test_reading_at_an_offset_says_where_the_next_object_begins() -> None:
    coded = bytes.fromhex("8001aa") + bytes.fromhex("9f1702bbcc") + b"\x82\0"
    first, offset = read_ber(coded)
    second, offset = read_ber(coded, offset)
    assert (first, second, offset) == (Tlv(0x80, b"\xaa"), Tlv(0x9F17, b"\xbb\xcc"), 8)


def test_a_path_of_tags_finds_the_innermost_value() -> None:
    fci = bytes.fromhex("6f1084020102a50ac103100101c203333435")
    assert find_ber(fci, 0x6F, 0xA5, 0xC1) == b"\x10\x01\x01"
    assert find_ber(fci, 0x6F, 0xA5, 0xC3) is None
    assert find_ber(fci, 0x62) is None
    assert find_ber(fci) == fci
