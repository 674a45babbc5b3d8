"""Records to fields and back, and the data groupings that carry them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardlib.errors import FormatError
from cardlib.layout import (
    FILE_BY_PATH,
    FILES,
    KEYS,
    FileSpec,
    State,
    Structure,
    decode_file,
    decode_record,
    dgi_of_key,
    dgi_of_record,
    encode_record,
    key_of_dgi,
    record_of_dgi,
    value_in_words,
    without_access,
)
from cardlib.layout.records import MANDATORY_DGIS, without_value
from tests.cards.field_values import values

ISSUER = FILE_BY_PATH["DDF1/EF05"]
EMERGENCY = FILE_BY_PATH["DDF1/DF02/EF05"]
ALLERGIES = FILE_BY_PATH["DDF1/DF02/EF07"]
HOSPITALS = FILE_BY_PATH["DDF1/DF05/EF05"]
VISIT = FILE_BY_PATH["DDF1/DF03/ED01"]
EVERY_FILE = pytest.mark.parametrize("file", FILES, ids=lambda file: file.path)
SMALL_FILES = [file for file in FILES if len(file.fields) < 20]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_record_comes_back_as_it_was_stored(data: st.DataObject) -> None:
    file = data.draw(st.sampled_from(SMALL_FILES))
    record = data.draw(st.integers(1, file.records))
    given_values = {
        field.name: data.draw(values(field))
        for field in file.fields_of(record)
        if data.draw(st.booleans())
    }
    raw = encode_record(file, record, given_values)
    assert len(raw) == file.record_length(record)
    for found in decode_record(file, record, raw):
        if found.field.name in given_values:
            assert found.state in (State.VALUE, State.NEGATIVE)
            assert found.value == given_values[found.field.name]
        else:
            assert (found.state, found.value) == (State.UNWRITTEN, None)


@EVERY_FILE
def test_a_record_without_values_is_tag_length_and_ff(file: FileSpec) -> None:
    for record in range(1, file.records + 1):
        raw = encode_record(file, record, {})
        field = file.fields_of(record)[0]
        prefix = b"" if field.tag is None else bytes((field.tag, field.length))
        assert raw == prefix + b"\xff" * (file.record_length(record) - len(prefix))
        found = decode_record(file, record, raw)
        assert {value.state for value in found} == {State.UNWRITTEN}
        assert [value.field for value in found] == list(file.fields_of(record))


def test_a_blank_input_is_not_written() -> None:
    assert (
        encode_record(ALLERGIES, 1, {"allergen": "", ALLERGIES.fields[1].name: "x"})[:20]
        == b"\xff" * 20
    )


@pytest.mark.parametrize(
    ("record", "head"),
    [(1, "0101"), (6, "0604"), (7, "0812"), (8, "0903"), (9, "0A0A"), (10, "3903")],
)
def test_issuer_data_has_its_tags_in_order(record: int, head: str) -> None:
    assert encode_record(ISSUER, record, {})[:2].hex().upper() == head


def test_fields_lie_where_the_tables_put_them() -> None:
    raw = encode_record(HOSPITALS, 20, {"hospital_patient_number": "A1", "link_date": "20260101"})
    assert raw == b"\xff" * 10 + b"A1".ljust(18, b"\0") + bytes.fromhex("20260101")


def test_a_field_that_is_not_there_or_does_not_fit_is_named() -> None:
    with pytest.raises(FormatError, match="no field photo"):
        encode_record(ISSUER, 1, {"photo": b"x"})
    with pytest.raises(FormatError, match="no field issuer_name"):
        encode_record(ISSUER, 1, {"issuer_name": "x"})
    with pytest.raises(FormatError, match="no field nor_this"):
        encode_record(ISSUER, 3, {"issuer_name": "x", "nor_this": "", "or_that": "x"})
    with pytest.raises(FormatError, match="issuer_name: too long"):
        encode_record(ISSUER, 3, {"issuer_name": "x" * 31})
    with pytest.raises(FormatError, match="issuer_certificate: 0 bytes"):
        encode_record(ISSUER, 5, {"issuer_certificate": b""})


@pytest.mark.parametrize("record", [0, 11, -1])
def test_a_record_that_a_file_does_not_have_is_a_format_error(record: int) -> None:
    with pytest.raises(FormatError, match="no record"):
        encode_record(ISSUER, record, {})
    with pytest.raises(FormatError, match="no record"):
        encode_record(ALLERGIES, record, {})


@given(st.sampled_from(FILES), st.integers(1, 20), st.binary(max_size=200))
def test_any_bytes_a_card_answers_are_decoded(file: FileSpec, record: int, raw: bytes) -> None:
    record = min(record, file.records)
    found = decode_record(file, record, raw)
    assert [value.field for value in found] == list(file.fields_of(record))
    if len(raw) != file.record_length(record):
        assert {value.state for value in found} == {State.CORRUPT}
        assert all(value.detail for value in found)


def test_a_record_with_another_tag_or_length_is_corrupt() -> None:
    right = encode_record(EMERGENCY, 2, {"rh_blood_group": "2"})
    for wrong in (b"\x29" + right[1:], right[:1] + b"\x02" + right[2:], right[:1], b"", right * 2):
        (found,) = decode_record(EMERGENCY, 2, wrong)
        assert (found.state, found.value) == (State.CORRUPT, None)


def test_a_file_gives_every_field_of_every_record_in_order() -> None:
    records: list[bytes | None] = [encode_record(EMERGENCY, n, {}) for n in range(1, 16)]
    records[0] = encode_record(EMERGENCY, 1, {"abo_blood_group": "4"})
    records[2] = encode_record(EMERGENCY, 3, {"asthma": "0"})
    records[5] = None
    found = decode_file(EMERGENCY, records)
    assert [value.record for value in found] == list(range(1, 16))
    states = {value.field.name: (value.state, value.value) for value in found}
    assert states["abo_blood_group"] == (State.VALUE, "4")
    assert states["asthma"] == (State.NEGATIVE, "0")
    assert states["heart_disease"] == (State.UNWRITTEN, None)
    assert states[EMERGENCY.fields[5].name] == (State.MISSING, None)
    assert found[5].detail


def test_a_transparent_file_is_record_0() -> None:
    found = decode_file(VISIT, [encode_record(VISIT, 1, {"visit_datetime": "20260102030405"})])
    assert len(found) == 172
    assert {value.record for value in found} == {0}
    by_name = {value.field.name: value for value in found}
    assert by_name["visit_datetime"].value == "20260102030405"


@EVERY_FILE
@pytest.mark.parametrize("state", [State.DENIED, State.MISSING])
def test_a_file_that_cannot_be_read_says_so_in_every_field(file: FileSpec, state: State) -> None:
    found = without_access(file, state, "needs RK1")
    count = 1 if file.structure in (Structure.CYCLIC, Structure.TRANSPARENT) else file.records
    assert len(found) == count * len(file.fields_of(1))
    assert {(value.state, value.value, value.detail) for value in found} == {
        (state, None, "needs RK1")
    }
    assert {value.field.name for value in found} == {field.name for field in file.fields}


def test_a_cyclic_file_without_records_is_one_unwritten_entry() -> None:
    found = decode_file(ALLERGIES, [])
    assert [value.field for value in found] == list(ALLERGIES.fields)
    assert {(v.record, v.state, v.value, v.detail) for v in found} == {
        (1, State.UNWRITTEN, None, "no entries recorded")
    }
    assert decode_file(HOSPITALS, []) == ()


def test_a_record_that_is_missing_has_its_own_number() -> None:
    assert {value.record for value in without_value(HOSPITALS, 7, State.MISSING)} == {7}
    assert {value.record for value in without_value(VISIT, 7, State.MISSING)} == {0}


def test_words_and_texts_of_field_values() -> None:
    (blood,) = decode_record(EMERGENCY, 1, encode_record(EMERGENCY, 1, {"abo_blood_group": "4"}))
    assert blood.text == "4"
    assert (value_in_words(blood), value_in_words(blood, "zh")) == ("AB", "AB型")
    (nothing,) = decode_record(EMERGENCY, 2, bytes.fromhex("2A01FF"))
    assert value_in_words(nothing) == nothing.text == ""
    (photo,) = decode_record(FILE_BY_PATH["DDF1/EF07"], 1, b"\0\2\xab\xcd".ljust(3072, b"\xff"))
    assert photo.text == "ABCD"


def test_each_record_has_its_data_grouping_and_no_number_has_two() -> None:
    seen = set()
    for file in FILES:
        transparent = file.structure is Structure.TRANSPARENT
        for record in (0,) if transparent else range(1, file.records + 1):
            dgi = dgi_of_record(file, record)
            assert dgi == int(f"{file.line:02x}{record:02x}", 16)
            assert record_of_dgi(dgi) == (file, record)
            seen.add(dgi)
    assert min(seen) >> 8 == 0x01 and max(seen) >> 8 == 0x19
    others = set(range(0x10000)) - seen
    assert all(record_of_dgi(dgi) is None for dgi in others)


def test_each_key_has_its_data_grouping_by_its_number_in_the_sam() -> None:
    assert {dgi_of_key(key) for key in KEYS} == {0x8100 | key.sam_key_id for key in KEYS}
    assert all(key_of_dgi(dgi_of_key(key)) is key for key in KEYS)
    assert sum(key_of_dgi(dgi) is not None for dgi in range(0x10000)) == 30


def test_all_keys_the_pin_its_counter_and_the_issuers_ten_records_are_mandatory() -> None:
    keys = {0x8100 | key.sam_key_id for key in KEYS}
    assert keys | {0x8010, 0x9010} | set(range(0x0101, 0x010B)) == MANDATORY_DGIS
    assert len(MANDATORY_DGIS) == 42
