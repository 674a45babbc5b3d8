"""A field as it was read: a value and a state, never a blank that could mean several things."""

from dataclasses import dataclass
from enum import StrEnum

from .model import FieldSpec

NO_ENTRIES = "no entries recorded"
"""Nobody wrote an entry: that is not the same as that there is none to write."""


class State(StrEnum):
    """Why a field has a value or has none (card specification, section 2)."""

    VALUE = "value"
    NEGATIVE = "negative"
    EMPTY = "empty"
    UNWRITTEN = "unwritten"
    DENIED = "denied"
    MISSING = "missing"
    CORRUPT = "corrupt"


@dataclass(frozen=True, slots=True)
class FieldValue:
    """One field of one record as read.

    `value` is text (digits for cn, the code for one-digit b) or bytes (photo, signature,
    certificate); None unless the state is `value` or `negative`. `detail` names the key for
    `denied`, says why for `corrupt`, and is NO_ENTRIES for a cyclic file that nothing was ever
    appended to (one `unwritten` entry, record 1). `record` is the record it came from, 0 if
    transparent.
    """

    field: FieldSpec
    record: int
    state: State
    value: str | bytes | None = None
    detail: str = ""

    @property
    def text(self) -> str:
        """The value as input files spell it: text as it is, bytes in hex, "" without a value."""
        return self.value.hex().upper() if isinstance(self.value, bytes) else self.value or ""
