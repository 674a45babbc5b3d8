"""Maps a list's own code values to the card's, before the list is checked."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from .fault_codes import FaultCode
from .list_faults import ListFault, Wrong, printable
from .rows import Row
from .rules import BLANKS, unreadable
from .spreadsheet import damage_in
from .texts import Texts

ANY = "*"
"""As `from`: every value that has no line of its own. As `to`: such a value stays as it is."""


@dataclass(frozen=True, slots=True)
class CodeMap:
    """What the values of a list mean: column → the list's own value → code of the card.

    `sha256` (hex) names the bytes of the map's file. If there are `faults`, it must not be used.
    """

    sha256: str
    columns: Mapping[str, Mapping[str, str]]
    faults: tuple[ListFault, ...] = ()


@dataclass(frozen=True, slots=True)
class MappedColumn:
    """How the values of one column were mapped: (the list's own value, code) → how many."""

    column: str
    counts: Mapping[tuple[str, str], int]


class Mapper:
    """Maps each value of the mapped columns once, row by row. Blank values stay blank.

    It counts what it mapped. A value that the map does not have is a fault, and its row keeps it.
    """

    def __init__(self, code_map: CodeMap) -> None:
        self.faults: list[ListFault] = []
        self._codes = code_map.columns
        self._counts: dict[str, Counter[tuple[str, str]]] = {
            name: Counter() for name in code_map.columns
        }

    @property
    def columns(self) -> tuple[MappedColumn, ...]:
        """What was mapped so far."""
        return tuple(MappedColumn(name, found) for name, found in self._counts.items())

    def of(self, row: Row) -> Row:
        """A row with mapped values."""
        new: dict[str, str] = {}
        refused: set[str] = set()
        for column, own in _own_values(row, self._codes):
            code = _code_of(column, own, self._codes[column])
            if isinstance(code, Wrong):
                self.faults.append(row.fault(column, code))
                refused.add(column)
            else:
                new[column] = code
                self._counts[column][own, code] += 1
        values = Texts(dict(row.values) | new)
        return replace(row, values=values, faulty=row.faulty | refused)


def _own_values(row: Row, columns: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The mapped columns in which the row has a value, and the value without blanks around it."""
    for column in columns:
        own = row.values.get(column, "").strip(BLANKS)
        if own and column not in row.faulty:
            yield column, own


def _code_of(column: str, own: str, codes: Mapping[str, str]) -> str | Wrong:
    """The code for a list's own value, or why there is none.

    "Every other value" is none that a program damaged: #N/A does not mean "no".
    """
    if code := codes.get(own):
        return code
    code = codes.get(ANY)
    if code and (wrong := unreadable(own) or damage_in(column, own)):
        return wrong
    if code is None:
        remedy = "add a line for this value to the map, or correct the value"
        return Wrong(FaultCode.UNMAPPED_CODE, "not in the map of this column", remedy)
    if code != ANY:
        return code
    if taken := [other for other, to in codes.items() if to == own]:
        problem = f"not in the map, but {printable(taken[0])} is mapped to this code"
        remedy = "add a line to the map that says which code this value is"
        return Wrong(FaultCode.UNMAPPED_CODE, problem, remedy)
    return own
