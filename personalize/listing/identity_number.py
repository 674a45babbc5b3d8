"""Resident identity numbers (GB 11643): check digit, birth date and sex."""

import re

from stdnum.cn import ric
from stdnum.exceptions import ValidationError

from .fault_codes import FaultCode
from .list_faults import Wrong

LENGTH = 18
_OLD = re.compile("[1-9][0-9]{14}")
SEXES = {"1": "male", "2": "female"}


def identity_problem(number: str) -> Wrong | None:
    """Why the text is not a resident identity number; None if it is one.

    The area code is not looked up: samples and newly formed counties are in no published list.
    """
    if len(number) != LENGTH:
        return _wrong(FaultCode.WRONG_LENGTH, f"{LENGTH} characters are needed, not {len(number)}")
    if not (number.isascii() and number[:-1].isdigit() and number[-1] in "0123456789X"):
        return _wrong(FaultCode.INVALID_IDENTITY_NUMBER, "not 17 digits and a check character")
    if ric.calc_check_digit(number) != number[-1]:
        return _wrong(FaultCode.CHECKSUM, "checksum is wrong")
    try:
        ric.get_birth_date(number)
    except ValidationError:
        problem = f"no such date in it: {birth_date_in(number)}"
        return _wrong(FaultCode.INVALID_IDENTITY_NUMBER, problem)
    return None


def whole_number(old: str) -> str | None:
    """The 18 characters of an identity number of 15 digits (GB 11643-1989); None of other texts.

    It has the year of birth in two digits, all of the 20th century, and no check character.
    """
    if not _OLD.fullmatch(old):
        return None
    number = f"{old[:6]}19{old[6:]}"
    number += ric.calc_check_digit(f"{number}0")
    return None if identity_problem(number) else number


def _wrong(code: FaultCode, problem: str) -> Wrong:
    return Wrong(code, problem, "compare it with the identity card, character by character")


def birth_date_in(number: str) -> str:
    """The birth date in an identity number, YYYYMMDD."""
    return number[6:14]


def sex_in(number: str) -> str:
    """The sex in an identity number by GB/T 2261.1: 1 male, 2 female."""
    return "1" if int(number[16]) % 2 else "2"
