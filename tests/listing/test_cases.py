"""Lists that went wrong in other programs, each with its right answer (tests/data/cases)."""

from datetime import date
from pathlib import Path

import pytest

from cardlib.issuance.local import LocalIssuer
from cardlib.layout import gb18030
from personalize.listing.text_survey import Encoding
from tests import DATA
from tests.cards.bureau import Preparation, prepare_list, store

CASES = DATA / "cases"


def prepared(path: Path, encoding: Encoding = "utf-8") -> Preparation:
    return prepare_list(path, date(2026, 11, 20), LocalIssuer(store()), encoding=encoding)


SHORT, ERROR = "a spreadsheet wrote a long number", "a spreadsheet's error"
NO_VALUE = "a spreadsheet's, a program's or a database export's word for no value"
FAULTS: dict[str, dict[tuple[int, str], str]] = {
    "name-replacement-character": {(2, "name"): "replacement character U+FFFD"},
    "name-zero-width-space": {(2, "name"): "format character U+200B"},
    "phone-bidi-marks": {(2, "phone_1"): "format character U+202D"},
    "name-pua": {(2, "name"): "private-use character U+E863"},
    "birth-1080": {(2, "birth_date"): "before 1900"},
    "excel-errors": {
        (2, "phone_1"): ERROR,
        (2, "address_1"): ERROR,
        (2, "phone_2"): "a spreadsheet shows this where the column is too narrow",
    },
    "excel-scientific": {
        (2, "document_number"): SHORT,
        (2, "health_record_number"): SHORT,
        (2, "rural_insurance_number"): SHORT,
        (2, "phone_1"): SHORT,
        (2, "hospital_patient_number_1"): SHORT,
    },
    "excel-rounded-list": {
        (line, "resident_id_number"): "a spreadsheet rounded the number" for line in range(2, 14)
    },
    "null-words": {
        (2, "phone_1"): NO_VALUE,
        (2, "phone_2"): NO_VALUE,
        (2, "address_1"): NO_VALUE,
        (2, "health_record_number"): NO_VALUE,
    },
}


@pytest.mark.parametrize("case", FAULTS)
def test_what_went_wrong_is_told_once_where_it_stands(case: str) -> None:
    faults = prepared(CASES / f"{case}.csv").faults
    assert all(fault.remedy for fault in faults)
    told = {(fault.line, fault.field): fault.problem for fault in faults}
    assert told.keys() == FAULTS[case].keys()
    assert len(told) == len(faults)
    for place, problem in FAULTS[case].items():
        assert told[place].startswith(problem)


@pytest.mark.parametrize(
    "case", ["excel-errors", "excel-scientific", "excel-rounded-list", "null-words"]
)
def test_the_remedy_says_how_to_format_the_column(case: str) -> None:
    for fault in prepared(CASES / f"{case}.csv").faults:
        assert "spreadsheet" in fault.problem
        assert "text" in fault.remedy


@pytest.mark.parametrize(("case", "line"), [("sep-line", 3), ("trailing-empty-columns", 2)])
def test_what_a_spreadsheet_adds_to_the_file_is_understood(case: str, line: int) -> None:
    found = prepared(CASES / f"{case}.csv")
    assert found.faults == []
    assert [(card.line, card.name) for card in found.cards] == [(line, "黄玉晨")]


def test_every_case_has_its_right_answer_here() -> None:
    elsewhere = {
        "gbk-fe59",
        "utf8-one-resident",
        "same-passport-five-ways",
        "sep-line",
        "trailing-empty-columns",
    }
    assert {path.stem for path in CASES.glob("*.csv")} == FAULTS.keys() | elsewhere


def test_a_gbk_list_and_a_utf8_list_give_the_card_the_same_bytes(tmp_path: Path) -> None:
    gbk = CASES / "gbk-fe59.csv"
    (card,) = prepared(gbk, "gb18030").cards
    assert card.name[1] == "\u9fb4"
    utf8 = tmp_path / "list.csv"
    utf8.write_text(gb18030.decode(gbk.read_bytes()), encoding="utf-8")
    (same,) = prepared(utf8).cards
    assert card.groupings == same.groupings
    assert any(b"\xfe\x59" in value for _, value in card.groupings)


def test_one_utf8_resident_read_as_gb18030_is_refused() -> None:
    (fault,) = prepared(CASES / "utf8-one-resident.csv", "gb18030").faults
    assert fault.problem == "the file is UTF-8, not GB 18030"


def test_one_passport_spelled_five_ways_is_one_card() -> None:
    found = prepared(CASES / "same-passport-five-ways.csv").faults
    told = {(fault.line, fault.field): fault.problem for fault in found}
    assert told == {
        (3, "document_number"): "format character U+200B",
        (4, "document_number"): "not only capital letters and digits",
        (5, "document_number"): "not only capital letters and digits",
        (6, "document_number"): "format character U+00AD",
    } | {(line, "card_number"): "duplicate of line 2" for line in range(3, 7)}
    remedies = {fault.line: fault.remedy for fault in found if fault.field == "document_number"}
    assert remedies[4] == remedies[5] == "write E12345678"
