"""Records: reading by number, tag and in one go; updating, appending, marking, erasing."""

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardlib.emulator.profile.card_state import KEY_TRIES
from cardlib.layout import FILE_BY_PATH, FILES, KEY_BY_NAME, FileSpec, Structure
from tests.cards.software_cards import AUTHENTICATING, Terminal, is_index, sample, terminal

RECORD_FILES = [file for file in FILES if file.structure is not Structure.TRANSPARENT]
TLV_FILES = [file for file in FILES if file.is_tlv]
CYCLIC_FILES = [file for file in FILES if file.structure is Structure.CYCLIC]
INDEXES = [FILE_BY_PATH["DDF1/DF03/EF05"], FILE_BY_PATH["DDF1/DF03/EF06"]]
ISSUER = FILE_BY_PATH["DDF1/EF05"]
EMERGENCY = FILE_BY_PATH["DDF1/DF02/EF05"]
ALLERGIES = FILE_BY_PATH["DDF1/DF02/EF07"]
HOSPITALS = FILE_BY_PATH["DDF1/DF05/EF05"]


def by_path(files: list[FileSpec]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("file", files, ids=lambda file: file.path)


def at(file: FileSpec) -> Terminal:
    """A terminal with every right and the PIN, at the file."""
    card = terminal()
    card.select(file.df_path)
    names = [name for name in AUTHENTICATING if name.endswith((file.df_path[-4:], "_DDF1", "_MF"))]
    card.authenticate(*names)
    card.verify_pin()
    card.select(file.path)
    return card


def unwritten(file: FileSpec, record: int) -> bytes:
    field = file.fields_of(record)[0]
    length = sum(field.length for field in file.fields_of(record))
    head = b"" if field.tag is None else bytes((field.tag, field.length))
    return head + b"\xff" * length


@by_path([file for file in RECORD_FILES if file.structure is not Structure.CYCLIC])
def test_every_record_is_there_from_the_start_and_reads_ff(file: FileSpec) -> None:
    card = at(file)
    for record in range(1, file.records + 1):
        assert card.read(file, record) == (unwritten(file, record), 0x9000)
    for record in (0, file.records + 1, 0xFF):
        assert card.read(file, record) == (b"", 0x6A83)


@by_path(CYCLIC_FILES)
def test_a_cyclic_file_holds_what_was_appended(file: FileSpec) -> None:
    card = at(file)
    for record in (0, 1, file.records):
        assert card.read(file, record) == (b"", 0x6A83)
    assert card.sw("00B2010500") == 0x6A83


@by_path(TLV_FILES)
def test_tlv_records_are_read_by_tag_too(file: FileSpec) -> None:
    card = at(file)
    tags = [field.tag for field in file.fields]
    for record, tag in enumerate(tags, 1):
        assert card.send(f"00B2{tag:02X}0000") == card.read(file, record)
    for tag in {0x00, 0x7F, 0xFF, *range(1, 80)} - set(tags):
        assert card.sw(f"00B2{tag:02X}0000") == 0x6A83


@by_path([file for file in RECORD_FILES if not file.is_tlv])
def test_other_records_have_no_tag(file: FileSpec) -> None:
    assert at(file).sw("00B2010000") == 0x6A86


@by_path(RECORD_FILES)
@pytest.mark.parametrize("p2", [0x01, 0x02, 0x03, 0x06, 0x07, 0x08, 0x2C, 0x04 | 0x80, 0xF8, 0xFF])
def test_no_other_p2_is_taken_short_identifiers_least(file: FileSpec, p2: int) -> None:
    card = at(file)
    assert card.sw(f"00B201{p2:02X}00") == 0x6A86
    if p2 & 0xF8:
        card.card.reset()
        for df in ("MF", file.df_path):
            card.select(df)
            assert card.sw(f"00B201{p2:02X}00") == 0x6A86
            assert card.sw(f"00DC01{p2:02X}0100") == 0x6A86


@by_path([file for file in RECORD_FILES if file.structure is not Structure.CYCLIC])
@pytest.mark.parametrize("le", [0, 255, 200, 64, 7])
def test_p2_05_reads_as_many_whole_records_as_fit(file: FileSpec, le: int) -> None:
    card = at(file)
    for first in range(1, file.records + 1):
        found = unwritten(file, first)
        for record in range(first + 1, file.records + 1):
            if len(found) + file.record_length(record) > (le or 256):
                break
            found += unwritten(file, record)
        data, sw = card.send(f"00B2{first:02X}05{le:02X}")
        if len(found) > (le or 256):
            assert (data, sw) == (b"", 0x6C00 | len(found))
        else:
            assert (data, sw) == (found, 0x9000)
    assert card.sw(f"00B2{file.records + 1:02X}05{le:02X}") == 0x6A83
    assert card.sw(f"00B20005{le:02X}") == 0x6A83


def test_emergency_data_is_one_command() -> None:
    data, sw = at(EMERGENCY).send("00B2010500")
    assert (len(data), sw) == (EMERGENCY.size, 0x9000) == (84, 0x9000)


def test_without_le_the_record_is_fetched_by_get_response() -> None:
    card = at(EMERGENCY)
    whole, _ = card.send("00B2010500")
    assert card.send("00B20105") == (b"", 0x6100 | 84)
    assert card.send("00C0000000") == (whole, 0x9000)
    assert card.send("00C0000000") == (b"", 0x6985)
    assert card.sw("00B20105") == 0x6154
    first, sw = card.send("00C0000020")
    assert (len(first), sw) == (32, 0x6100 | 52)
    rest, sw = card.send("00C0000034")
    assert (first + rest, sw) == (whole, 0x9000)


def test_get_response_gives_only_what_the_last_command_left() -> None:
    card = at(EMERGENCY)
    assert card.sw("00B20105") == 0x6154
    assert card.sw("0084000008") == 0x9000
    assert card.sw("00C0000000") == 0x6985
    assert card.sw("00B20105") == 0x6154
    card.card.reset()
    assert card.sw("00C0000000") == 0x6985
    assert card.sw("00C0010000") == 0x6985


def test_a_small_le_is_6cxx_and_a_large_one_is_no_error() -> None:
    card = at(ISSUER)
    assert card.send("00B2030401") == (b"", 0x6C20)
    assert card.send("00B2030420") == (unwritten(ISSUER, 3), 0x9000)
    assert card.send("00B20304FF") == (unwritten(ISSUER, 3), 0x9000)


@by_path([file for file in TLV_FILES if file.update_key != "NEVER"] + [HOSPITALS])
def test_every_record_is_updated_by_itself_and_stays(file: FileSpec) -> None:
    card = at(file)
    expected = [unwritten(file, record) for record in range(1, file.records + 1)]
    for record in range(1, file.records + 1):
        new = sample(file, record, seed=record)
        assert card.sw(card.change(file, new, record=record)) == 0x9000
        expected[record - 1] = new
        found = [card.read(file, number) for number in range(1, file.records + 1)]
        assert found == [(raw, 0x9000) for raw in expected]
    assert card.sw(card.change(file, sample(file), record=file.records + 1)) == 0x6A83
    card.card.reset()
    card.select(file.df_path)
    card.authenticate(file.read_key)
    card.select(file.path)
    assert [card.read(file, n)[0] for n in range(1, file.records + 1)] == expected


def test_a_record_of_another_tag_or_length_is_6a80_and_nothing_changes() -> None:
    card = at(EMERGENCY)
    right = sample(EMERGENCY, 2)
    spec = KEY_BY_NAME["STK_DF02"]
    for wrong in (
        b"", right[:-1], right + b"\0", b"\x29" + right[1:], right[:1] + b"\x02" + right[2:],
        right[2:], right[:2],
    ):  # fmt: skip
        assert card.sw(card.change(EMERGENCY, wrong, record=2)) == 0x6A80
        assert card.read(EMERGENCY, 2) == (unwritten(EMERGENCY, 2), 0x9000)
        stored = card.card.state.card_key(spec)
        assert stored and stored.tries == KEY_TRIES, "the MAC was right: no try is spent"
    card.select(HOSPITALS.path)
    card.authenticate("RK1_DF05", "UK1_DF05")
    for data in (b"", bytes(31), bytes(33)):
        assert card.sw(card.change(HOSPITALS, data)) == 0x6A80


@by_path(CYCLIC_FILES)
def test_the_newest_record_is_number_1_and_the_oldest_makes_room(file: FileSpec) -> None:
    card = at(file)
    newest_first: deque[bytes] = deque(maxlen=file.records)
    for number in range(2 * file.records + 2):
        new = sample(file, seed=number + 1)
        assert card.sw(card.change(file, new)) == 0x9000
        newest_first.appendleft(new)
        for record in range(1, file.records + 3):
            there = record <= len(newest_first)
            expected = (newest_first[record - 1], 0x9000) if there else (b"", 0x6A83)
            assert card.read(file, record) == expected
    data, sw = card.send("00B2010500")
    whole = b"".join(newest_first)
    fits = 256 // file.record_length(1) * file.record_length(1)
    assert (data, sw) == (whole[:fits], 0x9000)


@by_path(CYCLIC_FILES)
def test_a_cyclic_file_is_appended_to_and_nothing_else(file: FileSpec) -> None:
    card = at(file)
    assert card.sw(card.change(file, sample(file))) == 0x9000
    stk = "STK_DF02"
    assert card.sw(card.protected(stk, "04DC0104", sample(file))) == 0x6981
    assert card.sw(card.protected(stk, "04DC0103", sample(file))) == 0x6A86
    assert card.sw(card.protected(stk, "04DC0003", sample(file)[:-1])) == 0x6A80
    assert card.sw(card.protected(stk, "04DC0003", sample(file) + b"\0")) == 0x6A80
    assert card.read(file, 2) == (b"", 0x6A83)


@by_path([file for file in RECORD_FILES if file.structure is not Structure.CYCLIC])
def test_a_linear_file_is_not_appended_to(file: FileSpec) -> None:
    card = at(file)
    stk = "STK_" + file.df_path[-4:]
    never = file.update_key == "NEVER"
    sw = card.sw(card.protected(stk, "04DC0003", sample(file)))
    assert sw == (0x6985 if never else 0x6981)


@by_path(INDEXES)
def test_a_mark_is_set_to_00_and_erased_to_ff(file: FileSpec) -> None:
    card = at(file)
    for record in range(1, file.records + 1):
        assert card.read(file, record) == (b"\xff", 0x9000)
        for _ in range(2):
            assert card.sw(card.change(file, b"", record=record)) == 0x9000
            assert card.read(file, record) == (b"\x00", 0x9000)
    for record in range(1, file.records + 1):
        assert card.sw(card.erasure(file, record)) == 0x9000
        assert card.read(file, record) == (b"\xff", 0x9000)
    assert card.sw(card.change(file, b"", record=file.records + 1)) == 0x6A83
    assert card.sw(card.erasure(file, file.records + 1)) == 0x6A83


@by_path(INDEXES)
def test_a_mark_takes_no_data_and_is_not_updated(file: FileSpec) -> None:
    card = at(file)
    assert card.sw(card.protected("STK_DF03", "84D20104", b"\x55")) == 0x6A80
    assert card.sw(card.protected("STK_DF03", "840C0104", b"\x55")) == 0x6A80
    assert card.sw(card.protected("STK_DF03", "04DC0104", b"\xff")) == 0x6981
    assert card.sw(card.protected("STK_DF03", "84D20103")) == 0x6A86
    assert card.read(file, 1) == (b"\xff", 0x9000)


def test_a_hospital_link_is_erased_to_ff() -> None:
    card = at(HOSPITALS)
    for record in (1, 20):
        assert card.sw(card.change(HOSPITALS, sample(HOSPITALS), record=record)) == 0x9000
        assert card.read(HOSPITALS, record)[0] == sample(HOSPITALS)
        assert card.sw(card.erasure(HOSPITALS, record)) == 0x9000
        assert card.read(HOSPITALS, record) == (b"\xff" * 32, 0x9000)


@by_path(RECORD_FILES)
def test_binary_commands_are_6981_on_records(file: FileSpec) -> None:
    card = at(file)
    assert card.sw("00B0000000") == 0x6981
    assert card.sw("00A0000001AA") == 0x6981
    assert card.sw(card.protected("STK_" + file.df_path[-4:], "04D60000", b"x")) == 0x6981


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_records_are_what_was_last_written(data: st.DataObject) -> None:
    files = [file for file in RECORD_FILES if file.df_path == "DDF1/DF02"] + INDEXES
    card = terminal()
    model: dict[str, list[bytes]] = {
        file.path: []
        if file.structure is Structure.CYCLIC
        else [unwritten(file, n) for n in range(1, file.records + 1)]
        for file in files
    }
    for step in range(data.draw(st.integers(1, 8))):
        file = data.draw(st.sampled_from(files))
        records = model[file.path]
        card.select(file.path)
        keys = {file.read_key, file.update_key, file.erase_key} - {"NEVER"}
        card.authenticate(*keys)
        record = data.draw(st.integers(1, file.records))
        new = sample(file, record, seed=step)
        if is_index(file) and data.draw(st.booleans()):
            assert card.sw(card.erasure(file, record)) == 0x9000
            records[record - 1] = b"\xff"
        elif file.structure is Structure.CYCLIC:
            assert card.sw(card.change(file, new)) == 0x9000
            model[file.path] = [new, *records][: file.records]
        else:
            assert card.sw(card.change(file, new, record=record)) == 0x9000
            records[record - 1] = new
        if data.draw(st.booleans()):
            card.card.reset()
    for file in files:
        card.select(file.path)
        card.authenticate(file.read_key)
        found = [card.read(file, number) for number in range(1, file.records + 1)]
        present = [(raw, 0x9000) for raw in model[file.path]]
        assert found == present + [(b"", 0x6A83)] * (file.records - len(present))
