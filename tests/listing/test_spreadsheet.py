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
    "4.30102E 17", "4.30102E+17.", ".430102E+18", "4.30102×10^17", "4.3*10^17",
    "４.３０１０２Ｅ＋１７", "＝A1", "@SUM(A1)", "＃Ｎ／Ａ", "ＮＵＬＬ", "（null）", "＃＃＃",
    "#ref!", "#n/a", "#名称?", "#值！", "#¿NOMBRE?", "#NOME?", "#ИМЯ?", "#Н/Д", "#WARTOŚĆ!",
    "#ERROR!", "#NULL", "#NAME", "#N/A N/A", "Error 2042",
    "n.a.", "N/D", "DBNull", "(无)", "（空）",
    "[object Object]", "-", "--", "—", "/", ".", "…", "*", "()", "[]", "{}", "＿",
    "19900001537,0", "19900001537,00", "430,102,199.00", "1,99,00,001", "19.900.001.537",
    "1.234,00", "1'234'567", "19’900’001", "1-2月", "1月-80", "一月-80", "2-Mai",
    "2-Jän-80", "Jan-2",
]  # fmt: skip
NAMES = ("name", "contact_name_1")
TEXT = ("issuer_name", "address_1", "other_medical_alert", "allergen_3", "vaccine_10", "bank_name")
NUMBERS = (
    "phone_1", "document_number", "card_number", "resident_id_number", "issuer_code", "city_code",
    "birth_date", "sex", "asthma", "occupation", "hospital_patient_number_20",
    "bank_account_masked", "bank_payment_application_aid",
)  # fmt: skip


@pytest.mark.parametrize("value", DAMAGED)
def test_damage_is_told_in_every_column_with_its_cause(value: str) -> None:
    told = {column: check_value(column, f" {value} ") for column in (*NAMES, *TEXT, *NUMBERS)}
    assert [column for column, found in told.items() if "spreadsheet" not in found.problem] == []
    causes = ("column", "formula", "blank")
    remedies = {column: found.remedy for column, found in told.items()}
    assert [c for c, remedy in remedies.items() if not any(w in remedy for w in causes)] == []


NO_CODES = ("phone_1", "document_number", "card_number", "hospital_patient_number_20")
DATES = [
    "1980-01-02", "1980/1/2", "1980.1.2", "1980年1月2日", "1980年1月", "80年1月2日", "1/2/1980",
    "2/1/80", "02.01.1980", "1900/1/0", "1899-12-30", "1980-01-02 00:00:00", "1980-01-02T00:00:00",
    "二〇〇〇年一月二日", "Jan 2", "January 2, 1980", "Monday, January 2, 1980", "0:00:00", "08:30",
    "12:30:00 AM", "上午 8:30",
]  # fmt: skip


@pytest.mark.parametrize("value", [*DATES, "TRUE", "FALSE", "true"])
def test_dates_times_and_truth_are_told_where_nobody_writes_them(value: str) -> None:
    told = {column: check_value(column, value).problem for column in (*NAMES, *TEXT, *NO_CODES)}
    turned = "spreadsheet turned the value into"
    assert {column: said for column, said in told.items() if turned not in said} == {}


@pytest.mark.parametrize("column", ["birth_date", "link_date_1"])
@pytest.mark.parametrize("value", DATES[:7])
def test_a_date_column_still_says_how_to_write_the_date(column: str, value: str) -> None:
    assert check_value(column, value).problem == "not a date as YYYYMMDD"


@pytest.mark.parametrize(
    "value",
    ["无", "暂无", "未知", "不详", "空值", "unknown", "0", "000", "0-0", "-1", "-1243285", "(199)",
     "￥199.00", "$199", "19900001537%", "29501.5", "4301,0219", "+A1", "-$B$2"],
)  # fmt: skip
def test_no_number_is_a_word_for_no_value_or_an_amount(value: str) -> None:
    told = {column: check_value(column, value).problem for column in NO_CODES}
    assert {column: said for column, said in told.items() if "spreadsheet" not in said} == {}


@pytest.mark.parametrize("value", ["无", "未知", "不详", "unknown", "Unknown", "空", "0", "00"])
def test_no_name_is_a_word_for_no_value(value: str) -> None:
    assert "spreadsheet" in check_value("name", value).problem


@pytest.mark.parametrize(
    ("number", "problem"),
    [
        ("9901244275", "a spreadsheet removed the 0"),
        ("1012345678", "a spreadsheet removed the 0"),
        ("75512345678", "a spreadsheet removed the 0"),
        ("4008001234", ""), ("8008001234", ""), ("19900001537", ""), ("085298765432", ""),
        ("85298765432", ""), ("12345678", ""), ("10086", ""), ("0990-1244275", ""),
        ("+1 2125551234", ""), ("8619900001537", ""),
    ],
)  # fmt: skip
def test_an_area_code_that_lost_its_zero_is_told(number: str, problem: str) -> None:
    assert check_value("phone_1", number).problem.startswith(problem)
    assert check_value("contact_phone_3", number).problem.startswith(problem)
    assert bool(check_value("phone_1", number).problem) == bool(problem)


def test_no_column_takes_a_spreadsheet_s_error() -> None:
    columns = [column.name for column in COLUMNS if column.name != PHOTO_COLUMN]
    assert [c for c in columns if "spreadsheet" not in check_value(c, "#N/A").problem] == []


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
        ("name", "True"), ("name", "Blank"), ("name", "\U000323b0"), ("name", "吴天"),
        ("name", "空海"),
        ("name", "无名氏"), ("name", "May Day"), ("contact_name_1", "MARCH JAN"),
        ("address_1", "1980年代路2号"), ("address_1", "8:30路"), ("address_1", "3-2"),
        ("other_medical_alert", "不详"), ("other_medical_alert", "2019年3月手术"),
        ("allergic_reaction_1", "++"), ("allergic_reaction_1", "(+)"), ("allergic_reaction_1", "±"),
        ("other_medical_alert", "(-)"), ("other_medical_alert", "（－）"), ("address_1", "@示例"),
        ("vaccine_1", "23价肺炎球菌多糖疫苗"), ("hospital_patient_number_1", "2019-0512"),
        ("hospital_patient_number_1", "00012"), ("hospital_patient_number_1", "A-1"),
        ("hospital_organization_code_1", "44510003-9"), ("phone_1", "(0990)1244275"),
        ("phone_1", "199 0000 1537"), ("document_number", "军字第00123号"), ("issuer_code", "0"),
        ("name", "May"), ("name", "Nil"), ("name", "五月"), ("name", "年羹尧"), ("name", "MAI"),
        ("address_1", "1-2-301"), ("address_1", "A1座3-2"), ("address_1", "2/F"),
        ("address_1", "1203-2-1"), ("address_1", "5&6栋"), ("address_1", "＃３－２０１"),
        ("other_medical_alert", "HLA-B*5801"), ("other_medical_alert", "140/90"),
        ("other_medical_alert", "INR 2.5"), ("allergen_1", "5-FU"), ("allergen_1", "2,4-D"),
        ("phone_1", "0731-88888888,123"), ("phone_1", "138.0013.8000"), ("phone_1", "00852-234567"),
    ],
)  # fmt: skip
def test_honest_values_pass(column: str, value: str) -> None:
    assert check_value(column, value).problem == ""


def test_a_day_without_its_hyphens_is_still_told_as_a_date() -> None:
    assert check_value("birth_date", "1990-01-02").problem == "not a date as YYYYMMDD"


@pytest.mark.parametrize(
    "name", ["NULL", "NAN", "NA", "NIL", "UNDEFINED", "NaT", "TRUE", "FALSE", "WAHR", "VRAI"]
)
def test_a_person_with_the_name_of_no_value_writes_it_with_one_capital_letter(name: str) -> None:
    assert "with one capital letter" in check_value("name", name).remedy
    assert check_value("name", name.capitalize()).problem == ""


@pytest.mark.parametrize(
    "name",
    ["NONE", "None", "Unknown", "Missing", "无", "空", "未知", "没有", "何某", "某某", "王X"],
)
def test_a_person_whose_name_no_spelling_lets_pass_is_told_whom_to_ask(name: str) -> None:
    remedy = check_value("name", name).remedy
    assert "A person with this very name: ask the health authority" in remedy
    assert "capital" not in remedy


WITH_A_WORD = [
    ("address_1", "1-2-2001", "1-2-2001室"), ("address_1", "12/3/01", "12/3/01室"),
    ("address_2", "2001-1-2", "2001-1-2号"), ("address_1", "8:30", "8:30路"),
    ("address_1", "2E-3", "2E-3室"), ("address_1", "1,001", "1,001室"),
    ("address_1", "May 12", "May 12 St"), ("allergen_1", "2011-3-5", "皮疹2011-3-5"),
    ("other_medical_alert", "8:30", "每日8:30"), ("allergic_reaction_1", "10,000", "血小板10,000"),
    ("other_medical_alert", "1.5×10^9", "白细胞1.5×10^9"),
]  # fmt: skip


@pytest.mark.parametrize(("column", "alone", "with_a_word"), WITH_A_WORD)
def test_a_text_that_is_only_a_number_or_a_day_passes_with_a_word(
    column: str, alone: str, with_a_word: str
) -> None:
    assert "if it is right as it stands, write a word with it" in check_value(column, alone).remedy
    assert check_value(column, with_a_word).problem == ""


@pytest.mark.parametrize(
    ("column", "value"),
    [("address_1", "#N/A"), ("address_1", "无"), ("phone_1", "2011-12-12"), ("name", "Mar-2")],
)
def test_no_word_is_asked_for_where_it_would_make_damage_pass(column: str, value: str) -> None:
    assert "write a word with it" not in check_value(column, value).remedy
