"""What a check of a card says: what is wrong with it, and what it did not look at."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import CardError, KeysUnavailable, TransportError


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a card. `expected` and `found` may be personal data."""

    path: str
    record: int
    field: str
    problem: str
    expected: str = ""
    found: str = ""
    state: str = ""

    @property
    def place(self) -> str:
        """Where it is, without personal data, for the journal."""
        record = f" record {self.record}" if self.record else ""
        return f"{self.path}{record} {self.field}".strip() or self.problem

    def as_dict(self) -> dict[str, str | int]:
        """Return the finding as the members of a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Gap:
    """The bytes `start` to `end` (not included) of a transparent file."""

    path: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What a check did not look at.

    `not_read` are bytes that were not read. `not_tried` are the paths of protected files whose
    access rules were compared, but which were not tried without keys. `keys_not_held` are the names
    of keys that were not tried, because the key set (a SAM) does not hold them.
    """

    not_read: tuple[Gap, ...] = ()
    not_tried: tuple[str, ...] = ()
    keys_not_held: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, list[Any]]:
        """Return it as the members of a JSON object; `to` is the byte after the last."""
        gaps = [{"path": gap.path, "from": gap.start, "to": gap.end} for gap in self.not_read]
        return {
            "not_read": gaps,
            "not_tried": list(self.not_tried),
            "keys_not_held": list(self.keys_not_held),
        }


NOTHING_LEFT_OUT = LeftOut()


@dataclass(frozen=True, slots=True)
class CardCheck:
    """The result of a check. A card is good if it has no findings."""

    findings: tuple[Finding, ...] = ()
    left_out: LeftOut = NOTHING_LEFT_OUT


def checked(name: str, act: Callable[[], object]) -> list[Finding]:
    """Return one finding if the card refuses what it must do.

    Raises TransportError, or KeysUnavailable.
    """
    try:
        act()
    except (TransportError, KeysUnavailable):
        raise
    except CardError as error:
        return [Finding("", 0, "", f"{name}: {error}")]
    return []
