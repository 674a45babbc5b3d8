"""Transparent files: offsets, ends, whole visit records, short and extended length."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardlib.emulator.profile.card_options import CardOptions
from cardlib.layout import FILE_BY_PATH, FILES, FileSpec, Structure
from tests.cards.software_cards import Terminal, terminal

BINARY_FILES = [file for file in FILES if file.structure is Structure.TRANSPARENT]
PHOTO = FILE_BY_PATH["DDF1/EF07"]
VISIT = FILE_BY_PATH["DDF1/DF03/ED01"]
EVERY_FILE = pytest.mark.parametrize("file", BINARY_FILES, ids=lambda file: file.path)
MOST = 238
"""Bytes that fit one protected short command: 240 encrypted less the length and the padding."""


def at(file: FileSpec, options: CardOptions | None = None) -> Terminal:
    """A terminal at the file that may read and update it."""
    card = terminal(options=options) if options else terminal()
    card.select(file.path)
    card.authenticate(file.read_key, file.update_key)
    return card


def update(card: Terminal, file: FileSpec, offset: int, data: bytes) -> int:
    return card.sw(card.change(file, data, offset=offset))


def whole(card: Terminal, file: FileSpec) -> bytes:
    found = b""
    while len(found) < file.size:
        data, sw = card.send(f"00B0{len(found):04X}00")
        assert sw == 0x9000
        found += data
    return found


@EVERY_FILE
def test_an_unwritten_file_reads_ff_to_its_end(file: FileSpec) -> None:
    card = at(file)
    assert whole(card, file) == b"\xff" * file.size
    for offset in (file.size, file.size + 1, 0x7FFF):
        assert card.send(f"00B0{offset:04X}00") == (b"", 0x6B00)


@EVERY_FILE
def test_le_beyond_the_end_is_6282_and_le_00_is_all_there_is(file: FileSpec) -> None:
    card = at(file)
    start = file.size - 10
    assert card.send(f"00B0{start:04X}0A") == (b"\xff" * 10, 0x9000)
    assert card.send(f"00B0{start:04X}0B") == (b"\xff" * 10, 0x6282)
    assert card.send(f"00B0{start:04X}00") == (b"\xff" * 10, 0x9000)
    assert card.send(f"00B0{file.size - 1:04X}FF") == (b"\xff", 0x6282)


@EVERY_FILE
def test_a_file_is_written_whole_and_stays(file: FileSpec) -> None:
    card = at(file)
    content = bytes(7 * i & 0xFF for i in range(file.size))
    for offset in range(0, file.size, MOST):
        assert update(card, file, offset, content[offset : offset + MOST]) == 0x9000
    assert whole(card, file) == content
    card.card.reset()
    card.select(file.path)
    assert card.sw("00B0000000") == 0x6982
    card.authenticate(file.read_key)
    assert whole(card, file) == content
    others = [other for other in BINARY_FILES if other.df_path == file.df_path and other != file]
    for other in others:
        card.select(other.path)
        assert whole(card, other) == b"\xff" * other.size


@EVERY_FILE
def test_nothing_is_written_beyond_the_end(file: FileSpec) -> None:
    card = at(file)
    assert update(card, file, file.size - 3, b"abc") == 0x9000
    assert update(card, file, file.size - 2, b"xyz") == 0x6A84
    assert update(card, file, file.size, b"x") == 0x6B00
    assert update(card, file, 0x7FFF, b"x") == 0x6B00
    assert update(card, file, 0, b"") == 0x6700
    assert whole(card, file) == b"\xff" * (file.size - 3) + b"abc"


def test_without_le_the_bytes_are_fetched_by_get_response() -> None:
    card = at(PHOTO)
    assert update(card, PHOTO, 0, bytes(range(200))) == 0x9000
    assert card.send("00B00000") == (b"", 0x6100)
    data, sw = card.send("00C0000000")
    assert (data, sw) == (bytes(range(200)) + b"\xff" * 56, 0x9000)
    assert card.send(f"00B0{PHOTO.size - 5:04X}") == (b"", 0x6105)
    assert card.send("00C0000005") == (b"\xff" * 5, 0x9000)
    assert card.send("00B00000") == (b"", 0x6100)
    assert card.send("00C0000001") == (b"\0", 0x61FF)


@pytest.mark.parametrize("header", ["00B0", "00D6", "04D6", "00A0", "00D0", "000E"])
@pytest.mark.parametrize("p1", ["80", "87", "FF"])
@pytest.mark.parametrize("path", ["DDF1", PHOTO.path, VISIT.path, "DDF1/EF05"])
def test_there_are_no_short_file_identifiers(header: str, p1: str, path: str) -> None:
    card = terminal()
    card.select(path)
    assert card.sw(f"{header}{p1}000400000000") == 0x6A86


@EVERY_FILE
def test_record_commands_are_6981_on_binary_files(file: FileSpec) -> None:
    card = at(file)
    stk = "STK_" + file.df_path[-4:]
    assert card.sw("00B2010400") == 0x6981
    assert card.sw("00B2010500") == 0x6981
    assert card.sw(card.protected(stk, "04DC0104", b"x")) == 0x6981
    assert card.sw(card.protected(stk, "04DC0003", b"x")) == 0x6981
    assert card.sw(card.protected(stk, "84D20104")) == 0x6981
    assert card.sw(card.protected(stk, "840C0104")) == 0x6981


def test_the_longest_short_update_carries_238_bytes() -> None:
    card = at(VISIT)
    command = card.change(VISIT, bytes(MOST))
    assert (len(command), command[4]) == (5 + 244, 244)
    assert card.sw(command) == 0x9000
    assert whole(card, VISIT).startswith(bytes(MOST) + b"\xff")


def test_extended_length_works_where_it_is_on_and_is_6700_where_it_is_off() -> None:
    off = at(VISIT)
    assert off.sw("00B00000000000") == 0x6700
    assert off.sw("00B00000000CC3") == 0x6700
    on = at(VISIT, CardOptions(extended_length=True))
    assert update(on, VISIT, 0, b"visit") == 0x9000
    data, sw = on.send("00B00000000000")
    assert (len(data), sw) == (VISIT.size, 0x9000) and data.startswith(b"visit\xff")
    assert on.send("00B00000000CC3") == (data, 0x9000)
    assert on.send("00B00000000CC4") == (data, 0x6282)
    assert on.send("00B0") == (b"", 0x6700)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3300), st.binary(min_size=1, max_size=MOST)), max_size=8),
    st.lists(st.tuples(st.integers(0, 3300), st.integers(0, 255)), max_size=8),
)
def test_a_file_does_what_a_plain_array_does(
    updates: list[tuple[int, bytes]], reads: list[tuple[int, int]]
) -> None:
    card, content = at(VISIT), bytearray(b"\xff" * VISIT.size)
    for offset, data in updates:
        sw = update(card, VISIT, offset, data)
        if offset >= VISIT.size:
            assert sw == 0x6B00
        elif offset + len(data) > VISIT.size:
            assert sw == 0x6A84
        else:
            assert sw == 0x9000
            content[offset : offset + len(data)] = data
    for offset, le in reads:
        data, sw = card.send(f"00B0{offset:04X}{le:02X}")
        assert data == content[offset : offset + (le or 256)]
        cut = le and offset + le > VISIT.size
        assert sw == (0x6B00 if offset >= VISIT.size else 0x6282 if cut else 0x9000)
    assert whole(card, VISIT) == content
