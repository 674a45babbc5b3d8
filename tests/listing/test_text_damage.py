"""What programs leave in a text that they lost, escaped or masked is told; honest signs pass."""

import re
import unicodedata

import pytest

from cardlib.layout.tables import read_table
from personalize.listing.fault_codes import FaultCode
from personalize.listing.rules import check_value
from tests import ROOT
from tests.listing.test_spreadsheet import DAMAGED, DATES

ESCAPES = [
    "王&#19886;", "王&#x4dae;", "王&amp;李", "A&nbsp;B", "王\\u4dae", "王%u4DAE", "%E7%8E%8B",
    "=E7=8E=8B", "王{U+4DAE}", "王<U+4DAE>", "王<br>", "王<b>李</b>", "王⿰亻尔", "王⿱龙天",
]  # fmt: skip
OTHERS = [
    "+A1", "-$B$2", "'x", "’x", '"x"', "29501.5", "4301,0219", "￥199", "19%", "-1", "(199)", "无",
    "未知", "不详", "暂无", "没有", "不明", "未填", "空值", "unknown", "missing", "empty", "0",
    "00",
    "TRUE", "true", "FALSE", "wahr", "vrai", "falsch", "FAUX", "9901244275", "王?", "?", "a?b",
    "王□", "王★", "{王", "王*", "王某", "1*2", "**", "199XXX", "锟斤拷", "ï»¿", "-nan", "+inf",
    "1.#IND", "$null$", "上午 8:30",
]  # fmt: skip
TEXTS = ("name", "contact_name_2", "address_1", "issuer_name", "other_medical_alert", "phone_1")


@pytest.mark.parametrize("column", TEXTS)
@pytest.mark.parametrize("value", ESCAPES)
def test_an_escape_in_the_place_of_a_character_is_told(column: str, value: str) -> None:
    wrong = check_value(column, value).wrong
    assert wrong and wrong.code in (FaultCode.ESCAPED_CHARACTER, FaultCode.FORMULA)


@pytest.mark.parametrize("column", ["name", "contact_name_1", "address_1", "bank_name"])
@pytest.mark.parametrize("value", ["王?", "王？明", "?明", "???", "王□", "王〓明", "■明", "王▯"])
def test_a_sign_for_a_lost_character_is_told(column: str, value: str) -> None:
    wrong = check_value(column, value).wrong
    assert wrong and wrong.code is FaultCode.PLACEHOLDER_CHARACTER


@pytest.mark.parametrize("value", ["王★", "王☆明", "王😀", "※王明", "王{明}"])
def test_a_name_has_no_signs(value: str) -> None:
    assert check_value("name", value).problem.startswith("a sign in the name")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("name", "王*明"), ("name", "王**"), ("name", "王＊明"), ("name", "王某"),
        ("name", "王某某"), ("name", "王XX"), ("name", "王x明"), ("contact_name_1", "王×明"),
        ("phone_1", "199****1537"), ("phone_1", "199XXXX1537"), ("document_number", "E1*3"),
        ("document_number", "E12****78"),
        ("health_record_number", "9901****406973438"), ("address_1", "示例路**号"),
    ],
)  # fmt: skip
def test_what_is_masked_is_told(column: str, value: str) -> None:
    wrong = check_value(column, value).wrong
    assert wrong and wrong.code is FaultCode.MASKED_VALUE


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("name", "X"), ("name", "MAX MUSTER"), ("name", "某"),
        ("address_1", "示例路15#楼3-2"), ("address_1", "5*10栋"), ("address_1", "Q&A;"),
        ("address_1", "A+B=C"), ("other_medical_alert", "青霉素?"), ("allergen_1", "头孢？"),
        ("allergic_reaction_1", "皮疹(?)"), ("allergic_reaction_1", "BP<90, HR>100"),
        ("allergic_reaction_1", "50%"), ("allergen_1", "★青霉素"), ("vaccine_1", "流感疫苗×2"),
        ("bank_account_masked", "990666******9278"), ("bank_agreement_number", "AG46****3848"),
        ("document_number", "1X2"), ("phone_1", "19900001537x12"),
    ],
)  # fmt: skip
def test_honest_signs_pass(column: str, value: str) -> None:
    assert check_value(column, value).problem == ""


@pytest.mark.parametrize("table", ["spreadsheet_damage", "text_damage"])
def test_what_a_line_needs_is_in_every_value_that_it_tells(table: str) -> None:
    """`needs` only saves time: without it, a line would tell the same."""
    values = [*DAMAGED, *DATES, *ESCAPES, *OTHERS]
    plain = {unicodedata.normalize("NFKC", value) for value in values}
    for row in read_table(ROOT / "personalize" / "listing" / f"{table}.csv"):
        pattern = re.compile(row["pattern"], re.DOTALL)
        find = pattern.fullmatch if table == "spreadsheet_damage" else pattern.search
        told = [value for value in plain if find(value)]
        assert told, row["pattern"]
        if row["needs"]:
            assert all(re.search(f"[{row['needs']}]", value) for value in told)


@pytest.mark.parametrize("table", ["spreadsheet_damage", "text_damage"])
def test_each_line_says_what_it_is_and_what_to_do(table: str) -> None:
    for row in read_table(ROOT / "personalize" / "listing" / f"{table}.csv"):
        assert FaultCode(row["code"]).meaning
        assert row["problem"] and row["remedy"]
