"""What the values of a resident must be to one another: one cause, one fault."""

from datetime import date

import pytest

from personalize.listing.consistency import Validated, compact, validate
from personalize.listing.headers import Headers
from personalize.listing.rows import Row

ID, OTHER_ID = "990121198010071957", "11010519491231002X"
GOOD = {
    "name": "黄玉晨",
    "sex": "1",
    "birth_date": "19801007",
    "resident_id_number": ID,
    "document_type": "01",
    "document_number": ID,
    "card_number": ID,
    "card_category": "1",
    "issuer_name": "示例",
    "issuer_code": "990000123456",
    "city_code": "990100",
    "expiry_date": "20361231",
}
FOREIGNER = GOOD | {
    "resident_id_number": "",
    "document_type": "03",
    "document_number": "E65381318",
    "card_number": "E65381318",
}
BANK = {"bank_code": "990552000026", "bank_account_masked": "990666******9278"}


def validated(values: dict[str, str], faulty: frozenset[str] = frozenset()) -> Validated:
    return validate(Row(7, values, faulty), date(2026, 11, 23))


def told(values: dict[str, str], faulty: frozenset[str] = frozenset()) -> dict[str, str]:
    resident, faults = validated(values, faulty)
    assert resident.line == 7
    assert all(fault.line == 7 and fault.remedy for fault in faults)
    return {fault.field: fault.problem.split(",")[0] for fault in faults}


@pytest.mark.parametrize("values", [GOOD, FOREIGNER, GOOD | BANK])
def test_good_residents_have_no_fault(values: dict[str, str]) -> None:
    assert told(values) == {}


@pytest.mark.parametrize("wrong", [ID[:-1] + "0", ID[:-1], ID + "7", "x" * 30])
def test_a_wrong_identity_number_is_one_fault(wrong: str) -> None:
    same = dict.fromkeys(("resident_id_number", "document_number", "card_number"), wrong)
    assert list(told(GOOD | same)) == ["resident_id_number"]


def test_a_typo_in_the_identity_number_alone_is_one_fault() -> None:
    assert told(GOOD | {"resident_id_number": ID[:-1] + "0"}) == {
        "resident_id_number": "checksum is wrong"
    }


def test_a_wrong_document_number_is_one_fault() -> None:
    wrong = "E" * 19
    values = FOREIGNER | {"document_number": wrong, "card_number": wrong}
    assert list(told(values)) == ["document_number"]


def test_the_check_character_may_be_small_everywhere() -> None:
    small = dict.fromkeys(
        ("resident_id_number", "document_number", "card_number"), OTHER_ID.lower()
    )
    values = GOOD | small | {"sex": "2", "birth_date": "19491231"}
    resident, faults = validated(values)
    assert faults == ()
    assert {resident.values[column] for column in small} == {OTHER_ID}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"birth_date": "19000101"}, {"birth_date": "disagrees with resident_id_number"}),
        ({"birth_date": "19851345"}, {"birth_date": "no such date: 19851345"}),
        ({"sex": "2"}, {"sex": "disagrees with resident_id_number"}),
        ({"sex": "0"}, {}),
        ({"sex": "9"}, {}),
        (
            {"document_number": OTHER_ID, "card_number": OTHER_ID},
            {"document_number": "disagrees with resident_id_number"},
        ),
        ({"card_number": "E1"}, {"card_number": "neither the identity number nor the document"}),
        ({"document_type": "03", "document_number": "E1"}, {}),
        ({"document_type": "03", "document_number": "E1", "card_number": "E1"}, {}),
        ({"document_type": "03", "document_number": ""}, {"document_number": "required"}),
        ({"document_type": "", "document_number": ""}, {}),
        ({"document_type": ""}, {"document_type": "required"}),
        ({"document_type": "77"}, {"document_type": "not in code table"}),
        ({"resident_id_number": ""}, {"resident_id_number": "required"}),
        ({"resident_id_number": "", "document_number": ""}, {"document_number": "required"}),
    ],
)
def test_identity(change: dict[str, str], expected: dict[str, str]) -> None:
    found = told(GOOD | change)
    assert found.keys() == expected.keys()
    assert all(found[column].startswith(problem) for column, problem in expected.items())


@pytest.mark.parametrize(
    "column",
    [
        "name",
        "sex",
        "birth_date",
        "card_number",
        "card_category",
        "issuer_name",
        "issuer_code",
        "city_code",
    ],
)
def test_required_values(column: str) -> None:
    assert told(GOOD | {column: "  "}) == {column: "required"}
    assert told({k: v for k, v in GOOD.items() if k != column}) == {column: "required"}


def test_what_has_been_reported_is_not_reported_again() -> None:
    values = {k: v for k, v in GOOD.items() if k not in ("name", "resident_id_number")}
    assert told(values, frozenset(("name", "resident_id_number"))) == {}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"expiry_date": "20200101"}, {"expiry_date": "before issue"}),
        ({"expiry_date": "20261123"}, {}),
        ({"expiry_date": ""}, {}),
        (
            BANK | {"bank_link_date": "20261101", "bank_link_expiry_date": "20261031"},
            {"bank_link_expiry_date": "before link date"},
        ),
        (
            BANK | {"bank_link_date": "20261301", "bank_link_expiry_date": "20261031"},
            {"bank_link_date": "no such date: 20261301"},
        ),
        (
            {"vaccine_2": "卡介苗", "vaccination_date_2": "19801006"},
            {"vaccination_date_2": "before birth"},
        ),
        ({"vaccine_2": "卡介苗", "vaccination_date_2": "19801007"}, {}),
    ],
)
def test_dates_are_in_order(change: dict[str, str], expected: dict[str, str]) -> None:
    assert told(GOOD | change) == expected


def test_nobody_is_born_after_the_issue() -> None:
    assert told(FOREIGNER | {"birth_date": "20261124"}) == {"birth_date": "after issue"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"allergic_reaction_2": "皮疹"}, ["allergen_2"]),
        ({"vaccination_date_10": "20200101"}, ["vaccine_10"]),
        (
            {"link_date_20": "20261101"},
            ["hospital_organization_code_20", "hospital_patient_number_20"],
        ),
        ({"bank_name": "示例银行"}, ["bank_code", "bank_account_masked"]),
        ({"allergen_2": "青霉素"}, []),
        ({"vaccine_1": "卡介苗"}, []),
    ],
)
def test_entries_need_what_they_are_about(change: dict[str, str], expected: list[str]) -> None:
    assert told(GOOD | change) == dict.fromkeys(expected, "required")


def test_an_account_number_is_never_shown() -> None:
    account = "6222020000000000005"
    leaks = {"bank_account_masked": account, "bank_code": account, "bank_name": account * 2}
    _, faults = validated(GOOD | leaks)
    assert len(faults) == 3
    assert not [fault for fault in faults if "0000000000" in fault.value]


def test_a_row_with_faults_is_not_changed_and_its_resident_cannot_be() -> None:
    row = Row(7, dict(GOOD) | {"card_number": ID.lower(), "sex": "男"})
    before = dict(row.values)
    resident, faults = validate(row, date(2026, 11, 23))
    assert row.values == before
    assert [fault.field for fault in faults] == ["sex"]
    assert validate(row, date(2026, 11, 23)) == (resident, faults)
    with pytest.raises(AttributeError):
        resident.line = 8  # type: ignore[misc]


def test_other_columns_are_called_as_the_list_calls_them() -> None:
    headers = Headers({"resident_id_number": "居民身份证号码", "sex": "性别"})
    row = Row(7, GOOD | {"sex": "2", "card_number": "E1"}, headers=headers)
    card_number, sex = validate(row, date(2026, 11, 23))[1]
    assert (sex.column, sex.problem) == (
        "性别",
        "disagrees with 居民身份证号码 (resident_id_number)",
    )
    assert card_number.column == "卡号"
    assert card_number.remedy == "write the number of 居民身份证号码 (resident_id_number) here"


def test_what_is_blank_is_said_in_plain_words() -> None:
    blank = {"name": "", "resident_id_number": "", "document_number": "", "document_type": ""}
    name, number = validate(Row(7, GOOD | blank), date(2026, 11, 23))[1]
    assert (name.problem, name.remedy) == (
        "required, but blank",
        "write the name: every card needs it",
    )
    assert number.remedy == (
        "every resident needs a number: write resident_id_number or document_number"
    )


def test_faults_come_in_the_order_of_the_columns() -> None:
    assert list(told({"allergic_reaction_1": "x", "sex": "7", "card_number": "1"})) == [
        "card_category",
        "issuer_name",
        "issuer_code",
        "city_code",
        "name",
        "sex",
        "birth_date",
        "document_number",
        "allergen_1",
    ]


def test_dates_are_written_as_the_card_does() -> None:
    assert compact(date(326, 1, 2)) == "03260102"


@pytest.mark.parametrize(
    ("column", "day", "problem"),
    [
        ("birth_date", "10801007", "before 1900"),
        ("birth_date", "18991231", "before 1900"),
        ("birth_date", "20261124", "after issue"),
        ("expiry_date", "19000101", "before issue"),
        ("expiry_date", "18991231", "before 1900"),
        ("expiry_date", "21261124", "more than 100 years after issue"),
        ("vaccination_date_1", "10991231", "before 1900"),
        ("vaccination_date_10", "20261124", "after issue"),
        ("link_date_20", "10261101", "before 1900"),
        ("link_date_1", "20261124", "after issue"),
        ("bank_link_date", "02261101", "before 1900"),
        ("bank_link_date", "20261124", "after issue"),
        ("bank_link_expiry_date", "22361231", "more than 100 years after issue"),
    ],
)
def test_a_date_out_of_all_reason_is_told(column: str, day: str, problem: str) -> None:
    entries = {
        "vaccine_1": "卡介苗",
        "vaccine_10": "卡介苗",
        "hospital_organization_code_1": "44510003-9",
        "hospital_patient_number_1": "MR1",
        "hospital_organization_code_20": "44510003-9",
        "hospital_patient_number_20": "MR1",
    }
    assert told(FOREIGNER | BANK | entries | {column: day})[column].startswith(problem)


@pytest.mark.parametrize(
    "column", ["vaccination_date_1", "link_date_1", "link_date_20", "bank_link_date"]
)
def test_nothing_happened_to_a_resident_before_the_birth(column: str) -> None:
    entries = {
        "vaccine_1": "卡介苗",
        "hospital_organization_code_1": "44510003-9",
        "hospital_patient_number_1": "MR1",
        "hospital_organization_code_20": "44510003-9",
        "hospital_patient_number_20": "MR1",
    }
    found = told(FOREIGNER | BANK | entries | {"birth_date": "19801007", column: "19801006"})
    assert found == {column: "before birth"}
    assert told(FOREIGNER | BANK | entries | {"birth_date": "19801007", column: "19801007"}) == {}


@pytest.mark.parametrize(
    ("column", "day"),
    [
        ("birth_date", "19000101"),
        ("birth_date", "20261123"),
        ("expiry_date", "99991231"),
        ("expiry_date", "21261123"),
        ("bank_link_expiry_date", "99991231"),
        ("bank_link_date", "20261123"),
    ],
)
def test_a_date_at_the_limit_passes(column: str, day: str) -> None:
    assert told(FOREIGNER | BANK | {column: day}) == {}
