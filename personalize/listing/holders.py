"""Who the holder of a card is: which numbers tell, and how numbers are compared."""

import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from cardlib.layout.characters import unfit_in
from cardlib.layout.tables import read_table

from .identity_number import whole_number

NUMBER_COLUMNS = ("card_number", "resident_id_number", "document_number")
"""Each of them may name the holder."""

_PERMIT = re.compile("([HM][0-9]{8})[0-9]{2}")
_CAPITALS = re.compile("[0-9A-Z]+")
_HIDDEN = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef"
_MONGOLIAN = "\u180b-\u180f"
"""Characters that are not format characters by Unicode, but nobody sees them either."""

_JOINERS = re.compile(f"[{_HIDDEN}{_MONGOLIAN}]")
_UNSEEN = re.compile(f"[{_HIDDEN}]|(?<![\u1800-\u18af])[{_MONGOLIAN}]")


def comparable(number: str) -> str:
    """Bring a number into the form for comparing: NFKC, capitals, no blanks, nothing invisible.

    "E12345678", "e1234 5678" and the full-width form give the same, and so does an identity number
    of 15 digits, as they were until 1999, with its 18 characters. A travel permit of Hong Kong or
    Macao keeps its number, without the two digits that count its renewals. The result gives itself.
    """
    number = in_one_spelling(number)
    if found := _PERMIT.fullmatch(number):
        return found[1]
    return whole_number(number) or number


def in_one_spelling(number: str) -> str:
    """Bring a number into NFKC and capitals, without blanks and what nobody sees.

    Batches that were prepared before 2026-11-27 compare their holders by this alone.
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


def unseen_in(text: str) -> str | None:
    """The first character that nobody sees, though Unicode does not call it a format character.

    After a Mongolian letter, a character that only chooses the letter's form is right.
    """
    found = None if text.isascii() else _UNSEEN.search(text)
    return found[0] if found else None


def numbers_of(values: Mapping[str, str]) -> dict[str, str]:
    """Each comparable number of a resident, with the first of NUMBER_COLUMNS that holds it."""
    found: dict[str, str] = {}
    for column in NUMBER_COLUMNS:
        if number := comparable(values.get(column, "")):
            found.setdefault(number, column)
    return found


def holders(values: Mapping[str, str]) -> frozenset[str]:
    """The comparable numbers of a resident, whichever column they stand in.

    Two residents that share one of them are the same holder. The class of the document makes no
    difference: a card shows its number without it.
    """
    return frozenset(numbers_of(values))


def spelling_remedy(document_type: str, number: str) -> str | None:
    """What to write if the number is not spelled as its document type demands; else None."""
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
