"""Lists that went wrong in other programs, each with its right answer (tests/data/cases)."""

from datetime import date
from pathlib import Path

import pytest

from cardlib.layout import gb18030
from personalize.listing.source import Encoding
from tests import DATA
from tests.cards.bureau import Preparation, prepare_list, store

CASES = DATA / "cases"


def prepared(path: Path, encoding: Encoding = "utf-8") -> Preparation:
    return prepare_list(path, date(2026, 11, 20), store(), encoding=encoding)


@pytest.mark.parametrize(
    ("case", "field", "problem"),
    [
        ("name-replacement-character", "name", "replacement character U+FFFD"),
        ("name-zero-width-space", "name", "format character U+200B"),
        ("phone-bidi-marks", "phone_1", "format character U+202D"),
        ("name-pua", "name", "private-use character U+E863"),
    ],
)
def test_a_character_that_is_nobody_s_is_named(case: str, field: str, problem: str) -> None:
    (fault,) = prepared(CASES / f"{case}.csv").faults
    assert (fault.line, fault.field, fault.problem) == (2, field, problem)
    assert fault.remedy


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
