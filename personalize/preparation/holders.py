"""Who a card is for: the numbers that no two cards in use may share."""

import unicodedata
from collections.abc import Mapping

NUMBER_COLUMNS = ("card_number",)
"""The input columns that `holders` looks at."""


def holders(values: Mapping[str, str]) -> frozenset[str]:
    """The numbers of one resident, normalized (card specification 10.3), from input columns."""
    return frozenset(
        normalized(values[name]) for name in NUMBER_COLUMNS if values.get(name, "").strip()
    )


def normalized(number: str) -> str:
    """A number as numbers are compared: in NFKC, in capitals, without blanks."""
    return "".join(unicodedata.normalize("NFKC", number).upper().split())
