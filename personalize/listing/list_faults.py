"""Faults of input data: what is wrong where, and what to do about it."""

import re
from dataclasses import asdict, dataclass
from typing import NamedTuple

from cardlib.layout.characters import printable as visible

from .fault_codes import FaultCode

_SHOWN = 120
_ACCOUNT_DIGITS = re.compile(r"\d(?:[ -]?\d){12,}")


class Wrong(NamedTuple):
    """What is wrong with something, as a code and in words, and what to do."""

    code: FaultCode
    problem: str
    remedy: str


@dataclass(frozen=True, slots=True)
class ListFault:
    """One fault of the input, at the field that has to be changed.

    `line` is the physical line where the resident's record begins (1 is the header, and the file
    as a whole). `field` is our name of the column, "" for the whole line; `column` is what
    the list itself calls it. `value` is printable and short, with account numbers masked; `remedy`
    says what to do. `code` is the kind of the fault, for programs. `cell` is the address of the
    cell in a workbook, such as C5, "" if there is none.
    """

    line: int
    code: FaultCode
    field: str
    value: str
    problem: str
    remedy: str
    column: str = ""
    cell: str = ""

    def as_dict(self) -> dict[str, int | str]:
        """The fault as a JSON object's members; `cell` is one if there is a cell."""
        members = asdict(self)
        if not self.cell:
            del members["cell"]
        return members


def of_the_file(wrong: Wrong, line: int = 1) -> ListFault:
    """A fault of the whole file, and the line where it shows."""
    return ListFault(line, wrong.code, "", "", wrong.problem, wrong.remedy)


def printable(text: str) -> str:
    """The text for a terminal: invisible characters as escapes, at most 120 characters."""
    return visible(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def mask_account(text: str) -> str:
    """The text with every run of 13 digits or more cut to its first six and last four."""
    return _ACCOUNT_DIGITS.sub(_masked, text)


def _masked(match: re.Match[str]) -> str:
    digits = re.sub(r"\D", "", match[0])
    return f"{digits[:6]}{'*' * (len(digits) - 10)}{digits[-4:]}"
