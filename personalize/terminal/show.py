"""A field as a person reads it, in English or Chinese: label, value, or why there is none."""

from collections.abc import Mapping, Sequence
from typing import Any

from cardlib.layout import FieldSpec, FieldValue, FileSpec, Kind, State

LANGUAGES = ("en", "zh")

_STATES: Mapping[State, tuple[str, str]] = {
    State.VALUE: ("value", "有值"),
    State.NEGATIVE: ("negative", "否定"),
    State.EMPTY: ("empty", "空白"),
    State.UNWRITTEN: ("unwritten", "未写入"),
    State.DENIED: ("denied", "拒绝读取"),
    State.MISSING: ("missing", "不存在"),
    State.CORRUPT: ("corrupt", "数据损坏"),
}
_YES, _NO, _VALID = ("yes", "是"), ("no", "否"), ("valid", "有效")
_BYTES = ("{0} bytes", "{0} 字节")
_NEEDS = ("needs {0}", "需要 {0}")
_LONGEST_HEX = 32


def field_title(spec: FieldSpec, language: str = "en") -> str:
    """A field's label, in "en" or "zh"."""
    return spec.label_zh if language == "zh" else spec.label_en


def file_title(spec: FileSpec, language: str = "en") -> str:
    """A file's title and path, in "en" or "zh"."""
    title = spec.title_zh if language == "zh" else spec.title
    return f"{title}  {spec.path}"


def value_in_words(value: FieldValue, language: str = "en") -> str:
    """A field's value for a person: code labels, yes and no, dates; "" when there is none."""
    which, kind, text = LANGUAGES.index(language), value.field.kind, value.text
    if value.state is State.NEGATIVE:
        return _NO[which]
    if value.state is not State.VALUE:
        return ""
    if kind is Kind.FLAG:
        return _YES[which]
    if kind is Kind.MARK:
        return _VALID[which]
    if kind is Kind.DATE:
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    if kind is Kind.DATETIME:
        return f"{text[:4]}-{text[4:6]}-{text[6:8]} {text[8:10]}:{text[10:12]}:{text[12:]}"
    if isinstance(value.value, bytes) and len(text) > _LONGEST_HEX:
        return _BYTES[which].format(f"{len(value.value):,}")
    return value.label(language)


def state_in_words(value: FieldValue, language: str = "en") -> str:
    """A field's state; for `denied` the key that it needs, for `corrupt` why it is."""
    which = LANGUAGES.index(language)
    word = _STATES[value.state][which]
    if value.state is State.DENIED and value.detail:
        return f"{word} ({_NEEDS[which].format(value.detail)})"
    return f"{word} ({value.detail})" if value.state is State.CORRUPT else word


def as_json(value: FieldValue, language: str = "en") -> dict[str, Any]:
    """A field as a JSON object; `value` is null without one, `label` is it in words."""
    return {
        "file": value.field.path,
        "record": value.record,
        "field": value.field.name,
        "state": value.state.value,
        "value": None if value.value is None else value.text,
        "label": value_in_words(value, language),
        "detail": value.detail,
    }


def one_state(values: Sequence[FieldValue]) -> State | None:
    """The state of a whole file when its fields are all alike and none has a value."""
    states = {value.state for value in values}
    alike = len(states) == 1 and not states & {State.VALUE, State.NEGATIVE}
    return values[0].state if alike else None


def without_blank_end(values: Sequence[FieldValue]) -> Sequence[FieldValue]:
    """The fields up to the last record that was written."""
    written = [v.record for v in values if v.state not in (State.UNWRITTEN, State.MISSING)]
    return [value for value in values if value.record <= max(written, default=0)]
