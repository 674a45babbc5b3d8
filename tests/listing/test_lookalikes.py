"""Look-alikes are faults that offer the right character."""

import unicodedata

import pytest

from personalize.listing.lookalikes import first_look_alike
from personalize.listing.rules import check_value


@pytest.mark.parametrize(
    ("column", "given", "right"),
    [
        ("name", "\u2f00\u2f06", "一二"),
        ("address_1", "示例\u2f2d路", "示例山路"),
        ("allergen_1", "\u2ea9\u2e97", "王心"),
        ("name", "\uf92c", "\u90ce"),
        ("name", "\ufa0c", "\u5140"),
        ("issuer_name", "\U0002f800", "\u4e3d"),
        ("name", "阿依古丽\u2022买买提", "阿依古丽·买买提"),
        ("contact_name_3", "阿依古丽\u30fb买买提", "阿依古丽·买买提"),
        ("name", "阿依古丽\uff65买买提", "阿依古丽·买买提"),
        ("name", "阿依古丽\u2027买买提", "阿依古丽·买买提"),
        ("name", "阿依古丽\u22c5买买提", "阿依古丽·买买提"),
        ("name", "阿依古丽.买买提", "阿依古丽·买买提"),
        ("name", "米哈伊尔.S.示例", "米哈伊尔·S·示例"),
        ("name", "阿依古丽\uff0e买买提", "阿依古丽·买买提"),
        ("name", "阿依古丽\u1427买买提", "阿依古丽·买买提"),
        ("name", "李\u25cb明", "李〇明"),
        ("name", "ALICE\u00a0DOE", "ALICE DOE"),
        ("name", "李\u3000明", "李 明"),
        ("name", "ALICE\u2003", "ALICE "),
        ("name", "\uff21\uff2cICE", "ALICE"),
        ("name", "\u0410LICE", "ALICE"),
        ("name", "\U0001d400LICE", "ALICE"),
        ("address_1", "示例路\u202f12号", "示例路 12号"),
        ("hospital_patient_number_1", "\uff25123", "E123"),
        ("document_number", "\u0415123", "E123"),
        ("document_number", "AB\u2013123", "AB-123"),
        ("document_number", "军\uff0d123", "军-123"),
        ("phone_1", "0990\u20101244275", "0990-1244275"),
        ("phone_1", "199\u00a00000", "199 0000"),
        ("phone_1", "\u0661\u0669\u0669", "199"),
        ("hospital_patient_number_1", "12\u00b2", "122"),
        ("health_record_number", "\u2460\u2461", "12"),
    ],
)
def test_the_fault_names_the_character_and_offers_the_right_text(
    column: str, given: str, right: str
) -> None:
    wrong = next(a for a, b in zip(given, right, strict=True) if a != b)
    found = check_value(column, given)
    assert found.problem.startswith(f"look-alike character U+{ord(wrong):04X}, ")
    assert f"write {right}, " in found.remedy
    assert check_value(column, right).problem == ""


@pytest.mark.parametrize("column", ["name", "address_1", "document_number", "allergen_1"])
@pytest.mark.parametrize(
    "given", ["Jose\u0301", "A\u030angstro\u0308m", "e\u0323\u0302", "e\u0302\u0323"]
)
def test_a_letter_and_its_mark_are_one_character(column: str, given: str) -> None:
    """é in two code points looks like é in one, and is other bytes on the card."""
    found = check_value(column, given)
    right = unicodedata.normalize("NFC", given)
    assert found.problem.startswith("look-alike character U+03")
    assert found.remedy.startswith(f"write {right}, ")
    assert check_value(column, right).problem == ""


@pytest.mark.parametrize(
    ("column", "given"),
    [
        ("name", "阿依古丽·买买提"),
        ("name", "J.R. SMITH"),
        ("name", "\ufa0e\ufa0f\ufa11\ufa13\ufa14\ufa1f"),
        ("name", "\ufa21\ufa23\ufa24\ufa27\ufa28\ufa29"),
        ("name", "〇"),
        ("address_1", "示例路12.5号•3楼"),
        ("name", "НГУЕН ВАН"),
        ("name", "ΣΩΚΡΑΤΗΣ"),
        ("name", "བཀྲ་ཤིས"),
        ("name", "สมชาย"),
        ("name", "ᠷ\u180bᠲᠤ"),
        ("address_1", "示例路１２号\u3000（Ａ座）"),
        ("address_1", "示例路1–3号"),
        ("document_number", "军第〇一号（换）"),
        ("other_medical_alert", "Ⅱ型糖尿病"),
        ("bank_account_masked", "•••9278"),
        ("photo_file", "\u2f00.jpg"),
    ],
)
def test_what_is_right_is_no_look_alike(column: str, given: str) -> None:
    assert check_value(column, given).problem == ""


def test_every_kangxi_radical_and_compatibility_ideograph_is_one() -> None:
    """The radicals by their compatibility mapping, the ideographs by normalization form C."""
    for code_point in (*range(0x2F00, 0x2FD6), *range(0xF900, 0xFB00)):
        char = chr(code_point)
        right = unicodedata.normalize("NFKC" if code_point < 0xF900 else "NFC", char)
        found = first_look_alike("address_1", char)
        assert (found.right if found else char) == right
