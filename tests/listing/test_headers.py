"""What an unknown header may mean: a question where it is clear, none where it is a guess."""

import pytest

from cardlib.layout import FILES
from cardlib.layout.tables import read_table
from personalize.listing import headers
from personalize.listing.columns import COLUMN_BY_NAME, column_named
from personalize.listing.fault_codes import FaultCode
from personalize.listing.headers import Headers, meant_by, suggestion
from personalize.listing.list_rows import read_rows, read_sheet_rows
from tests import ROOT
from tests.listing.workbooks import workbook

SYNONYMS = read_table(ROOT / "personalize" / "listing" / "header_synonyms.csv")


@pytest.mark.parametrize(
    ("header", "asked"),
    [
        ("身份证号", "居民身份证号码 (resident_id_number)"),
        ("身份证号码", "居民身份证号码 (resident_id_number)"),
        ("公民身份号码", "居民身份证号码 (resident_id_number)"),
        ("居民身份证号", "居民身份证号码 (resident_id_number)"),
        ("居名身份证号码", "居民身份证号码 (resident_id_number)"),
        ("证件号", "证件号码 (document_number)"),
        ("证件类型", "证件类别 (document_type)"),
        ("出生年月日", "出生日期 (birth_date)"),
        ("出生年月", "出生日期 (birth_date)"),
        ("性别代码", "性别 (sex)"),
        ("民族", "民族代码 (ethnicity)"),
        ("文化程度", "文化程度代码 (education)"),
        ("学历", "文化程度代码 (education)"),
        ("哮喘", "哮喘标志 (asthma)"),
        ("糖尿病", "糖尿病标志 (diabetes)"),
        ("手机号", "本人电话1 (phone_1)"),
        ("联系电话", "本人电话1 (phone_1) or 联系人电话1 (contact_phone_1)"),
        ("血型", "ABO血型代码 (abo_blood_group) or RH血型代码 (rh_blood_group)"),
        ("ＡＢＯ血型", "ABO血型代码 (abo_blood_group)"),
        ("健康卡号", "卡号 (card_number)"),
        ("城市代码", "应用城市代码 (city_code)"),
        ("发卡机构", "发卡机构名称 (issuer_name) or 发卡机构代码 (issuer_code)"),
        ("银行卡号", "银行卡号(掩码) (bank_account_masked)"),
        ("birth_dat", "birth_date"),
        ("Gender", "sex"),
        ("ID number", "resident_id_number or document_number"),
        ("blood type", "abo_blood_group"),
    ],
)
def test_a_header_close_to_ours_is_asked_about(header: str, asked: str) -> None:
    assert column_named(header) is None
    assert suggestion(header) == f"did you mean {asked}? If not, remove the column"


@pytest.mark.parametrize("header", ["卡号", "民族代码", "性别", "出生日期", "卡有效期"])
def test_our_own_labels_need_no_question(header: str) -> None:
    assert column_named(header)


@pytest.mark.parametrize(
    "header",
    [
        "备注", "序号", "年龄", "籍贯", "国籍", "邮政编码", "工作单位", "单位电话", "住院号",
        "门诊号",
        "医保卡号", "就诊卡号", "监护人身份证号", "联系人身份证号", "母亲姓名", "配偶姓名",
        "户主姓名", "监护人电话", "死亡日期", "登记日期", "证件有效期", "身份证有效期",
        "出生地", "发证机关", "号码", "日期", "标志", "代码", "名称",
        "shoe size", "age", "remarks", "mother's name", "doctor",
    ],
)  # fmt: skip
def test_another_thing_is_not_taken_for_ours(header: str) -> None:
    assert meant_by(header) == ()
    assert suggestion(header).startswith("remove the column, or give it a header that")


@pytest.mark.parametrize(
    ("header", "remedy"),
    [
        ("", "give the column a header, or remove it"),
        ("issue_date", "remove the column: rhcard fills in issue_date itself"),
        ("发卡日期", "remove the column: rhcard fills in issue_date itself"),
        ("芯片序列号", "remove the column: rhcard fills in chip_serial_number itself"),
        ("allergen", "add the number of the record, for example allergen_1"),
        (
            "过敏物质名称",
            "add the number of the record, for example 过敏物质名称_1 (allergen_1)",
        ),
        ("联系人电话", "add the number of the record, for example 联系人电话1 (contact_phone_1)"),
        ("allergen_4", "remove the column: a card holds 3 of them"),
        ("过敏物质名称4", "remove the column: a card holds 3 of them"),
        ("phone_3", "remove the column: a card holds 2 of them"),
        ("vaccine_11", "remove the column: a card holds 10 of them"),
    ],
)
def test_other_headers_get_their_remedy(header: str, remedy: str) -> None:
    assert suggestion(header) == remedy


def test_the_synonyms_are_no_headers_of_ours_and_name_columns_of_ours() -> None:
    ours = COLUMN_BY_NAME.keys() | {field.name for field in FILES[0].fields}
    assert {row["column"] for row in SYNONYMS} <= ours
    assert [row["header"] for row in SYNONYMS if column_named(row["header"])] == []


def test_the_synonyms_are_never_taken_as_the_column() -> None:
    listing = read_rows("姓名,手机号\n王䶮,13900000000\n", is_json=False)
    assert listing.rows[0].values == {"name": "王䶮"}


def test_a_list_is_answered_in_its_own_words() -> None:
    own = Headers({"name": "姓名", "sex": " 性别 ", "birth_date": "Birth Date"})
    assert (own.of("sex"), own.named("sex")) == ("性别", "性别 (sex)")
    assert (own.of("birth_date"), own.named("birth_date")) == ("Birth Date", "Birth Date")
    assert own.named("card_number") == "卡号 (card_number)"
    english = Headers({"name": "name", "sex": "Sex", "birth_date": "出生日期"})
    assert (english.of("card_number"), english.named("card_number")) == ("card_number",) * 2
    assert Headers().named("sex") == "sex"
    assert headers.with_name("手机号", "手机号") == "手机号"


@pytest.mark.parametrize("above", ["示例市2026年登记表", "示例市2026年登记表,,"])
def test_a_line_above_the_titles_is_one_fault(above: str) -> None:
    listing = read_rows(f"{above}\nname,sex,birth_date\n王䶮,2,19491231\n", is_json=False)
    (fault,) = listing.faults
    assert (fault.line, fault.code) == (1, FaultCode.MISSING_COLUMN)
    assert fault.remedy.startswith("delete the lines above the titles")
    assert listing.rows == []


def test_a_line_above_the_titles_of_a_workbook_is_one_fault() -> None:
    book = workbook({"a": [["示例市2026年登记表"], ["name", "sex"], ["王䶮", "2"]]})
    (fault,) = read_sheet_rows(book).faults
    assert (fault.line, fault.code) == (1, FaultCode.MISSING_COLUMN)


def test_one_title_that_is_ours_or_nearly_so_is_no_line_above_the_titles() -> None:
    for title in ("name", "身份证号"):
        faults = read_rows(f"{title}\nx\n", is_json=False).faults
        assert faults and not any("above the titles" in fault.remedy for fault in faults)
