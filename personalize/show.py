"""A field as a person reads it, in English or Chinese: its label, its value, and why there is none."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cardlib.layout import FileSpec, FieldSpec, FieldValue, Kind, State

LANGUAGES = ("en", "zh")
EMERGENCY_FILES = ("DDF1/DF02/EF05", "DDF1/DF02/EF07", "DDF1/DF02/EF06", "DDF1/DF02/EF08")
EMERGENCY_KEY = "RK1_DF02"

_STATES: Mapping[State, tuple[str, str]] = {
    State.NEGATIVE: ("no", "否"),
    State.EMPTY: ("empty", "空白"),
    State.UNWRITTEN: ("not recorded", "未记录"),
    State.DENIED: ("denied", "无权读取"),
    State.MISSING: ("missing", "不存在"),
    State.CORRUPT: ("corrupt", "数据损坏"),
}
_YES, _VALID = ("yes", "是"), ("valid", "有效")
_BYTES = ("{0} bytes", "{0} 字节")
_NEEDS = ("needs {0}", "需要 {0}")
_LONGEST_HEX = 32


@dataclass(frozen=True, slots=True)
class Shown:
    """One field in words: `words` is its value or why it has none, `state` one of the seven."""

    file: str
    record: int
    field: str
    title: str
    state: State
    words: str


def shown(value: FieldValue, language: str = "en") -> Shown:
    """A field in words, in "en" or "zh"."""
    spec = value.field
    return Shown(
        file=spec.path,
        record=value.record,
        field=spec.name,
        title=field_title(spec, language),
        state=value.state,
        words=in_words(value, language),
    )


def field_title(spec: FieldSpec, language: str = "en") -> str:
    """A field's label."""
    return spec.label_zh if language == "zh" else spec.label_en


def file_title(spec: FileSpec, language: str = "en") -> str:
    """A file's path and title."""
    return f"{spec.path}  {spec.title_zh if language == 'zh' else spec.title}"


def in_words(value: FieldValue, language: str = "en") -> str:
    """What the card says in a field; without a value, why: each state in its own words."""
    which = LANGUAGES.index(language)
    if value.state is State.VALUE:
        return _value_in_words(value, which)
    word = _STATES[value.state][which]
    if value.state is State.DENIED and value.detail:
        return f"{word} ({_NEEDS[which].format(value.detail)})"
    return f"{word} ({value.detail})" if value.detail else word


def _value_in_words(value: FieldValue, which: int) -> str:
    kind, text = value.field.kind, value.text
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
    return value.label(LANGUAGES[which])


def as_json(value: FieldValue, language: str = "en") -> dict[str, Any]:
    """A field as a JSON object; `value` is null without one, `label` is it in words."""
    return {
        "file": value.field.path,
        "record": value.record,
        "field": value.field.name,
        "state": value.state.value,
        "value": None if value.value is None else value.text,
        "label": in_words(value, language),
        "detail": value.detail,
    }


def one_state(values: Iterable[FieldValue]) -> State | None:
    """The state of a whole file when all its fields are alike and none has a value."""
    states = {value.state for value in values}
    state = next(iter(states)) if len(states) == 1 else None
    return None if state in (State.VALUE, State.NEGATIVE) else state
