"""A field in words, in English or Chinese, and as JSON: the one rendering of it (words.csv)."""

from functools import cache
from pathlib import Path
from typing import TypedDict

from .codes import code_table
from .field_value import NO_ENTRIES, FieldValue, State
from .model import FieldSpec, FileSpec, Kind
from .tables import read_table

LANGUAGES = ("en", "zh")
_FIXED = {Kind.FLAG: "yes", Kind.MARK: "valid"}
_LONGEST_HEX = 32
"""Hexadecimal digits that are shown; of longer values the number of bytes is said."""


class FieldAsJson(TypedDict):
    """A field in JSON. `value` is null without one; `label` is the value in words, "" without one.

    `record` is 0 for a transparent file. `state` is one of the seven words of `State`, `detail`
    the key that is needed, the reason why it is corrupt, or "no entries recorded".
    """

    file: str
    record: int
    field: str
    state: str
    value: str | None
    label: str
    detail: str


def word(key: str, language: str = "en") -> str:
    """A line of words.csv in "en" or "zh"; KeyError for a key or language that it has not."""
    return _words()[key][language]


def field_title(spec: FieldSpec, language: str = "en") -> str:
    """A field's label, in "en" or "zh"."""
    return spec.label_zh if language == "zh" else spec.label_en


def file_title(spec: FileSpec, language: str = "en") -> str:
    """A file's title and path, in "en" or "zh"."""
    title = spec.title_zh if language == "zh" else spec.title
    return f"{title}  {spec.path}"


def value_in_words(value: FieldValue, language: str = "en") -> str:
    """A field's value for a person: code labels, yes and no, dates; "" when there is none."""
    if value.state is State.NEGATIVE:
        return word("no", language)
    if value.state is not State.VALUE:
        return ""
    if said := _FIXED.get(value.field.kind):
        return word(said, language)
    return _text_in_words(value, language)


def _text_in_words(value: FieldValue, language: str) -> str:
    kind, text = value.field.kind, value.text
    if kind is Kind.CODE:
        return _code_in_words(value.field, text, language)
    if kind is Kind.DATE:
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    if kind is Kind.DATETIME:
        return f"{text[:4]}-{text[4:6]}-{text[6:8]} {text[8:10]}:{text[10:12]}:{text[12:]}"
    if isinstance(value.value, bytes) and len(text) > _LONGEST_HEX:
        return word("bytes", language).format(f"{len(value.value):,}")
    return text


def _code_in_words(spec: FieldSpec, code: str, language: str) -> str:
    table = code_table(spec.table)
    title = table.title_zh if language == "zh" else table.title_en
    return table.label(code, language) or word("unknown code", language).format(code, title)


def state_in_words(value: FieldValue, language: str = "en") -> str:
    """A field's state; for `denied` the key that it needs, for `corrupt` why it is."""
    if value.state is State.UNWRITTEN and value.detail == NO_ENTRIES:
        return word("no entries", language)
    said = word(f"state.{value.state}", language)
    if value.state is State.DENIED and value.detail:
        return f"{said} ({word('needs', language).format(value.detail)})"
    return f"{said} ({value.detail})" if value.state is State.CORRUPT else said


def as_json(value: FieldValue, language: str = "en") -> FieldAsJson:
    """A field as a JSON object, with the label in "en" or "zh"."""
    return {
        "file": value.field.path,
        "record": value.record,
        "field": value.field.name,
        "state": value.state.value,
        "value": None if value.value is None else value.text,
        "label": value_in_words(value, language),
        "detail": value.detail,
    }


@cache
def _words() -> dict[str, dict[str, str]]:
    return {row["key"]: row for row in read_table(Path(__file__).with_name("words.csv"))}
