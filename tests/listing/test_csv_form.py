"""What spreadsheets add to a CSV file is understood, or told once."""

import json
import time

import pytest

from personalize.listing.csv_form import column_letters
from personalize.listing.list_rows import read_rows
from personalize.listing.rows import REQUIRED, Listing

HEADER = ",".join((*REQUIRED, "document_number"))
ROW = "王䶮,1,19800101,E1,1,示例,990000123456,990100,E1"


def csv_of(*lines: str) -> Listing:
    return read_rows("\n".join(lines), is_json=False)


def told(listing: Listing) -> list[tuple[int, str]]:
    assert all(fault.remedy for fault in listing.faults)
    return [(fault.line, fault.problem) for fault in listing.faults]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("form", ["sep={}", "SEP={}", '"sep={}"', "sep={},,,,"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_line_that_names_the_separator_is_understood(form: str, separator: str, end: str) -> None:
    lines = (HEADER.replace(",", separator), ROW.replace(",", separator))
    listing = read_rows(end.join((form.format(separator), *lines)), is_json=False)
    assert told(listing) == []
    assert [(row.line, row.values["name"]) for row in listing.rows] == [(3, "王䶮")]


@pytest.mark.parametrize("line", ["sep=", "sep=|", "sep=;", "sep=\\t"])
def test_a_line_that_names_another_separator_is_one_fault(line: str) -> None:
    assert told(csv_of(line, HEADER, ROW)) == [
        (1, "the line sep= does not name the header's separator")
    ]


@pytest.mark.parametrize("blank", ["", " ", "\u3000"])
def test_blank_columns_without_a_title_are_passed_over(blank: str) -> None:
    title, value = f",{blank}" * 3, ",," + blank + ","
    listing = csv_of(HEADER + title, ROW + value, ROW + ",,,")
    assert told(listing) == []
    assert len(listing.rows) == 2


def test_a_column_without_a_title_between_the_others_is_passed_over() -> None:
    listing = csv_of("," + HEADER, "," + ROW)
    assert told(listing) == []
    assert listing.rows[0].values["name"] == "王䶮"


def test_a_line_of_blank_columns_before_the_header_is_passed_over() -> None:
    listing = csv_of(",,,", " , ", HEADER, ROW)
    assert told(listing) == []
    assert [row.line for row in listing.rows] == [4]


def test_a_value_without_a_title_is_told_with_its_place_once() -> None:
    listing = csv_of(HEADER + ",,", ROW + ",,", ROW + ",,x", ROW + ",,y")
    assert told(listing) == [(1, "column 11 (K) has no title, but a value in line 3")]


@pytest.mark.parametrize(
    ("place", "letters"), [(0, "A"), (25, "Z"), (26, "AA"), (701, "ZZ"), (702, "AAA")]
)
def test_a_column_has_the_letters_of_a_spreadsheet(place: int, letters: str) -> None:
    assert column_letters(place) == letters


def test_twenty_thousand_columns_are_one_fault_at_once() -> None:
    began = time.perf_counter()
    header = ",".join(f"name{n}" for n in range(20_000))
    assert told(csv_of(header, ROW)) == [(1, "too many columns: 20000")]
    members = json.dumps({f"name{n}": "" for n in range(20_000)})
    assert told(read_rows(members, is_json=True)) == [(1, "too many columns: 20000")]
    assert time.perf_counter() - began < 2


def test_unknown_members_without_end_are_told_briefly() -> None:
    lines = (json.dumps({f"粮{n}": ""}) for n in range(5000))
    found = told(read_rows("\n".join(lines), is_json=True))
    assert len(found) == 501
    assert found[-1] == (501, "too many unknown columns: only 500 of them are reported")


def test_a_sheet_exported_in_its_whole_width_is_read() -> None:
    empty = "," * (16_384 - HEADER.count(","))
    listing = csv_of(HEADER + empty, ROW + empty)
    assert told(listing) == []
    assert len(listing.rows) == 1
