"""Numbers that a spreadsheet rounded are told in the whole list, not by the luck of a checksum.

The check digits are from GB 11643's rule, by hand.
"""

from datetime import date
from pathlib import Path

from personalize.listing.consistency import validate
from personalize.listing.identity_number import identity_problem
from personalize.listing.photos import PhotoShop
from personalize.listing.rounding import ROUNDED, rounded_numbers
from personalize.listing.rows import Row
from personalize.preparation.prepare import read_list, validate_all
from tests import DATA

WRONG, WHOLE = "990121195010071000", "990121198010071957"


def check_digit(number: str) -> str:
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return "10X98765432"[sum(int(d) * w for d, w in zip(number, weights, strict=False)) % 11]


def lucky() -> list[str]:
    """Identity numbers that end in 000 with a right check digit."""
    days = (f"990121{year}1007100" for year in range(1950, 2010))
    return [day + "0" for day in days if check_digit(day) == "0"]


def rounded(column: str, *numbers: str) -> frozenset[str]:
    rows = (Row(line, {column: number}) for line, number in enumerate(numbers, 2))
    return rounded_numbers(rows).numbers


def test_all_are_told_when_all_end_in_zeros_whatever_their_checksum() -> None:
    two = lucky()[:2]
    assert [identity_problem(number) for number in two] == [None, None]
    assert rounded("resident_id_number", *two) == set(two)


def test_one_number_alone_may_be_honest() -> None:
    assert rounded("resident_id_number", lucky()[0]) == set()
    assert rounded("resident_id_number", *[lucky()[0]] * 2) == set()


def test_one_among_whole_numbers_may_be_honest() -> None:
    assert rounded("resident_id_number", *lucky()[:2], WHOLE) == set()


def test_a_wrong_checksum_shows_that_the_others_are_rounded_too() -> None:
    assert identity_problem(WRONG)
    assert rounded("resident_id_number", lucky()[0], WRONG, WHOLE) == {lucky()[0], WRONG}


def test_a_wrong_one_alone_is_told_with_its_cause() -> None:
    row = Row(2, {"resident_id_number": WRONG})
    faults = validate(row, date(2026, 11, 23), rounded_numbers([row]))[1]
    found = {fault.field: fault.problem for fault in faults}
    assert found["resident_id_number"] == ROUNDED.problem


def test_damage_of_another_number_shows_it() -> None:
    row = Row(2, {"resident_id_number": lucky()[0], "rural_insurance_number": "4.30102E+17"})
    assert rounded_numbers([row]).numbers == {lucky()[0]}


def test_two_columns_of_one_resident_show_it_together() -> None:
    row = Row(2, {"resident_id_number": lucky()[0], "health_record_number": "99011390973406900"})
    assert rounded_numbers([row]).numbers == set(row.values.values())


def test_few_zeros_are_no_proof() -> None:
    assert rounded("bank_agreement_number", "1234567890123450", "1234567890123460") == set()
    assert rounded("health_record_number", "99011390973400100") == set()


def test_health_record_numbers_and_numbers_of_nineteen_digits_are_told() -> None:
    records = ("99011390973406900", "99013964259078400")
    assert rounded("health_record_number", *records) == set(records)
    longer = ("6222021234567890000", "6222021234567880000")
    assert rounded("hospital_patient_number_2", *longer) == set(longer)


def test_codes_that_end_in_zeros_are_left_alone() -> None:
    codes = ("9901000000000000000000", "9902000000000000000000")
    assert rounded("issuer_code", *codes) == set()


def test_a_number_with_a_leading_zero_never_was_a_spreadsheet_s_number() -> None:
    assert rounded("document_number", "012345678901234000", "022345678901234000") == set()


def test_an_identity_number_with_x_stays_text_in_a_spreadsheet_and_proves_nothing() -> None:
    two = lucky()[:2]
    assert rounded("resident_id_number", *two, "11010519491231002X") == set(two)


def test_one_whole_number_does_not_hide_many_rounded_ones() -> None:
    many = [f"4301021990010{n:02}000" for n in range(11, 22)]
    assert rounded("rural_insurance_number", *many, "430102199001011234") == set(many)


def test_rounded_numbers_are_told_among_forty_nine_times_as_many_but_not_more() -> None:
    four = [f"4301021990010{n}000" for n in (11, 12, 13, 14)]
    whole = [f"43010219900101{n:04}" for n in range(1001, 1001 + 400) if n % 1000]
    assert rounded("rural_insurance_number", *four, *whole[:196]) == set(four)
    assert rounded("rural_insurance_number", *four, *whole[:197]) == set()
    assert rounded("rural_insurance_number", *four[:3], *whole[:3]) == set()


def test_a_damaged_telephone_number_shows_it_too() -> None:
    row = Row(2, {"resident_id_number": lucky()[0], "phone_1": "1.99E+10"})
    assert rounded_numbers([row]).numbers == {lucky()[0]}


def test_residents_whose_numbers_were_rounded_are_no_duplicates(tmp_path: Path) -> None:
    lines = (DATA / "cases" / "excel-rounded-list.csv").read_text("utf-8").splitlines()
    path = tmp_path / "list.csv"
    path.write_text("\n".join([*lines, lines[1]]), "utf-8")
    residents = read_list(path)
    found = validate_all(residents, PhotoShop(tmp_path), date(2026, 11, 23))
    told = [(fault.line, fault.problem) for _, faults in found for fault in faults]
    assert told == [(line, ROUNDED.problem) for line in range(2, 15)]
