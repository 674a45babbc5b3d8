"""Code tables: the codes of a field with their labels and the standard that defines them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .tables import read_table


@dataclass(frozen=True, slots=True)
class CodeTable:
    """One code table. `codes` maps a code, as on the card, to its English and Chinese label.

    A `closed` table is complete: another code is an error. Other codes of an open table may be in
    use (card specification 2).
    """

    name: str
    standard: str
    title_en: str
    title_zh: str
    closed: bool
    codes: Mapping[str, tuple[str, str]]

    def label(self, code: str, language: str = "en") -> str | None:
        """Return the label of a code in "en" or "zh", or None if the table does not have it."""
        labels = self.codes.get(code)
        return labels and labels[1 if language == "zh" else 0]

    def lacks(self, code: str) -> bool:
        """Whether the code is not valid: the table is closed and does not have it."""
        return self.closed and code not in self.codes


def _rows(name: str) -> list[dict[str, str]]:
    return read_table(Path(__file__).parent / "codes" / f"{name}.csv")


@cache
def code_table(name: str) -> CodeTable:
    """Load the table with this name. Raises KeyError when codes/index.csv does not have it."""
    index = {row["table"]: row for row in _rows("index")}
    row = index[name]
    codes = {line["code"]: (line["label_en"], line["label_zh"]) for line in _rows(name)}
    closed = row["closed"] == "yes"
    return CodeTable(name, row["standard"], row["title_en"], row["title_zh"], closed, codes)
