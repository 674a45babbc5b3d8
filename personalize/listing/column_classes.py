"""What kind of text a column holds: names, places, medical words, numbers, dates."""

import re
from functools import cache

from cardlib.layout import Kind

from .columns import COLUMN_BY_NAME, field_of

_WORDS = (
    ("names", re.compile(r"name|contact_name_\d")),
    ("places", re.compile(r"(issuer|bank)_name|address_\d")),
    ("medical", re.compile(r"other_medical_alert|(allergen|allergic_reaction|vaccine)_\d+")),
)
_PHONE = re.compile(r"(contact_)?phone_\d")
_MASKED = "bank_account_masked"
_MAY_BE_MASKED = "bank_"


@cache
def classes_of(column: str) -> frozenset[str]:
    """The classes of a column, by which the tables of damage and look-alikes choose.

    "any"; "undated" (no date); "words" (names and free text), of which "names" are of persons and
    the rest is "text": "places" (addresses, institutions) or "medical"; "numbers" (and dates,
    codes, flags), of which "references" are written as text, "phones" among them; "clear" (never
    masked).
    """
    kind = field_of(COLUMN_BY_NAME[column]).kind
    classes = {"any"} if kind is Kind.DATE else {"any", "undated"}
    for name, pattern in _WORDS:
        if pattern.fullmatch(column):
            classes |= {name, "words", "clear"}
            return frozenset(classes if name == "names" else classes | {"text"})
    classes.add("numbers")
    if kind in (Kind.TEXT, Kind.ASCII) and column != _MASKED:
        classes.add("references")
        if not column.startswith(_MAY_BE_MASKED):
            classes.add("clear")
    return frozenset(classes | ({"phones"} if _PHONE.fullmatch(column) else set()))
