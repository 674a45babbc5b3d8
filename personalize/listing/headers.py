"""The headers of a list: how the list calls a column, and what an unknown header may mean."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from cardlib.layout.load import ISSUER_FILE
from cardlib.layout.tables import read_table

from .columns import COLUMN_BY_NAME, columns_by_header, folded, label_of
from .list_faults import printable

_FILLED_IN = tuple(spec for spec in ISSUER_FILE.fields if spec.name not in COLUMN_BY_NAME)
_MOST_MEANT = 2
_SHORTEST_PART = 3
_CLOSE_NAME, _CLOSE_LABEL = 0.8, 0.85
_ENDING = re.compile("(代码|标志)$")
_NUMBERED = re.compile(r"(.*?)(\d*)")


@dataclass(frozen=True, slots=True)
class Headers:
    """How one list calls its columns. `own` is column → header, as the list has it.

    `letters` is column → what a workbook calls it: A, Z, AA.
    """

    own: Mapping[str, str] = field(default_factory=dict)
    letters: Mapping[str, str] = field(default_factory=dict)

    def of(self, column: str) -> str:
        """The list's own header of a column; of a column that it lacks, the name to give it.

        That is the Chinese label in a list with Chinese headers.
        """
        if title := self.own.get(column, "").strip():
            return printable(title)
        chinese = sum(not title.isascii() for title in self.own.values())
        return label_of(COLUMN_BY_NAME[column]) if 2 * chinese > len(self.own) else column

    def cell(self, column: str, line: int) -> str:
        """The address of a column's cell in a row of a workbook; "" if it has none."""
        letters = self.letters.get(column)
        return f"{letters}{line}" if letters else ""

    def named(self, column: str) -> str:
        """The list's own header, with our name in brackets if the header is Chinese."""
        return with_name(self.of(column), column)


def with_name(title: str, column: str) -> str:
    """A header, with the column's name in brackets if it is not in ASCII and lacks the name."""
    return title if title.isascii() or column in title else f"{title} ({column})"


def meant_by(header: str) -> tuple[str, ...]:
    """The columns that a header may mean which names none: two at most, none if it is a guess."""
    text = folded(header)
    if known := _synonyms().get(text):
        return known
    rules = (_close_names,) if text.isascii() else (_same_stem, _containing, _close_labels)
    for rule in rules:
        if found := tuple(dict.fromkeys(rule(text))):
            return found if len(found) <= _MOST_MEANT else ()
    return ()


def suggestion(header: str) -> str:
    """What to do about a column that no field has."""
    text, columns = folded(header), columns_by_header()
    if not text:
        return "give the column a header, or remove it"
    meant = meant_by(header)
    for spec in _FILLED_IN:
        if spec.name in meant or text in (folded(spec.name), folded(spec.label_zh)):
            return f"remove the column: rhcard fills in {spec.name} itself"
    if numbered := columns.get(text + "1"):
        return f"add the number of the record, for example {_as_in(header, numbered)}"
    stem, number = _parts(text)
    if number and stem + "1" in columns:
        most = sum(_parts(known)[0] == stem for known in columns)
        return f"remove the column: a card holds {most} of them"
    if meant:
        asked = " or ".join(_as_in(header, column) for column in meant)
        return f"did you mean {asked}? If not, remove the column"
    return "remove the column, or give it a header that docs/reference/input.md lists"


def _as_in(header: str, column: str) -> str:
    """A column as a list with such a header calls it."""
    return column if header.isascii() else with_name(label_of(COLUMN_BY_NAME[column]), column)


def _close_names(text: str) -> Iterable[str]:
    columns = columns_by_header()
    names = [known for known in columns if known.isascii() and _same_number(known, text)]
    return (columns[n] for n in difflib.get_close_matches(text, names, n=1, cutoff=_CLOSE_NAME))


def _same_stem(text: str) -> Iterable[str]:
    """性别代码 is 性别, 民族 is 民族代码."""
    stem = _ENDING.sub("", text)
    return (
        column for known, column in columns_by_header().items() if _ENDING.sub("", known) == stem
    )


def _containing(text: str) -> Iterable[str]:
    """Labels that hold the header and are not twice as long: 文化程度 is in 文化程度代码.

    Not the other way round: 监护人身份证号 is another person's number.
    """
    if len(text) < _SHORTEST_PART:
        return ()
    return (
        column
        for known, column in columns_by_header().items()
        if text in known and len(known) <= 2 * len(text) and _same_number(known, text)
    )


def _close_labels(text: str) -> Iterable[str]:
    columns = columns_by_header()
    labels = [known for known in columns if not known.isascii() and _same_number(known, text)]
    return (columns[n] for n in difflib.get_close_matches(text, labels, n=1, cutoff=_CLOSE_LABEL))


def _same_number(known: str, text: str) -> bool:
    return _parts(known)[1] == _parts(text)[1]


def _parts(text: str) -> tuple[str, str]:
    """A header without its number, and its number, "" if there is none."""
    match = _NUMBERED.fullmatch(text)
    return (match[1], match[2]) if match else (text, "")


@cache
def _synonyms() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for row in read_table(Path(__file__).with_name("header_synonyms.csv")):
        key = folded(row["header"])
        found[key] = (*found.get(key, ()), row["column"])
    return found
