"""The field kinds and the code tables as data: complete, unambiguous, and fit for their fields."""

import csv
import json
import re
from functools import cache
from pathlib import Path

import pytest

from tests import DATA, ROOT

LAYOUT = ROOT / "cardlib" / "layout"
CODES = LAYOUT / "codes"
SAMPLES = DATA

Row = dict[str, str]


@cache
def rows(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def codes_of(table: str) -> list[str]:
    return [row["code"] for row in rows(CODES / f"{table}.csv")]


FIELDS = rows(LAYOUT / "fields.csv")
KINDS = rows(LAYOUT / "kinds.csv")
INDEX = rows(CODES / "index.csv")
TABLES = sorted(row["table"] for row in INDEX)


def covers(kind: Row, field: Row) -> bool:
    """Whether a row of kinds.csv is about a field: `_#` stands for `_` and a number."""
    name = re.escape(kind["field"]).replace(r"_\#", r"_[1-9][0-9]*")
    return kind["path"] in ("*", field["path"]) and bool(re.fullmatch(name, field["name"]))


def kinds_of(field: Row) -> list[Row]:
    return [kind for kind in KINDS if covers(kind, field)]


RESOLVED = [(field, kind) for field in FIELDS for kind in kinds_of(field)]
CODED = [(field, kind["table"]) for field, kind in RESOLVED if kind["kind"] == "code"]


def test_there_are_401_fields() -> None:
    assert len(FIELDS) == 401


def test_a_field_resolves_to_one_kind_and_only_text_is_left_out() -> None:
    for field in FIELDS:
        found = kinds_of(field)
        assert len(found) <= 1, (field, found)
        assert found or field["coding"] == "ans", field


def test_every_row_of_kinds_is_about_some_field() -> None:
    unused = [kind for kind in KINDS if not any(covers(kind, field) for field in FIELDS)]
    assert not unused


@pytest.mark.parametrize(
    ("kind", "coding", "lengths"),
    [
        ("date", "cn", {4}),
        ("datetime", "cn", {7}),
        ("flag", "b", {1}),
        ("mark", "b", {1}),
        ("amount", "cn", {2, 3, 4, 5, 6}),
        ("count", "cn", {2, 3}),
        ("digits", "cn", {3, 6, 11}),
        ("photo", "b", {3072}),
        ("aid", "b", {16}),
        ("der", "b", {2048}),
        ("binary", "b", {180, 190}),
        ("signature", "b", {64}),
    ],
)
def test_a_kind_goes_with_one_coding(kind: str, coding: str, lengths: set[int]) -> None:
    fields = [field for field, found in RESOLVED if found["kind"] == kind]
    assert {field["coding"] for field in fields} == {coding}
    assert {int(field["length"]) for field in fields} == lengths


def test_code_and_only_code_names_a_table() -> None:
    assert all((kind["kind"] == "code") == bool(kind["table"]) for kind in KINDS)


def test_index_files_and_kinds_name_the_same_tables() -> None:
    files = sorted(path.stem for path in CODES.glob("*.csv") if path.stem != "index")
    assert files == TABLES
    assert sorted({kind["table"] for kind in KINDS if kind["table"]}) == TABLES


def test_the_index_gives_each_table_once_with_standard_and_titles() -> None:
    assert len(set(TABLES)) == len(TABLES)
    assert all(all(row.values()) for row in INDEX)


@pytest.mark.parametrize("table", TABLES)
def test_codes_are_unique_and_labelled_in_both_languages(table: str) -> None:
    codes = codes_of(table)
    assert codes
    assert len(set(codes)) == len(codes)
    for row in rows(CODES / f"{table}.csv"):
        assert set(row) == {"code", "label_en", "label_zh"}
        assert all(value == value.strip() and value for value in row.values()), row
        assert re.search(r"[\u4e00-\u9fff]", row["label_zh"]) or table == "abo_blood_group", row
        assert row["label_en"].isascii(), row


@pytest.mark.parametrize("path", sorted(CODES.glob("*.csv")), ids=lambda path: path.stem)
def test_files_are_utf8_with_plain_line_ends(path: Path) -> None:
    data = path.read_bytes()
    assert not data.startswith(b"\xef\xbb\xbf")
    assert b"\r" not in data
    assert data.endswith(b"\n")
    assert len(data.decode().splitlines()) == len(rows(path)) + 1


def test_every_code_fits_its_fields() -> None:
    for field, table in CODED:
        length = int(field["length"])
        pattern = {"cn": f"[0-9]{{1,{2 * length}}}", "ans": f"[0-9A-Z]{{1,{length}}}", "b": "[0-9]"}
        misfits = [
            code for code in codes_of(table) if not re.fullmatch(pattern[field["coding"]], code)
        ]
        assert not misfits, (field["name"], misfits)


def test_ethnic_groups_are_the_56_and_three_others() -> None:
    expected = [f"{number:02}" for number in range(1, 57)]
    assert codes_of("ethnicity") == [*expected, "97", "98", "99"]


def test_currencies_are_iso_4217_numbers_after_a_zero() -> None:
    table = {row["code"]: row["label_en"] for row in rows(CODES / "currency.csv")}
    assert all(re.fullmatch("0[0-9]{3}", code) for code in table)
    letters = [label[-5:] for label in table.values()]
    assert all(re.fullmatch(r"\([A-Z]{3}\)", name) for name in letters)
    assert len(set(letters)) == len(letters)
    known = {"0156": "CNY", "0344": "HKD", "0392": "JPY", "0826": "GBP", "0840": "USD"}
    assert {code: table[code][-4:-1] for code in known} == known


COLUMNS = {
    column["column"]: table
    for column in rows(LAYOUT / "columns.csv")
    for field, table in CODED
    if (field["path"], field["name"]) == (column["path"], column["field"])
}


def test_the_samples_have_coded_columns() -> None:
    assert set(COLUMNS) >= {"sex", "occupation", "payment_method_1", "bank_currency"}


@pytest.mark.parametrize("column", sorted(COLUMNS))
def test_codes_of_the_sample_table_are_known(column: str) -> None:
    values = {row.get(column, "") for row in rows(SAMPLES / "residents.csv")}
    assert not values - {""} - set(codes_of(COLUMNS[column]))


def test_codes_of_the_sample_records_are_known() -> None:
    for line in (SAMPLES / "residents.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        bank = record.get("bank_link") or {}
        record |= {f"bank_{name}": value for name, value in bank.items()}
        for column, table in COLUMNS.items():
            assert record.get(column, "") in {"", *codes_of(table)}, column


def test_the_bad_sample_s_blood_group_is_in_no_table() -> None:
    values = {row["abo_blood_group"] for row in rows(SAMPLES / "residents_bad.csv")}
    assert values - {""} - set(codes_of("abo_blood_group")) == {"9X"}


def test_the_documentation_has_a_line_for_each_table() -> None:
    page = (LAYOUT.parent.parent / "docs" / "reference" / "code-tables.md").read_text("utf-8")
    assert [
        row["table"]
        for row in INDEX
        if f"| `{row['table']}` | {row['standard']} | {row['closed']} |" not in page
    ] == []


def test_closed_are_the_tables_whose_standards_number_every_case() -> None:
    assert {row["closed"] for row in INDEX} == {"yes", "no"}
    assert {row["table"] for row in INDEX if row["closed"] == "yes"} == {
        "abo_blood_group",
        "rh_blood_group",
        "sex",
        "ethnicity",
        "marital_status",
        "relationship",
    }
