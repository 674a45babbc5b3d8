"""The value and the state of a field that was read (card specification 2)."""

from dataclasses import dataclass
from enum import StrEnum

from .model import FieldSpec

NO_ENTRIES = "no entries recorded"
"""Nobody wrote an entry. This does not mean "none": it says nothing about the resident."""


class State(StrEnum):
    """Why a field has a value, or why it has none (card specification 2)."""

    VALUE = "value"
    NEGATIVE = "negative"
    EMPTY = "empty"
    UNWRITTEN = "unwritten"
    DENIED = "denied"
    MISSING = "missing"
    CORRUPT = "corrupt"


@dataclass(frozen=True, slots=True)
class FieldValue:
    """One field of one record that was read.

    `value` is text (digits for cn, the code for one-digit b) or bytes (photo, signature,
    certificate). It is None unless the state is `value` or `negative`. `detail` names the key that
    is needed (`denied`), says why the field is `corrupt`, or is NO_ENTRIES for a cyclic file
    without records (one `unwritten` entry, record 1). `record` is 0 in a transparent file.
    """

    field: FieldSpec
    record: int
    state: State
    value: str | bytes | None = None
    detail: str = ""

    @property
    def text(self) -> str:
        """The value as in an input file: text unchanged, bytes in hex, "" if there is none."""
        return self.value.hex().upper() if isinstance(self.value, bytes) else self.value or ""
