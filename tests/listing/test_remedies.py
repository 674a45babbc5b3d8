"""What to write instead: the message does the work that it can do."""

import pytest

from personalize.listing.rules import check_value

MAPS = ", or map all labels: --map FILE"
YEAR_FIRST = "a date is YYYYMMDD: write 19900102"


@pytest.mark.parametrize(
    "written",
    [
        "1990-01-02", "1990/1/2", "1990.01.02", "1990年1月2日", "1990年01月02", "１９９００１０２",
        "1990／01／02", "1990-1-2 0:00:00", "1990/1/2 0:00", "1990-01-02T00:00:00",
    ],
)  # fmt: skip
def test_a_date_that_is_clear_is_written_out(written: str) -> None:
    found = check_value("birth_date", written)
    assert (found.problem, found.remedy) == ("not a date as YYYYMMDD", YEAR_FIRST)


@pytest.mark.parametrize(
    ("written", "right"),
    [("01.01.1990", "19900101"), ("31.12.1990", "19901231"), ("12/31/1990", "19901231")],
)
def test_a_year_at_the_end_is_taken_when_there_is_one_reading(written: str, right: str) -> None:
    assert check_value("birth_date", written).remedy == f"a date is YYYYMMDD: write {right}"


@pytest.mark.parametrize("written", ["01.02.1990", "1/2/1990", "12-11-1990"])
def test_a_date_with_two_readings_is_not_guessed(written: str) -> None:
    remedy = check_value("birth_date", written).remedy
    assert "1990" not in remedy
    assert "write the year, the month, then the day" in remedy


@pytest.mark.parametrize(
    "written", ["1990-02-30", "32.12.1990", "1990", "90-01-01", "1990-01", "soon", "1990-01/02"]
)
def test_what_is_no_date_is_not_made_one(written: str) -> None:
    remedy = check_value("birth_date", written).remedy
    assert remedy == "write a date that exists as YYYYMMDD, such as 19801231"


@pytest.mark.parametrize(
    ("column", "written", "remedy"),
    [
        ("sex", "男", "write 1 for male (男)"),
        ("sex", "女", "write 2 for female (女)"),
        ("sex", "女性", "write 2 for female (女性)"),
        ("sex", "MALE", "write 1 for male (男性)"),
        ("sex", "Ｍａｌｅ", "write 1 for male (男性)"),
        ("sex", "１", "write 1 for male (男性)"),
        ("sex", "01", "write 1 for male (男性)"),
        ("ethnicity", "汉", "write 01 for Han (汉)"),
        ("ethnicity", "汉族", "write 01 for Han (汉族)"),
        ("ethnicity", "han", "write 01 for Han (汉族)"),
        ("abo_blood_group", "A型", "write 1 for A (A型)"),
        ("abo_blood_group", "ab", "write 4 for AB (AB型)"),
        ("rh_blood_group", "阳", "write 2 for positive (阳)"),
        ("marital_status", "已婚", "write 20 for married (已婚)"),
        ("document_type", "护照", "write 03 for passport (护照)"),
        ("document_type", "Passport", "write 03 for passport (护照)"),
    ],
)
def test_a_label_is_answered_with_its_code(column: str, written: str, remedy: str) -> None:
    found = check_value(column, written)
    hint = "" if written.isdigit() else MAPS
    assert (found.problem, found.remedy) == ("not in code table", remedy + hint)


@pytest.mark.parametrize(
    ("column", "written"),
    [("sex", "性"), ("sex", "M"), ("abo_blood_group", "B+"), ("rh_blood_group", "A型"),
     ("marital_status", "婚"), ("ethnicity", "族")],
)  # fmt: skip
def test_what_is_no_label_gets_no_code(column: str, written: str) -> None:
    remedy = check_value(column, written).remedy
    assert remedy.startswith(("write a code of ", "write one of the "))


def test_a_label_with_two_codes_names_both() -> None:
    remedy = check_value("occupation", "专业技术人员").remedy
    assert remedy.startswith("write 13 for ")
    assert ", or 100 for " in remedy


@pytest.mark.parametrize("written", ["yes", "Y", "是", "有", "TRUE"])
def test_yes_is_one(written: str) -> None:
    assert check_value("asthma", written).remedy == "write 1 for yes"


@pytest.mark.parametrize("written", ["no", "N", "否", "无", "没有"])
def test_no_is_nought_only_if_that_is_known(written: str) -> None:
    """无 may stand for "no asthma" and for "nothing noted": the list's owner knows, we do not."""
    remedy = check_value("asthma", written).remedy
    assert remedy == "write 0 if the answer is no; leave the value blank if it is not known"


@pytest.mark.parametrize("written", ["29501", "44197", "44197.5"])
def test_a_spreadsheet_s_day_number_is_told_as_one(written: str) -> None:
    found = check_value("birth_date", written)
    assert "spreadsheet counted days" in found.remedy and "yyyymmdd" in found.remedy
