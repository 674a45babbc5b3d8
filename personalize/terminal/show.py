"""How a file's fields are laid out for a person; the words are those of cardlib.layout.words."""

from collections.abc import Sequence

from cardlib.layout import FieldValue, State


def one_state(values: Sequence[FieldValue]) -> State | None:
    """The state of a whole file when its fields are all alike and none has a value."""
    states = {value.state for value in values}
    alike = len(states) == 1 and not states & {State.VALUE, State.NEGATIVE}
    return values[0].state if alike else None


def without_blank_end(values: Sequence[FieldValue]) -> Sequence[FieldValue]:
    """The fields up to the last record that was written."""
    written = [v.record for v in values if v.state not in (State.UNWRITTEN, State.MISSING)]
    return [value for value in values if value.record <= max(written, default=0)]
