"""Fields to bytes and back: every one of the 401, and no path from one state to another."""

import re
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardlib.errors import FormatError
from cardlib.layout import (
    FILE_BY_PATH,
    FILES,
    FieldSpec,
    FieldValue,
    Kind,
    State,
    code_table,
    decode,
    encode,
    value_in_words,
)
from tests.cards.field_values import SHAPES, values

ALL_FIELDS = [field for file in FILES for field in file.fields]
WITH_VALUE = (State.VALUE, State.NEGATIVE)
shapes = pytest.mark.parametrize(
    "field", SHAPES.values(), ids=lambda f: f"{f.coding}{f.length}-{f.kind}-{f.table}".strip("-")
)


def field_of(path: str, name: str) -> FieldSpec:
    return next(field for field in FILE_BY_PATH[path].fields if field.name == name)


SEX = field_of("DDF1/EF06", "sex")
NAME = field_of("DDF1/EF06", "name")
ID_NUMBER = field_of("DDF1/EF06", "resident_id_number")
BIRTH_DATE = field_of("DDF1/EF06", "birth_date")
ETHNICITY = field_of("DDF1/EF06", "ethnicity")
PHOTO = field_of("DDF1/EF07", "photo")
RH = field_of("DDF1/DF02/EF05", "rh_blood_group")
OCCUPATION = field_of("DDF1/DF01/EF07", "occupation")
BLOOD_GROUP = field_of("DDF1/DF02/EF05", "abo_blood_group")
ASTHMA = field_of("DDF1/DF02/EF05", "asthma")
MARK = field_of("DDF1/DF03/EF05", "inpatient_record_valid")
VISIT = field_of("DDF1/DF03/ED01", "visit_datetime")
AMOUNT = field_of("DDF1/DF03/ED01", "charge_amount_1")
AID = field_of("DDF1/DF04/EF05", "payment_application_aid")
CERTIFICATE = field_of("DDF1/EF05", "issuer_certificate")


@shapes
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_every_value_comes_back_as_it_was_stored(field: FieldSpec, data: st.DataObject) -> None:
    value = data.draw(values(field))
    raw = encode(field, value)
    assert len(raw) == field.length
    state, decoded, detail = decode(field, raw)
    negative = field.kind is Kind.FLAG and value == "0"
    assert (state, decoded, detail) == (State.NEGATIVE if negative else State.VALUE, value, "")


@shapes
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_bytes_have_exactly_one_state(field: FieldSpec, data: st.DataObject) -> None:
    exact = st.binary(min_size=field.length, max_size=field.length)
    raw = data.draw(st.one_of(exact, st.binary(max_size=field.length + 3)))
    state, value, detail = decode(field, raw)
    assert state in (*WITH_VALUE, State.UNWRITTEN, State.EMPTY, State.CORRUPT)
    assert (value is not None) == (state in WITH_VALUE)
    assert bool(detail) == (state is State.CORRUPT)
    assert state is not State.NEGATIVE or field.kind is Kind.FLAG
    assert state is not State.EMPTY or field.coding == "ans"
    if len(raw) != field.length:
        assert state is State.CORRUPT
    elif value is not None:
        again = encode(field, value)
        assert decode(field, again) == (state, value, "")


@pytest.mark.parametrize(
    "field", [f for f in SHAPES.values() if f.length == 1], ids=lambda f: f"{f.coding}-{f.table}"
)
def test_every_byte_of_a_one_byte_field_has_its_one_state(field: FieldSpec) -> None:
    seen: dict[str | bytes, int] = {}
    for octet in range(256):
        state, value, _ = decode(field, bytes((octet,)))
        assert (state is State.UNWRITTEN) == (octet == 0xFF)
        assert (state is State.EMPTY) == (field.coding == "ans" and octet in (0x00, 0x20))
        if value is not None:
            in_other_form = field.one_digit and octet < 0x10
            assert (value in seen) == (octet & 0x0F == 0x0F and field.one_digit)
            seen[value] = octet
            assert in_other_form or encode(field, value) == bytes((octet,))


def test_ff_everywhere_is_unwritten_in_every_field() -> None:
    for field in ALL_FIELDS:
        assert decode(field, b"\xff" * field.length) == (State.UNWRITTEN, None, "")


@pytest.mark.parametrize("blank", [b"\0", b" ", b"\0 ", b"  \0"])
def test_blanks_are_empty_in_text_fields_and_nowhere_else(blank: bytes) -> None:
    for field in ALL_FIELDS:
        state, value, _ = decode(field, (blank * field.length)[: field.length])
        assert (state is State.EMPTY) == (field.coding == "ans"), field.name
        assert field.coding != "ans" or value is None


def test_a_value_of_another_length_is_corrupt_in_every_field() -> None:
    for field in ALL_FIELDS:
        for size in (0, field.length - 1, field.length + 1):
            state, value, detail = decode(field, b"\xff" * size)
            assert (state, value) == (State.CORRUPT, None), field.name
            assert str(field.length) in detail


@pytest.mark.parametrize(
    ("field", "value", "raw"),
    [
        (RH, "2", "2F"),  # the specification's own examples
        (ETHNICITY, "01", "01"),
        (BLOOD_GROUP, "4", "04"),
        (ASTHMA, "1", "01"),
        (ASTHMA, "0", "00"),
        (MARK, "0", "00"),
        (SEX, "2", "02"),
        (BIRTH_DATE, "19800229", "19800229"),
        (VISIT, "20241231235959", "20241231235959"),
        (AMOUNT, "12.5", "12A5FFFF"),
        (AMOUNT, "0.01", "0A01FFFF"),
        (AMOUNT, "12345678", "12345678"),
        (NAME, "王䶮𠅤㛃·Ж", "CDF5FE9F9532A6328230B731A1A4A7A8" + "00" * 14),
        (AID, bytes.fromhex("A000000333010101"), "A000000333010101" + "FF" * 8),
        (PHOTO, b"\xff\xd8\xff\xd9", "0004FFD8FFD9" + "FF" * 3066),
        (PHOTO, b"\xff\xff", "0002FFFF" + "FF" * 3068),
        (PHOTO, bytes(3070), "0BFE" + "00" * 3070),
    ],
    ids=lambda value: value.name if isinstance(value, FieldSpec) else "",
)
def test_codings_are_those_of_the_specification(
    field: FieldSpec, value: str | bytes, raw: str
) -> None:
    coded = encode(field, value)
    assert coded.hex().upper() == raw
    assert decode(field, encode(field, value))[1] == value


def test_hexadecimal_text_stands_for_bytes() -> None:
    assert encode(AID, "A000000333010101") == encode(AID, bytes.fromhex("A000000333010101"))


def test_trailing_blanks_of_either_kind_are_no_part_of_a_text() -> None:
    raw = "王".encode("gb18030").ljust(20, b" ").ljust(NAME.length, b"\0")
    assert decode(NAME, raw) == (State.VALUE, "王", "")
    assert decode(NAME, b" x".ljust(NAME.length, b" "))[1] == " x"


REFUSED: list[tuple[FieldSpec, str | bytes, str]] = [
    (NAME, "王" * 16, "too long"),
    (NAME, "𠅤" * 8, "too long"),
    (NAME, "", "blank"),
    (NAME, "  ", "blank"),
    (NAME, "x ", "blank"),
    (NAME, "a\0b", "control"),
    (NAME, "a\nb", "control"),
    (NAME, "a\u2028b", "control"),
    (NAME, "\ud800", "surrogate"),
    (NAME, b"x", "text"),
    (ID_NUMBER, "11010519491231002Х", "not ASCII: Х"),
    (BIRTH_DATE, "20230229", "date"),
    (BIRTH_DATE, "2023022", "8 digits"),
    (BIRTH_DATE, "2023.228", "8 digits"),
    (BIRTH_DATE, "00000101", "date"),
    (VISIT, "20230228", "14 digits"),
    (VISIT, "20230228235960", "date"),
    (VISIT, "20230228240000", "date"),
    (ETHNICITY, "123", "too long"),
    (ETHNICITY, "1.", "point"),
    (ETHNICITY, "A", "number"),
    (ETHNICITY, "-1", "number"),
    (ETHNICITY, "\uff11", "number"),
    (ETHNICITY, "", "number"),
    (AMOUNT, "1.2.3", "number"),
    (AMOUNT, ".5", "number"),
    (AMOUNT, "5.", "number"),
    (AMOUNT, "1234567.8", "too long"),
    (AMOUNT, "+1", "number"),
    (ASTHMA, "2", "flag"),
    (ASTHMA, "yes", "flag"),
    (ASTHMA, b"\1", "flag"),
    (MARK, "1", "mark"),
    (BLOOD_GROUP, "10", "one-digit"),
    (BLOOD_GROUP, "x", "one-digit"),
    (BLOOD_GROUP, "\u0664", "one-digit"),
    (AID, "A0000003", "5 to 16"),
    (AID, bytes(17), "5 to 16"),
    (AID, bytes(6) + b"\xff", "FF"),
    (AID, "xyz", "hexadecimal"),
    (PHOTO, bytes(3071), "3070"),
    (PHOTO, b"", "bytes"),
    (CERTIFICATE, bytes(179), "exactly 180"),
    (CERTIFICATE, b"\xff" * 180, "unwritten"),
]


@pytest.mark.parametrize(
    ("field", "value", "why"), REFUSED, ids=lambda value: getattr(value, "name", "")
)
def test_what_cannot_be_stored_as_it_is_is_refused_with_the_reason(
    field: FieldSpec, value: str | bytes, why: str
) -> None:
    with pytest.raises(FormatError, match=why):
        encode(field, value)


@given(st.text(min_size=1, max_size=40))
def test_a_text_is_stored_whole_or_refused(text: str) -> None:
    try:
        raw = encode(NAME, text)
    except FormatError:
        return
    assert decode(NAME, raw) == (State.VALUE, text, "")


CORRUPT: list[tuple[FieldSpec, str, str]] = [
    (NAME, "81" + "00" * 29, "GB 18030"),
    (NAME, "41" * 29 + "CD", "GB 18030"),  # cut within a character
    (NAME, "410042" + "00" * 27, "control"),
    (NAME, "FF41" + "00" * 28, "GB 18030"),
    (NAME, "CDF5" + "FF" * 28, "FF from byte 2 on: not written to its end"),  # 王, then nothing
    (NAME, "CDF50000" + "FF" * 26, "FF from byte 4 on"),
    (NAME, "CDF5" + "FF" * 10 + "00" * 18, "FF from byte 2 on"),
    (NAME, "2020" + "FF" * 28, "FF from byte 2 on"),
    (NAME, "FF" * 29 + "00", "FF from byte 0 on"),
    (NAME, "00CDF5" + "00" * 27, "control"),
    (ID_NUMBER, "A3B1A3B0" + "00" * 14, "not ASCII: １"),
    (ETHNICITY, "F1", "nibble F"),
    (ETHNICITY, "B1", "nibble B"),
    (ETHNICITY, "1A", "point"),
    (BIRTH_DATE, "00000000", "date"),
    (BIRTH_DATE, "20231301", "date"),
    (BIRTH_DATE, "2023FFFF", "8 digits"),
    (AMOUNT, "A5FFFFFF", "number"),
    (AMOUNT, "1FF2FFFF", "nibble F"),
    (ASTHMA, "02", "02"),
    (MARK, "01", "01"),
    (BLOOD_GROUP, "0A", "0A"),
    (AID, "A0000003" + "FF" * 12, "AID"),
    (PHOTO, "0000" + "FF" * 3070, "length 0"),
    (PHOTO, "0BFF" + "FF" * 3070, "length 3071"),
]


@pytest.mark.parametrize(
    ("field", "raw", "why"), CORRUPT, ids=lambda value: getattr(value, "name", "")
)
def test_bytes_that_are_no_value_are_corrupt_and_say_why(
    field: FieldSpec, raw: str, why: str
) -> None:
    state, value, detail = decode(field, bytes.fromhex(raw))
    assert (state, value) == (State.CORRUPT, None)
    assert why in detail


def test_no_is_negative_for_flags_only() -> None:
    for field in ALL_FIELDS:
        if field.coding == "b" and field.length == 1:
            state = decode(field, b"\0")[0]
            assert (state is State.NEGATIVE) == (field.kind is Kind.FLAG)


@pytest.mark.parametrize(
    ("field", "raw", "why"),
    [
        (BLOOD_GROUP, b"\x09", "ABO blood group has no code 9"),
        (BLOOD_GROUP, b"\x00", "ABO blood group has no code 0"),
        (RH, b"\x4f", "Rh(D) blood group has no code 4"),
        (SEX, b"\x03", "Sex has no code 3"),
        (ETHNICITY, b"\x88", "Ethnicity has no code 88"),
    ],
)
def test_a_code_that_a_closed_table_lacks_is_corrupt_with_the_code(
    field: FieldSpec, raw: bytes, why: str
) -> None:
    assert decode(field, raw) == (State.CORRUPT, None, why)
    with pytest.raises(FormatError, match=re.escape(why)):
        encode(field, why.rsplit(maxsplit=1)[-1])


def test_a_code_that_an_open_table_lacks_is_a_value_labelled_as_unknown() -> None:
    assert decode(OCCUPATION, b"7XX") == (State.VALUE, "7XX", "")
    found = FieldValue(OCCUPATION, 3, State.VALUE, "7XX")
    assert value_in_words(found) == "unknown code 7XX of Occupation"
    assert value_in_words(found, "zh") == "职业代码未知代码 7XX"
    assert encode(OCCUPATION, "7XX") == b"7XX"


def test_every_code_of_every_closed_table_is_a_value() -> None:
    closed = [field for field in SHAPES.values() if field.table and code_table(field.table).closed]
    assert len(closed) == 6
    for field in closed:
        for code in code_table(field.table).codes:
            assert decode(field, encode(field, code)) == (State.VALUE, code, "")


def parses(text: str, form: str) -> bool:
    try:
        datetime.strptime(text, form)
    except ValueError:
        return False
    return True


def stores(field: FieldSpec, text: str) -> bool:
    try:
        return len(encode(field, text)) == field.length
    except FormatError:
        return False


parts = st.tuples(st.integers(0, 9999), st.integers(0, 19), st.integers(0, 39))


@given(parts)
def test_a_date_is_stored_if_the_calendar_has_it(day: tuple[int, int, int]) -> None:
    text = f"{day[0]:04}{day[1]:02}{day[2]:02}"
    assert stores(BIRTH_DATE, text) == parses(text, "%Y%m%d")
    assert stores(VISIT, text + "235959") == parses(text, "%Y%m%d")


@given(st.text("0123456789.٣ ", max_size=9))
def test_only_eight_digits_are_a_date(text: str) -> None:
    eight = len(text) == 8 and text.isascii() and text.isdigit()
    assert stores(BIRTH_DATE, text) == (eight and parses(text, "%Y%m%d"))
