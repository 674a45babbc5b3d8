"""CSV and JSON Lines to rows: every fault of the form, by physical line, and no traceback."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cardlib.layout import COLUMNS
from personalize.listing.fault_codes import FaultCode
from personalize.listing.list_faults import Wrong
from personalize.listing.list_rows import read_rows
from personalize.listing.rows import REQUIRED, Listing

HEADER = ",".join((*REQUIRED, "document_number", "address_1"))
ROW = "王䶮,1,19800101,E1,1,示例,990000123456,990100,E1,"


def csv_of(*lines: str) -> Listing:
    return read_rows("\n".join((HEADER, *lines)), is_json=False)


def json_of(*lines: object) -> Listing:
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    return read_rows("\n".join(texts), is_json=True)


def told(listing: Listing) -> list[tuple[int, str, str]]:
    assert all(fault.remedy for fault in listing.faults)
    return [(fault.line, fault.field, fault.problem) for fault in listing.faults]


# --- CSV --------------------------------------------------------------------------------


def test_rows_carry_their_lines() -> None:
    listing = csv_of(ROW + "a", "", ROW + '"b\nc\r\nd"', ROW + "e")
    assert told(listing) == []
    assert [(row.line, row.values["address_1"]) for row in listing.rows] == [
        (2, "a"),
        (4, "b\nc\r\nd"),
        (7, "e"),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_line_end_will_do(end: str) -> None:
    listing = read_rows(end.join((HEADER, ROW, ROW, "")), is_json=False)
    assert [row.line for row in listing.rows] == [2, 3]


def test_unicode_line_separators_are_no_line_ends() -> None:
    listing = csv_of(ROW + "a\u2028b\x0cc\x85d", ROW)
    assert [row.line for row in listing.rows] == [2, 3]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_header_shows_the_delimiter(delimiter: str) -> None:
    text = f"{HEADER}\n{ROW}".replace(",", delimiter)
    listing = read_rows(text, is_json=False)
    assert told(listing) == []
    assert listing.rows[0].values["name"] == "王䶮"


def test_chinese_labels_are_columns() -> None:
    header = HEADER.replace("name", "姓名", 1).replace("birth_date", "出生日期")
    listing = read_rows(f"{header},过敏物质名称_1\n{ROW},青霉素", is_json=False)
    assert told(listing) == []
    assert listing.rows[0].values["name"] == "王䶮"
    assert listing.rows[0].values["birth_date"] == "19800101"
    assert listing.rows[0].values["allergen_1"] == "青霉素"


def test_lines_of_blanks_are_no_residents() -> None:
    assert [row.line for row in csv_of("," * 9, ROW, " ,\t,,,,,,,,").rows] == [3]


def test_nul_is_left_to_its_field() -> None:
    listing = csv_of(ROW + "a\0b")
    assert told(listing) == []
    assert listing.rows[0].values["address_1"] == "a\0b"


def test_unknown_and_duplicate_columns_are_told_once_at_the_header() -> None:
    header = HEADER + ",shoe_size,姓名,,issue_date"
    listing = read_rows(f"{header}\n{ROW},,,,\n{ROW},1,2,3,4\n", is_json=False)
    assert told(listing) == [
        (1, "shoe_size", "unknown column"),
        (1, "name", "duplicate column"),
        (1, "issue_date", "unknown column"),
        (1, "", "column 13 (M) has no title, but a value in line 3"),
    ]
    assert [row.values["name"] for row in listing.rows] == ["王䶮", "王䶮"]


@pytest.mark.parametrize("name", [*REQUIRED, "document_number"])
def test_a_missing_required_column_is_told_once(name: str) -> None:
    header = HEADER.replace(name, "phone_1", 1) if name != "name" else "phone_1" + HEADER[4:]
    listing = read_rows(f"{header}\n{ROW}\n{ROW}\n", is_json=False)
    assert told(listing) == [(1, name, "required column missing")]
    assert name in listing.rows[0].faulty


def test_a_missing_number_of_the_holder_may_be_either() -> None:
    listing = read_rows(HEADER.replace("document_number,", "") + "\n", is_json=False)
    (fault,) = listing.faults
    assert (fault.column, fault.problem, fault.remedy) == (
        "resident_id_number or document_number",
        "required column missing",
        "add a column resident_id_number or document_number",
    )


def test_a_misspelled_required_column_is_one_fault_at_its_header() -> None:
    header = HEADER.replace("document_number", "身份证号").replace("birth_date", "出生年月日")
    listing = read_rows(f"{header}\n{ROW}", is_json=False)
    assert told(listing) == [
        (1, "出生年月日", "unknown column"),
        (1, "身份证号", "unknown column"),
    ]
    assert listing.rows[0].faulty == {"birth_date", "document_number"}


def test_a_fault_names_the_column_as_the_list_does() -> None:
    listing = read_rows(f"{HEADER},姓名,Phone_1, phone_1\n{ROW},,,\n", is_json=False)
    assert [(fault.field, fault.column) for fault in listing.faults] == [
        ("name", "姓名"),
        ("phone_1", "phone_1"),
    ]
    (row,) = listing.rows
    wrong = Wrong(FaultCode.TOO_LONG, "wrong", "correct it")
    fault = row.fault("phone_1", wrong)
    assert (fault.line, fault.field, fault.column) == (2, "phone_1", "Phone_1")
    (row,) = json_of({"姓名": "王䶮", "性别": "1", "birth_date": "1"}).rows
    columns = ("name", "birth_date", "card_number")
    assert [row.fault(c, wrong).column for c in columns] == ["姓名", "birth_date", "卡号"]


def test_the_identity_number_stands_for_the_document_number() -> None:
    header = HEADER.replace("document_number", "resident_id_number")
    assert told(read_rows(f"{header}\n{ROW}", is_json=False)) == []


def test_a_wrong_column_count_is_told_and_the_others_are_read() -> None:
    listing = csv_of(ROW + "a,b", "x", ROW)
    assert told(listing) == [
        (2, "", "wrong column count: 11, the header has 10"),
        (3, "", "wrong column count: 1, the header has 10"),
    ]
    assert [row.line for row in listing.rows] == [4]


def test_broken_quoting_is_told_where_the_record_begins() -> None:
    listing = csv_of(ROW, ROW + '"a"b', ROW, ROW + '"never closed', ROW, ROW)
    assert told(listing) == [
        (3, "", "broken quoting: ',' expected after '\"'"),
        (5, "", "broken quoting: a quoted value is never closed"),
    ]
    assert [row.line for row in listing.rows] == [2, 4, 6, 7]


def test_a_value_without_end_is_told() -> None:
    listing = csv_of(ROW + "a" * 200_000, ROW)
    assert told(listing) == [(2, "", "a value is too long: more than 131,072 characters")]
    assert [row.line for row in listing.rows] == [3]


def test_a_header_without_end_is_told() -> None:
    listing = read_rows(HEADER + "a" * 200_000 + f"\n{ROW}\n", is_json=False)
    assert told(listing) == [
        (1, "", "broken header: a value is too long: more than 131,072 characters")
    ]


def test_a_quote_that_is_never_closed_over_many_lines_is_told() -> None:
    listing = csv_of(ROW + '"a', *[ROW] * 5000)
    assert told(listing)[0] == (2, "", "broken quoting: a quoted value is never closed")


def test_broken_lines_without_end_are_told_briefly() -> None:
    listing = csv_of(*[ROW + '"a"b'] * 5000)
    assert len(listing.faults) == 101
    assert listing.faults[-1].line == 102
    assert "too many broken lines" in listing.faults[-1].problem


def test_a_broken_header_is_told() -> None:
    assert told(read_rows('name,"sex', is_json=False))[0][2].startswith("broken header")


@pytest.mark.parametrize("text", ["", HEADER, HEADER + "\n\n"])
def test_a_list_of_nobody_is_told(text: str) -> None:
    assert [p for _, _, p in told(read_rows(text, is_json=False))] in (
        ["no residents"],
        ["broken header: no header"],
    )


# --- JSON Lines -------------------------------------------------------------------------


def test_nested_records_become_columns() -> None:
    listing = json_of(
        {
            "name": "王䶮",
            "姓名": None,
            "allergies": [{"allergen": "a"}, {}, {"过敏物质名称": "c", "过敏反应": "d"}],
            "immunizations": [{"vaccine": "v", "vaccination_date": "20200101"}],
            "hospital_links": None,
            "bank_link": {"bank_code": "1", "account_masked": "6*", "bank_currency": "0156"},
            "phone_1": None,
        }
    )
    assert told(listing) == [(1, "name", "given twice")]
    assert listing.rows[0].values == {
        "name": "王䶮",
        "allergen_1": "a",
        "allergen_3": "c",
        "allergic_reaction_3": "d",
        "vaccine_1": "v",
        "vaccination_date_1": "20200101",
        "bank_code": "1",
        "bank_account_masked": "6*",
        "bank_currency": "0156",
        "phone_1": "",
    }


def test_flat_columns_work_in_json_too() -> None:
    listing = json_of({"allergen_2": "a", "过敏反应_2": "b"})
    assert listing.rows[0].values == {"allergen_2": "a", "allergic_reaction_2": "b"}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (1, "a number, not text"),
        (1.5, "a number, not text"),
        (float("nan"), "a number, not text"),
        (True, "true or false, not text"),
        ([], "not text"),
        ({"a": 1}, "not text"),
    ],
)
def test_values_that_are_no_text_are_refused(value: object, problem: str) -> None:
    listing = json_of({"sex": value})
    assert told(listing) == [(1, "sex", problem)]
    assert listing.rows[0].faulty == {"sex"}


def test_a_number_of_any_size_is_refused() -> None:
    assert told(json_of('{"sex": 1' + "0" * 5000 + "}")) == [(1, "sex", "a number, not text")]


def test_the_number_trap_is_explained() -> None:
    (fault,) = json_of('{"ethnicity": 01, "sex": 1}', '{"sex": 1.50}').faults[1:]
    assert (fault.value, fault.remedy) == (
        "1.50",
        'put it in quotes, with its leading zeros: "1.50"',
    )


@pytest.mark.parametrize(
    ("record", "field", "problem"),
    [
        ({"allergies": [{}] * 4}, "allergies", "too many: 4 entries, the card holds 3"),
        ({"immunizations": [{}] * 11}, "immunizations", "too many: 11 entries, the card holds 10"),
        ({"hospital_links": [{}] * 21}, "hospital_links", "too many: 21 entries, the card holds"),
        ({"allergies": {"allergen": "a"}}, "allergies", "not a list"),
        ({"allergies": ["青霉素"]}, "allergies", "not an object"),
        ({"bank_link": []}, "bank_link", "not an object"),
        ({"bank_link": "x"}, "bank_link", "not an object"),
        ({"bank_link": {"vaccine": "x"}}, "bank_link.vaccine", "unknown column"),
        ({"allergies": [{"allergen": 5}]}, "allergen_1", "a number, not text"),
        ({"shoe_size": "43"}, "shoe_size", "unknown column"),
    ],
)
def test_wrong_shapes_are_told(record: dict[str, object], field: str, problem: str) -> None:
    ((line, found, why),) = told(json_of("", record | {"name": "x"}))
    assert (line, found) == (2, field)
    assert why.startswith(problem)


def test_a_list_and_a_column_for_one_entry_are_told() -> None:
    listing = json_of({"allergies": [{"allergen": "a"}], "allergen_1": "b"})
    assert told(listing) == [(1, "allergen_1", "given twice")]


def test_an_unknown_member_is_told_once() -> None:
    listing = json_of(*[{"shoe_size": "43", "name": "x"}] * 50)
    assert told(listing) == [(1, "shoe_size", "unknown column")]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "broken JSON: Expecting property name"),
        ("{'name': 'x'}", "broken JSON: Expecting property name"),
        ('{"name": "x"} {}', "broken JSON: Extra data"),
        ('{"name": "a\nb"}', "broken JSON"),
        ('{"a":' * 100_000, "broken JSON"),
        ("5", "not a JSON object"),
        ("null", "not a JSON object"),
        ('"name"', "not a JSON object"),
    ],
)
def test_a_broken_line_is_told_and_the_others_are_read(line: str, problem: str) -> None:
    listing = json_of({"name": "x"}, line, {"name": "y"})
    assert listing.faults[0].line == 2
    assert listing.faults[0].problem.startswith(problem)
    assert [row.values["name"] for row in listing.rows] == ["x", "y"]


def test_a_json_list_is_told_once() -> None:
    assert told(json_of("[", '{"name": "x"},', "]")) == [(1, "", "a JSON list, not JSON Lines")]


def test_broken_json_lines_without_end_are_told_briefly() -> None:
    listing = json_of({"name": "x"}, *["{"] * 5000)
    assert len(listing.faults) == 101
    assert listing.faults[-1].line == 102


@pytest.mark.parametrize("text", ["{}", "\n\n", '{"name": ""}', '{"name": null}'])
def test_json_of_nobody_is_told(text: str) -> None:
    assert told(read_rows(text, is_json=True)) == [(1, "", "no residents")]


# --- anything ---------------------------------------------------------------------------

pieces = st.sampled_from(
    [HEADER, ROW, ",", '"', "\n", "\r", "\0", "{", "}", "[", ":", '"name"', "null", "1", "\ufeff"]
)


@given(st.lists(pieces | st.text(max_size=8), max_size=30).map("".join), st.booleans())
@example("\n", False)
@example('""\n"', False)
def test_no_text_gives_a_traceback(text: str, is_json: bool) -> None:
    listing = read_rows(text, is_json=is_json)
    lines = text.count("\n") + text.count("\r") + 1
    assert all(1 <= fault.line <= lines for fault in listing.faults)
    assert listing.rows or listing.faults


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
members = st.sampled_from([*(column.name for column in COLUMNS), "allergies", "bank_link", "x"])


@given(st.lists(st.dictionaries(members, json_values, max_size=8), max_size=4))
def test_no_json_gives_a_traceback(records: list[dict[str, object]]) -> None:
    listing = json_of(*records)
    assert all(isinstance(v, str) for row in listing.rows for v in row.values.values())
