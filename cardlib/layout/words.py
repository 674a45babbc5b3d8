"""Show a field in words, in English or Chinese, and as JSON (words.csv)."""

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
"""The most hexadecimal digits that are shown; of a longer value only its size is shown."""


class FieldAsJson(TypedDict):
    """A field in JSON. `label` is the value in words. Without a value they are null and "".

    `record` is 0 for a transparent file. `state` is one of the seven words of `State`. `detail` is
    the key that is needed, the reason why the field is corrupt, or "no entries recorded".
    """

    file: str
    record: int
    field: str
    state: str
    value: str | None
    label: str
    detail: str


def word(key: str, language: str = "en") -> str:
    """Return a line of words.csv in "en" or "zh". Raises KeyError when it is not there."""
    return _words()[key][language]


def field_title(spec: FieldSpec, language: str = "en") -> str:
    """Return a field's label in "en" or "zh"."""
    return spec.label_zh if language == "zh" else spec.label_en


def file_title(spec: FileSpec, language: str = "en") -> str:
    """Return a file's title in "en" or "zh", and its path."""
    title = spec.title_zh if language == "zh" else spec.title
    return f"{title}  {spec.path}"


def value_in_words(value: FieldValue, language: str = "en") -> str:
    """Return a field's value for a person (code label, yes or no, date), or "" without one."""
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
    """Return a field's state in words, with the key that is needed or why it is corrupt."""
    if value.state is State.UNWRITTEN and value.detail == NO_ENTRIES:
        return word("no entries", language)
    said = word(f"state.{value.state}", language)
    if value.state is State.DENIED and value.detail:
        return f"{said} ({word('needs', language).format(value.detail)})"
    return f"{said} ({value.detail})" if value.state is State.CORRUPT else said


def as_json(value: FieldValue, language: str = "en") -> FieldAsJson:
    """Return a field as a JSON object, with the label in "en" or "zh"."""
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
