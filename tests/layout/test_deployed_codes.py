"""Codes and blanks as deployed cards have them (card specification 10, amendment 12)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardlib.errors import FormatError
from cardlib.layout import (
    FILE_BY_PATH,
    FILES,
    FieldSpec,
    State,
    decode,
    decode_record,
    encode,
    encode_record,
)
from cardlib.layout.card_profile import FIELD, RHCARD, CardProfile
from tests.cards.field_values import SHAPES, values

EMERGENCY = FILE_BY_PATH["DDF1/DF02/EF05"]
ALL_FIELDS = [field for file in FILES for field in file.fields]
FIELDS = {field.name: field for field in ALL_FIELDS}
DIGITS = "0123456789"

VISIT_FIELDS = (
    "admission_condition",
    "serology_result_1",
    "diagnosis_agreement_1",
    "treatment_outcome_1",
    "anesthesia_code_1",
    "incision_healing_1",
    "transfusion_product_1",
    "test_result_code_1",
)
RH = {0x01: "1", 0x02: "2", 0x03: "3", 0x1F: "1", 0x2F: "2", 0x3F: "3"}
ABO = {0x01: "1", 0x02: "2", 0x03: "3", 0x04: "4", 0x05: "5"}
TWO_DIGITS = ("ethnicity", "marital_status", "document_type", "payment_method", "drug_form_1")
PROFILES = [
    RHCARD.having({"one_digit_code": code, "blank_text": blank})
    for code in ("nF", "0n")
    for blank in ("unwritten", "00", "20")
]


def code_in_nibbles(octet: int) -> str | None:
    """What two nibbles say where both forms are read: a code of one digit or of two, or nothing."""
    first, second = tuple(f"{octet:02X}")
    if first not in DIGITS or second not in DIGITS + "F":
        return None
    if second == "F":
        return first
    return second if first == "0" else first + second


@pytest.mark.parametrize(("name", "table"), [("rh_blood_group", RH), ("abo_blood_group", ABO)])
def test_each_of_the_256_bytes_of_a_blood_group_is_read_as_one_thing(
    name: str, table: dict[int, str]
) -> None:
    for octet in range(256):
        state, value, why = decode(FIELDS[name], bytes((octet,)))
        if octet == 0xFF:
            assert (state, value) == (State.UNWRITTEN, None)
        elif octet in table:
            assert (state, value) == (State.VALUE, table[octet])
        else:
            assert (state, value) == (State.CORRUPT, None), f"{octet:02X}"
            assert why


@pytest.mark.parametrize("name", VISIT_FIELDS)
def test_each_of_the_256_bytes_of_a_one_digit_visit_code_is_read_as_one_thing(name: str) -> None:
    for octet in range(256):
        state, value, _ = decode(FIELDS[name], bytes((octet,)))
        if octet == 0xFF:
            assert (state, value) == (State.UNWRITTEN, None)
        else:
            code = code_in_nibbles(octet)
            assert (state, value) == (State.VALUE if code else State.CORRUPT, code), f"{octet:02X}"


def test_rh_and_eight_visit_fields_have_one_digit_codes_and_no_others() -> None:
    found = {field.name.rstrip(DIGITS) for field in ALL_FIELDS if field.one_digit}
    assert found == {"rh_blood_group", *(name.rstrip(DIGITS) for name in VISIT_FIELDS)}
    assert all(f.coding == "cn" and f.length == 1 for f in ALL_FIELDS if f.one_digit)


@pytest.mark.parametrize("name", TWO_DIGITS)
def test_a_zero_before_a_digit_belongs_to_a_code_of_two_digits(name: str) -> None:
    for octet in (0x10, 0x20, 0x30, 0x40):
        assert decode(FIELDS[name], bytes((octet,)))[1] in (None, f"{octet:02X}")
    for octet in range(1, 10):
        assert decode(FIELDS[name], bytes((octet,)))[1] in (None, f"0{octet}")
    assert encode(FIELDS["ethnicity"], "01", FIELD) == b"\x01"


@pytest.mark.parametrize("name", ["rh_blood_group", *VISIT_FIELDS])
def test_a_one_digit_code_is_written_in_the_form_that_was_asked_for(name: str) -> None:
    field = FIELDS[name]
    for digit in "123":
        assert encode(field, digit).hex().upper() == f"{digit}F"
        other = encode(field, digit, FIELD)
        assert other.hex() == f"0{digit}"
        assert decode(field, other) == decode(field, encode(field, digit))
        with pytest.raises(FormatError, match=f"no code 0{digit}|write {digit}"):
            encode(field, f"0{digit}")


@pytest.mark.parametrize("name", ["anesthesia_code_1", "transfusion_product_1"])
def test_a_code_of_two_digits_in_such_a_field_is_the_same_in_both_forms(name: str) -> None:
    assert encode(FIELDS[name], "21") == encode(FIELDS[name], "21", FIELD) == b"\x21"
    assert decode(FIELDS[name], b"\x21") == (State.VALUE, "21", "")


@pytest.mark.parametrize(
    "field", SHAPES.values(), ids=lambda f: f"{f.coding}{f.length}-{f.kind}-{f.table}".strip("-")
)
@settings(max_examples=10, deadline=None)
@given(st.data(), st.sampled_from(PROFILES))
def test_every_value_is_read_back_whatever_the_profile(
    field: FieldSpec, data: st.DataObject, profile: CardProfile
) -> None:
    value = data.draw(values(field))
    assert decode(field, encode(field, value, profile)) == decode(field, encode(field, value))


@pytest.mark.parametrize(
    ("blank", "filler", "state"),
    [
        ("unwritten", "FF", State.UNWRITTEN),
        ("00", "00", State.EMPTY),
        ("20", "20", State.EMPTY),
    ],
)
def test_a_text_without_a_value_is_filled_as_the_profile_says_and_nothing_else_is(
    blank: str, filler: str, state: State
) -> None:
    profile = RHCARD.having({"blank_text": blank})
    assert encode_record(EMERGENCY, 15, {}, profile).hex().upper() == "3728" + filler * 40
    for file in FILES:
        for number in range(1, file.records + 1 if file.is_tlv else 2):
            for found in decode_record(file, number, encode_record(file, number, {}, profile)):
                expected = state if found.field.coding == "ans" else State.UNWRITTEN
                assert found.state is expected, found.field.name


BLANKS_IN_NUMBERS = [
    ("birth_date", "00000000", State.CORRUPT, "no such date: 00000000"),
    ("birth_date", "20202020", State.CORRUPT, "no such date: 20202020"),
    ("visit_datetime", "00000000000000", State.CORRUPT, "no such date: 00000000000000"),
    ("visit_datetime", "20202020202020", State.CORRUPT, "no such date: 20202020202020"),
    ("rh_blood_group", "00", State.CORRUPT, "Rh(D) blood group has no code 0"),
    ("rh_blood_group", "20", State.CORRUPT, "Rh(D) blood group has no code 20"),
    ("abo_blood_group", "00", State.CORRUPT, "ABO blood group has no code 0"),
    ("abo_blood_group", "20", State.CORRUPT, "20 is not a one-digit code"),
    ("asthma", "20", State.CORRUPT, "20 is neither 01 (yes) nor 00 (no)"),
    ("ethnicity", "00", State.CORRUPT, "Ethnicity has no code 00"),
    # The same bytes are written for these values, so nothing else can be read.
    ("asthma", "00", State.NEGATIVE, "0"),
    ("serology_result_1", "00", State.VALUE, "0"),
    ("marital_status", "20", State.VALUE, "20"),
    ("charge_total", "0000000000", State.VALUE, "0000000000"),
    ("charge_total", "2020202020", State.VALUE, "2020202020"),
    ("city_code", "000000", State.VALUE, "000000"),
]


@pytest.mark.parametrize(("name", "raw", "state", "text"), BLANKS_IN_NUMBERS)
def test_blanks_in_a_number_are_read_as_the_number_that_they_are(
    name: str, raw: str, state: State, text: str
) -> None:
    field = FIELDS[name]
    octets = bytes.fromhex(raw)
    assert len(octets) == field.length
    found, value, why = decode(field, octets)
    assert (found, value if value is not None else why) == (state, text)


@pytest.mark.parametrize(
    ("raw", "state", "text"),
    [
        ("FF" * 30, State.UNWRITTEN, None),
        ("00" * 30, State.EMPTY, None),
        ("20" * 30, State.EMPTY, None),
        ("2000" * 15, State.EMPTY, None),
        ("00" + "20" * 29, State.EMPTY, None),
        ("CDF5" + "00" * 28, State.VALUE, "王"),
        ("CDF5" + "20" * 28, State.VALUE, "王"),
        ("CDF5" + "2000" * 14, State.VALUE, "王"),
        ("CDF5" + "00" + "20" * 27, State.VALUE, "王"),
        ("20CDF5" + "20" * 27, State.VALUE, " 王"),
    ],
)
def test_a_text_is_unwritten_empty_or_what_stands_before_the_blanks(
    raw: str, state: State, text: str | None
) -> None:
    assert decode(FIELDS["name"], bytes.fromhex(raw)) == (state, text, "")
