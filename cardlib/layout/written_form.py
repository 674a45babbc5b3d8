"""The form in which fields are written, where deployed cards differ from the specification."""

from dataclasses import dataclass
from enum import Enum


class OneDigit(Enum):
    """How a one-digit code is written into a `cn` field of one byte. Both forms are always read."""

    DIGIT_F = "nF"
    ZERO_DIGIT = "0n"


class Blank(Enum):
    """The byte that fills a text field without a value. Its value is that byte."""

    NOT_WRITTEN = b"\xff"
    ZEROS = b"\0"
    SPACES = b" "


@dataclass(frozen=True, slots=True)
class WrittenForm:
    """How fields are written; the default is the card specification's section 2.

    The others are settings of a profile (card specification 10, amendment 12). Reading does not
    depend on it.
    """

    one_digit: OneDigit = OneDigit.DIGIT_F
    blank_text: Blank = Blank.NOT_WRITTEN


SPECIFIED = WrittenForm()
"""The form of section 2: nF, and no bytes for a text without a value."""
