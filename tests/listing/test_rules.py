"""What one value must be, whatever the others are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardlib.layout import COLUMNS, FILE_BY_PATH, Kind, State, decode_record, encode_record
from personalize.listing.columns import COLUMN_BY_NAME, PHOTO_COLUMN, field_of
from personalize.listing.rules import Checked, check_value

ID = "11010519491231002X"


@pytest.mark.parametrize(
    ("column", "given", "text"),
    [
        ("name", "王䶮", "王䶮"),
        ("name", "郑𠅤㛃", "郑𠅤㛃"),
        ("name", "阿依古丽·买买提", "阿依古丽·买买提"),
        ("name", "НГУЕН ВАН", "НГУЕН ВАН"),
        ("name", "GARCÍA LÓPEZ MARÍA", "GARCÍA LÓPEZ MARÍA"),
        ("name", " \u3000李 明\u00a0", "李 明"),
        ("name", " \u3000", ""),
        ("resident_id_number", ID.lower(), ID),
        ("birth_date", "20000229", "20000229"),
        ("sex", "0", "0"),
        ("asthma", "0", "0"),
        ("city_code", "010100", "010100"),
        ("rh_blood_group", "2", "2"),
        ("occupation", "013", "013"),
        ("bank_currency", "0156", "0156"),
        ("bank_account_masked", "990666******9278", "990666******9278"),
        ("bank_account_masked", "XXXX XXXX XXXX 9278", "XXXX XXXX XXXX 9278"),
        ("bank_payment_application_aid", "a0 00 00 03 33", "A000000333"),
        ("photo_file", "照片/𠅤.jpg", "照片/𠅤.jpg"),
    ],
)
def test_good_values(column: str, given: str, text: str) -> None:
    assert check_value(column, given) == Checked(text)


@pytest.mark.parametrize(
    ("column", "given", "problem"),
    [
        ("name", "张\0三", "control character U+0000"),
        ("name", "张\n三", "control character U+000A"),
        ("name", "张\u2028三", "control character U+2028"),
        ("name", "张\x85三", "control character U+0085"),
        ("name", "\ud83d", "half a character: lone surrogate U+D83D"),
        ("name", "葛\U000e0100城", "invisible character U+E0100"),
        ("name", "张\ufe0f三", "invisible character U+FE0F"),
        ("address_1", "示例\u034f路", "invisible character U+034F"),
        ("document_number", "E1\u31642", "invisible character U+3164"),
        ("name", "张\u2800三", "invisible character U+2800"),
        ("name", "张\u180b三", "invisible character U+180B"),
        ("name", "\udcb3", "not text in the list's encoding: byte B3"),
        ("name", "长" * 15 + "a", "too long in GB 18030: 31 bytes, 30 fit"),
        ("name", "𠅤" * 8, "too long in GB 18030: 32 bytes, 30 fit"),
        ("name", "a" * 10_001, "too long: 10001 characters"),
        ("photo_file", "a\0b", "control character U+0000"),
        ("birth_date", "19851345", "no such date: 19851345"),
        ("birth_date", "20010229", "no such date: 20010229"),
        ("birth_date", "1985-12-01", "not a date as YYYYMMDD"),
        ("birth_date", "1985", "not a date as YYYYMMDD"),
        ("birth_date", "２０００0101", "not a date as YYYYMMDD"),
        ("birth_date", "1985.201", "not a date as YYYYMMDD"),
        ("sex", "男", "not in code table"),
        ("sex", "3", "not in code table"),
        ("abo_blood_group", "9X", "not in code table"),
        ("asthma", "yes", "a flag is 1 for yes or 0 for no"),
        ("issuer_code", "12a", "not a number: digits only"),
        ("issuer_code", "1.5", "a decimal point is not allowed here"),
        ("issuer_code", "1" * 23, "too long: 23 digits, 22 fit"),
        ("city_code", "4101", "6 digits are needed, not 4"),
        ("city_code", "41010a", "not a number: digits only"),
        ("resident_id_number", ID[:-1] + "1", "checksum"),
        ("resident_id_number", ID[:-1], "18 characters are needed, not 17"),
        ("bank_payment_application_aid", "A0", "an AID has 5 to 16 bytes, not 1"),
        ("bank_payment_application_aid", "x", "not hexadecimal"),
        ("bank_payment_application_aid", "A0000000FF", "an AID must not end in FF"),
        ("bank_payment_application_aid", "FF" * 16, "an AID must not end in FF"),
    ],
)
def test_faulty_values(column: str, given: str, problem: str) -> None:
    found = check_value(column, given)
    assert found.problem.startswith(problem)
    assert found.remedy


@pytest.mark.parametrize(
    "account",
    [
        "6222020000000000005",
        "6222 0200 0000 0005",
        "6222-0200-0000-0005",
        "６２２２０２００００００００００００５",
        "622202000000*000005",
        "622202*********00005",
        "9278",
        "unknown",
    ],
)
def test_accounts_in_clear_are_refused(account: str) -> None:
    assert check_value("bank_account_masked", account).problem == "unmasked account number"


@pytest.mark.parametrize(
    ("column", "given", "remedy"),
    [
        ("sex", "男性", "write 1 for male (男性)"),
        ("sex", "female", "write 2 for female (女性)"),
        ("ethnicity", "1", "write 01 for "),
        ("bank_currency", "156", "write 0156 for "),
        ("rh_blood_group", "02", "write 2 for "),
        ("abo_blood_group", "9X", "1 A, 2 B, 3 O"),
        ("ethnicity", "xx", "codes of GB/T 3304"),
        ("bank_link_status", "x", "write a code: 1 "),
    ],
)
def test_the_remedy_names_the_code_that_was_meant(column: str, given: str, remedy: str) -> None:
    assert remedy in check_value(column, given).remedy


def test_what_would_not_read_back_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should a codec ever lose something, preparation says so, not the card."""
    monkeypatch.setattr(
        "personalize.listing.rules.decode", lambda field, raw: (State.EMPTY, None, "")
    )
    check_value.cache_clear()
    found = check_value("name", "王䶮")
    check_value.cache_clear()
    assert found.problem == "would not read back from the card: it reads blank"


columns = st.sampled_from([c.name for c in COLUMNS if c.name != PHOTO_COLUMN])
texts = st.text(st.characters(codec=None), max_size=40) | st.text("0123456789.*xA", max_size=24)


@given(columns, texts)
def test_a_value_passes_and_reads_back_or_has_a_fault(column: str, given: str) -> None:
    found = check_value(column, given)
    if found.problem or not found.text:
        return
    place = COLUMN_BY_NAME[column]
    file, number = FILE_BY_PATH[place.path], max(place.record, 1)
    raw = encode_record(file, number, {place.field: found.text})
    read = {value.field.name: value for value in decode_record(file, number, raw)}
    assert read[place.field].text == found.text
    assert field_of(place).kind is Kind.AID or found.text in (given.strip(" \u00a0\u3000"), ID)


def test_a_name_that_is_too_long_is_not_to_be_cut_by_guess() -> None:
    """The card holds 15 Chinese characters; a legal name may have more."""
    found = check_value("name", "长" * 17)
    assert found.problem == "too long in GB 18030: 34 bytes, 30 fit"
    assert "short form" in found.remedy and "make it shorter" not in found.remedy
