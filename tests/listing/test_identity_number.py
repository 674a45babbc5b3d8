"""Resident identity numbers: checksum, date and sex, whatever the area."""

import pytest

from personalize.listing.identity_number import (
    birth_date_in,
    identity_problem,
    sex_in,
    whole_number,
)

# 11010519491231002X is the example of GB 11643-1999; 990121… are of the samples' made-up area.
GOOD = ["11010519491231002X", "990121198010071957", "990125200905043442"]


@pytest.mark.parametrize("number", GOOD)
def test_good_numbers_pass_whatever_their_area(number: str) -> None:
    assert identity_problem(number) is None


@pytest.mark.parametrize("number", GOOD)
@pytest.mark.parametrize("place", range(18))
def test_one_wrong_digit_is_seen(number: str, place: int) -> None:
    wrong = "1" if number[place] != "1" else "2"
    found = identity_problem(number[:place] + wrong + number[place + 1 :])
    assert found and found.problem == "checksum is wrong"


@pytest.mark.parametrize(
    ("number", "problem"),
    [
        ("", "18 characters are needed, not 0"),
        ("110105491231002", "18 characters are needed, not 15"),
        ("1101051949123100２X", "not 17 digits and a check character"),
        ("X1010519491231002X", "not 17 digits and a check character"),
        ("110105194912310021", "checksum is wrong"),
        ("110105194913310021", "no such date in it: 19491331"),
    ],
)
def test_other_texts_are_told(number: str, problem: str) -> None:
    found = identity_problem(number)
    assert found and found.problem == problem


def test_birth_date_and_sex_are_in_it() -> None:
    assert birth_date_in("11010519491231002X") == "19491231"
    assert sex_in("11010519491231002X") == "2"
    assert sex_in("990121198010071957") == "1"


@pytest.mark.parametrize(
    ("old", "number"),
    [
        ("110105491231002", "11010519491231002X"),
        ("990121801007195", "990121198010071957"),
        ("110105491331002", None),
        ("010105491231002", None),
        ("11010549123100", None),
        ("11010549123100X", None),
        ("11010519491231002X", None),
    ],
)
def test_a_number_of_15_digits_has_18_characters_today(old: str, number: str | None) -> None:
    assert whole_number(old) == number
