"""What spreadsheets and database exports do to a value, and how it is told (a table)."""

import re
from functools import cache
from pathlib import Path

from cardlib.layout.tables import read_table

from .fault_codes import FaultCode
from .list_faults import Wrong

_NAMES = re.compile(r"name|contact_name_\d")
_TEXT = re.compile(
    r"(issuer|bank)_name|address_\d|other_medical_alert|(allergen|allergic_reaction|vaccine)_\d+"
)


def damage_in(column: str, text: str) -> Wrong | None:
    """Find a spreadsheet's or a database export's damage in a value, as it stands in a column."""
    pattern, damages = _patterns(_class_of(column))
    found = pattern.fullmatch(text)
    return damages[found.lastgroup] if found and found.lastgroup else None


@cache
def _class_of(column: str) -> frozenset[str]:
    """The words of the table's column "in" that count for a column."""
    if _NAMES.fullmatch(column):
        return frozenset({"any", "words", "names"})
    return frozenset({"any", "words", "text"} if _TEXT.fullmatch(column) else {"any", "numbers"})


@cache
def _patterns(where: frozenset[str]) -> tuple[re.Pattern[str], dict[str, Wrong]]:
    """One pattern for a class of columns; the name of its group tells the damage."""
    damages: dict[str, Wrong] = {}
    parts: list[str] = []
    for number, row in enumerate(read_table(Path(__file__).with_name("spreadsheet_damage.csv"))):
        if row["in"] in where:
            damages[f"d{number}"] = Wrong(FaultCode(row["code"]), row["problem"], row["remedy"])
            parts.append(f"(?P<d{number}>{row['pattern']})")
    return re.compile("|".join(parts), re.DOTALL), damages
