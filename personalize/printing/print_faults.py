"""What prevents that something is printed."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from cardlib.errors import CardError, FormatError


@dataclass(frozen=True, slots=True)
class PrintFault:
    """One text of one card that cannot be printed as it is. It holds no text of the resident.

    `card` is the number in the batch, `line` that of the list, `field` the column.
    """

    card: int
    line: int
    field: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        place = f"card {self.card} (line {self.line} of the list), {self.field}"
        return f"{place}: {self.problem}. {self.remedy}"

    def as_dict(self) -> dict[str, int | str]:
        """The fault as a JSON object's members."""
        return asdict(self)


class CannotPrint(FormatError):
    """Some texts cannot be printed, so nothing was. `faults` are all of them."""

    def __init__(self, faults: Sequence[PrintFault]) -> None:
        self.faults = tuple(faults)
        more = f" (and {len(self.faults) - 1} more)" if len(self.faults) > 1 else ""
        super().__init__(f"{self.faults[0]}{more}")


class PrintingUnavailable(CardError):
    """A package or a font that printing needs is not on this computer."""
