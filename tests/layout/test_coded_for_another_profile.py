"""What was written for one profile, read by a host of another: the value, or why there is none.

Reading takes no profile, so a host cannot read a value as another one by taking the wrong profile.
What a card may hold that is not from us is tried as well: other fillings, other lengths.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardlib.errors import FormatError
from cardlib.layout import (
    FILE_BY_PATH,
    FILES,
    FieldSpec,
    FileSpec,
    State,
    code_table,
    decode,
    decode_record,
    encode,
    encode_record,
)
from cardlib.layout.card_profile import FIELD, RHCARD, CardProfile
from tests.cards.field_bench import PHOTO
from tests.cards.field_values import SHAPES, values

PROFILES = [
    base.having({"one_digit_code": code, "blank_text": blank})
    for base in (RHCARD, FIELD)
    for code in ("nF", "0n")
    for blank in ("unwritten", "00", "20")
]
WITHOUT = (State.UNWRITTEN, State.EMPTY, State.CORRUPT)
PICTURE = FILE_BY_PATH["DDF1/EF07"].fields[0]
NAME = FILE_BY_PATH["DDF1/EF06"].fields[0]
TLV_RECORDS = [
    (file, number) for file in FILES if file.is_tlv for number in range(1, file.records + 1)
]


def shape(field: FieldSpec) -> str:
    return f"{field.coding}{field.length}-{field.kind}-{field.table}".strip("-")


def is_that_or_none(decoded: tuple[State, str | bytes | None, str], value: str | bytes) -> None:
    """The field has this value, or none, and then the state says why."""
    state, found, why = decoded
    if state in (State.VALUE, State.NEGATIVE):
        assert found == value
    else:
        assert state in WITHOUT and found is None
        assert why or state is not State.CORRUPT


@pytest.mark.parametrize("field", SHAPES.values(), ids=shape)
@settings(max_examples=15, deadline=None)
@given(st.data(), st.sampled_from(PROFILES))
def test_every_field_is_read_as_it_was_written(
    field: FieldSpec, data: st.DataObject, profile: CardProfile
) -> None:
    value = data.draw(values(field))
    state, found, _ = decode(field, encode(field, value, profile))
    assert (found, state) in ((value, State.VALUE), ("0", State.NEGATIVE))
    assert found == value


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(FILES), st.sampled_from(PROFILES))
def test_a_record_with_some_fields_left_out_gives_the_others_and_no_value_for_these(
    data: st.DataObject, file: FileSpec, profile: CardProfile
) -> None:
    number = data.draw(st.integers(1, file.records))
    fields = file.fields_of(number)
    some = data.draw(st.sets(st.sampled_from(fields), max_size=6))
    written = {field.name: data.draw(values(field)) for field in some}
    for read in decode_record(file, number, encode_record(file, number, written, profile)):
        if read.field.name in written:
            assert read.value == written[read.field.name]
            continue
        is_text = read.field.coding == "ans" and profile.blank_text != "unwritten"
        assert read.state is (State.EMPTY if is_text else State.UNWRITTEN)


def test_no_byte_of_a_code_can_be_two_codes() -> None:
    """0n and nF stand for n where codes have one digit, and such a table has no code 0n."""
    for field in (field for file in FILES for field in file.fields if field.table):
        if field.coding != "cn" or field.length != 1:
            continue
        for code in code_table(field.table).codes:
            assert len(code) == 2 or field.one_digit, (field.name, code)
            assert not (field.one_digit and len(code) == 2 and code[0] == "0"), (field.name, code)


@pytest.mark.parametrize("field", [f for f in SHAPES.values() if f.coding == "ans"], ids=shape)
@settings(max_examples=15, deadline=None)
@given(st.data())
def test_a_text_is_read_whatever_fills_the_rest(field: FieldSpec, data: st.DataObject) -> None:
    value = data.draw(values(field))
    raw = encode(field, value).rstrip(b"\0 ")
    for fill in (b"\0", b" ", b"\xff"):
        rest = fill * (field.length - len(raw))
        is_that_or_none(decode(field, raw + rest), value)
    blanks = data.draw(
        st.lists(st.sampled_from((0, 0x20)), min_size=field.length, max_size=field.length)
    )
    assert decode(field, raw + bytes(blanks)[len(raw) :])[1] == value


@pytest.mark.parametrize(
    ("file", "number"), TLV_RECORDS, ids=lambda each: getattr(each, "path", each)
)
def test_a_record_of_another_length_is_corrupt(file: FileSpec, number: int) -> None:
    record = encode_record(file, number, {}, FIELD)
    (tag, length), filled = record[:2], (b"\0", b"\xff", b" ", b"\0" * 9, b"\x5a\x01\x01")
    others = [record + fill for fill in filled] + [record[:size] for size in range(len(record))]
    others += [
        bytes((tag, length - 1)) + record[2:-1],
        bytes((tag, length + 1)) + record[2:] + b"\0",
    ]
    others += [bytes((tag ^ 1, length)) + record[2:], b"\0" * len(record), b" " * len(record)]
    for raw in others:
        for read in decode_record(file, number, raw):
            assert (read.state, read.value) == (State.CORRUPT, None), raw.hex()
            assert read.detail


# --- the length before a photo ---------------------------------------------------------------


@pytest.mark.parametrize("fill", [b"\xff", b"\0", b" ", b"\x5a"], ids=["FF", "00", "20", "remains"])
def test_a_photo_with_any_wrong_length_is_the_picture_or_corrupt(fill: bytes) -> None:
    room = PICTURE.length - 2
    for length in [*range(600), *range(room - 5, 0x10000, 997), room, room + 1, 0xFFFF]:
        raw = length.to_bytes(2, "big") + PHOTO.ljust(room, fill)
        is_that_or_none(decode(PICTURE, raw), PHOTO)
        if length < len(PHOTO):
            assert decode(PICTURE, raw)[0] is State.CORRUPT, length


def test_a_photo_whose_length_counts_what_fills_it_up_is_the_picture() -> None:
    for fill in (b"\xff", b"\0", b" "):
        raw = b"\x0b\xfe" + PHOTO.ljust(PICTURE.length - 2, fill)
        assert decode(PICTURE, raw) == (State.VALUE, PHOTO, "")


def test_a_photo_that_is_cut_off_says_so_and_is_not_written() -> None:
    raw = encode(PICTURE, PHOTO)
    state, _, why = decode(PICTURE, b"\0\x50" + raw[2:])
    assert (state, why) == (
        State.CORRUPT, "a JPEG that does not end (FFD9) after 80 bytes, as its length says",
    )  # fmt: skip
    for wrong in (PHOTO[:-1], PHOTO + b"\xff", PHOTO + b"\0"):
        with pytest.raises(FormatError, match="must end in FFD9"):
            encode(PICTURE, wrong)


def test_a_picture_of_another_form_is_taken_as_its_length_says() -> None:
    """JPEG 2000, PNG: what is no JPEG has its end where the length says."""
    for other in (b"\x89PNG\r\n\x1a\n\0", b"\0\0\0\x0cjP  \xff"):
        assert decode(PICTURE, encode(PICTURE, other)) == (State.VALUE, other, "")
