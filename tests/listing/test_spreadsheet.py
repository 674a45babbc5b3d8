"""What a spreadsheet or a database export did to a value is told, and honest values pass."""

import pytest

from cardlib.layout import COLUMNS
from personalize.listing.columns import PHOTO_COLUMN
from personalize.listing.rules import check_value

DAMAGED = [
    "4.30102E+17", "4.30102E17", "4.30102e+17", "4,30102E+17", "1E+08", "-1E+08", "430.1E+15",
    "=A1", '="430102199001011234"', "=IFERROR(A1,)",
    "#REF!", "#N/A", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "#NULL!", "#SPILL!", "#BEZUG!",
    "Err:508", "##", "####", "########",
    "'19900001537", "'=A1", "`19900001537",
    "NULL", "null", "(null)", "(NULL)", "<null>", "[NULL]", "{null}", "nan", "NaN", "-nan",
    "None", "none", "N/A", "n/a", "NA", "<NA>", "NaT", "nil", "undefined", "\\N", "1.#INF",
    "19900001537.0", "1.0", "430,102,199", "7-Oct", "Oct-80", "7-Oct-1980", "10月7日",
]  # fmt: skip
NAMES = ("name", "contact_name_1")
TEXT = ("issuer_name", "address_1", "other_medical_alert", "allergen_3", "vaccine_10", "bank_name")
NUMBERS = (
    "phone_1", "document_number", "card_number", "resident_id_number", "issuer_code", "city_code",
    "birth_date", "sex", "asthma", "occupation", "hospital_patient_number_20",
    "bank_account_masked", "bank_payment_application_aid",
)  # fmt: skip


@pytest.mark.parametrize("column", [*NAMES, *TEXT, *NUMBERS])
@pytest.mark.parametrize("value", DAMAGED)
def test_damage_is_told_in_every_column_with_its_cause(column: str, value: str) -> None:
    found = check_value(column, f" {value} ")
    assert "spreadsheet" in found.problem
    assert "column" in found.remedy or "formula" in found.remedy


@pytest.mark.parametrize("column", [c.name for c in COLUMNS if c.name != PHOTO_COLUMN])
def test_no_column_takes_a_spreadsheet_s_error(column: str) -> None:
    assert "spreadsheet" in check_value(column, "#N/A").problem


@pytest.mark.parametrize("value", ["'E12345678", '"E12345678"', "’19900001537", "'t1"])
def test_marks_round_a_number_are_told(value: str) -> None:
    assert "spreadsheet" in check_value("document_number", value).problem


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("name", "Null"), ("name", "Nan"), ("name", "None Such"), ("name", "JENNIFER NULL"),
        ("name", "NAN LI"), ("name", "NA SEON"), ("name", "Na"), ("name", "E"),
        ("name", "'t Hooft"), ("name", "’Abd al-Rahman"), ("name", "O'BRIEN"), ("name", "真"),
        ("address_1", "'s-Gravenhage"), ("address_1", "12#"), ("address_1", "15#楼 3-2"),
        ("address_1", "A=B"), ("address_1", "3月8日路12号"), ("address_1", "#2 Null Road"),
        ("other_medical_alert", "无"), ("other_medical_alert", "0"), ("allergen_1", "NaCl"),
        ("document_number", "E12345678"), ("document_number", "1E08"), ("document_number", "4E17"),
        ("hospital_patient_number_1", "2E5"), ("hospital_patient_number_1", "10-7"),
        ("phone_1", "+86 19900001537"), ("phone_1", "0990-1244275"), ("phone_1", "1234567#12"),
        ("bank_account_masked", "990666******9278"),
    ],
)  # fmt: skip
def test_honest_values_pass(column: str, value: str) -> None:
    assert check_value(column, value).problem == ""


def test_a_day_without_its_hyphens_is_still_told_as_a_date() -> None:
    assert check_value("birth_date", "1990-01-02").problem == "not a date as YYYYMMDD"
