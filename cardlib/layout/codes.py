"""Code tables: the coded fields' values with their labels and the standard they come from."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .tables import read_table


@dataclass(frozen=True, slots=True)
class CodeTable:
    """One table: `codes` maps a code as the card spells it to its English and Chinese label.

    `closed` tables are complete: another code is an error. Open ones may have more codes in use.
    """

    name: str
    standard: str
    title_en: str
    title_zh: str
    closed: bool
    codes: Mapping[str, tuple[str, str]]

    def label(self, code: str, language: str = "en") -> str | None:
        """The label of a code in "en" or "zh"; None for a code that is not in the table."""
        labels = self.codes.get(code)
        return labels and labels[1 if language == "zh" else 0]

    def lacks(self, code: str) -> bool:
        """Whether there is no such code and can be none: the table is closed without it."""
        return self.closed and code not in self.codes


def _rows(name: str) -> list[dict[str, str]]:
    return read_table(Path(__file__).parent / "codes" / f"{name}.csv")


@cache
def code_table(name: str) -> CodeTable:
    """The table of that name; KeyError when codes/index.csv has none."""
    index = {row["table"]: row for row in _rows("index")}
    row = index[name]
    codes = {line["code"]: (line["label_en"], line["label_zh"]) for line in _rows(name)}
    closed = row["closed"] == "yes"
    return CodeTable(name, row["standard"], row["title_en"], row["title_zh"], closed, codes)
