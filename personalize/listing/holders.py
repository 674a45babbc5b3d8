"""Who a card's holder is: by which numbers a resident is one, and how numbers are compared."""

import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from cardlib.layout.characters import unfit_in
from cardlib.layout.tables import read_table

NUMBER_COLUMNS = ("card_number", "resident_id_number", "document_number")
"""Each of them may name the holder."""

_CAPITALS = re.compile("[0-9A-Z]+")
_JOINERS = re.compile("[\u034f\u115f\u1160\u180b-\u180f\u3164\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""Characters that are not format characters by Unicode, but nobody sees them either."""


def comparable(number: str) -> str:
    """A number as it is compared: NFKC, capitals, without blanks and what nobody sees.

    The same for "E12345678", "e1234 5678" and the full-width form. Stable: it is comparable itself.
    """
    if number.isascii():
        return "".join(number.upper().split())
    before = ""
    while number != before:
        before = number
        number = unicodedata.normalize("NFKC", _visible(number).upper())
    return number


def _visible(text: str) -> str:
    hidden = {unfit.char for unfit in unfit_in(text) if unfit.kind == "format character"}
    kept = "".join(char for char in text if not (char.isspace() or char in hidden))
    return _JOINERS.sub("", kept)


def numbers_of(values: Mapping[str, str]) -> dict[str, str]:
    """Each comparable number of a resident, with the first of NUMBER_COLUMNS that holds it."""
    found: dict[str, str] = {}
    for column in NUMBER_COLUMNS:
        if number := comparable(values.get(column, "")):
            found.setdefault(number, column)
    return found


def holders(values: Mapping[str, str]) -> frozenset[str]:
    """The comparable numbers by which a resident is one, whichever column they stand in.

    Two residents that share one of them are one holder. Numbers are not told apart by the class
    of the document: a card shows its number without one.
    """
    return frozenset(numbers_of(values))


def spelling_remedy(document_type: str, number: str) -> str | None:
    """What to write if the number is not spelled as its class of document demands; else None."""
    if _spellings().get(document_type) != "capitals" or _CAPITALS.fullmatch(number):
        return None
    right = comparable(number)
    if _CAPITALS.fullmatch(right):
        return f"write {right}"
    return "write it as on the document: capital letters A to Z and digits only"


@cache
def _spellings() -> dict[str, str]:
    rows = read_table(Path(__file__).with_name("document_numbers.csv"))
    return {row["document_type"]: row["spelling"] for row in rows}
