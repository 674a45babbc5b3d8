"""Files as `rhcard read` lays them out."""

from cardlib.layout import FILE_BY_PATH, FieldSpec, FieldValue, State
from cardlib.layout.records import without_access
from personalize.terminal.show import (
    one_state,
    without_blank_end,
)


def spec(path: str, name: str) -> FieldSpec:
    return next(field for field in FILE_BY_PATH[path].fields if field.name == name)


ASTHMA = spec("DDF1/DF02/EF05", "asthma")
NAME = spec("DDF1/EF06", "name")


def test_one_state_is_of_a_whole_file_without_any_value() -> None:
    file = FILE_BY_PATH["DDF1/EF06"]
    denied = without_access(file, State.DENIED, "RK1_DDF1")
    assert one_state(denied) is State.DENIED
    assert one_state([*denied[1:], FieldValue(NAME, 1, State.UNWRITTEN)]) is None
    assert one_state([FieldValue(NAME, 1, State.VALUE, "王")]) is None
    assert one_state([FieldValue(ASTHMA, 1, State.NEGATIVE, "0")] * 2) is None


def test_only_records_after_the_last_written_one_are_left_out() -> None:
    field = FILE_BY_PATH["DDF1/DF05/EF05"].fields[0]
    states = [State.UNWRITTEN, State.VALUE, State.UNWRITTEN, State.CORRUPT, State.UNWRITTEN]
    values = [FieldValue(field, n, state) for n, state in enumerate(states, 1)]
    assert list(without_blank_end(values)) == values[:4]
