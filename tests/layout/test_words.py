"""Fields in words: each state in its own, codes by label, in two languages."""

import pytest

from cardlib.layout import FILE_BY_PATH, FieldSpec, FieldValue, State, decode_file
from cardlib.layout.words import (
    LANGUAGES,
    as_json,
    field_title,
    file_title,
    state_in_words,
    value_in_words,
    word,
)


def spec(path: str, name: str) -> FieldSpec:
    return next(field for field in FILE_BY_PATH[path].fields if field.name == name)


ASTHMA = spec("DDF1/DF02/EF05", "asthma")
NAME = spec("DDF1/EF06", "name")


@pytest.mark.parametrize(
    ("path", "name", "value", "english", "chinese"),
    [
        ("DDF1/EF06", "name", "王䶮", "王䶮", "王䶮"),
        ("DDF1/EF06", "birth_date", "19801007", "1980-10-07", "1980-10-07"),
        ("DDF1/EF06", "ethnicity", "01", "Han", "汉族"),
        ("DDF1/DF02/EF05", "asthma", "1", "yes", "是"),
        ("DDF1/DF02/EF05", "abo_blood_group", "4", "AB", "AB型"),
        ("DDF1/DF03/EF05", "inpatient_record_valid", "0", "valid", "有效"),
        ("DDF1/DF03/ED01", "visit_datetime", "20261123081530", "2026-11-23 08:15:30",
         "2026-11-23 08:15:30"),
        ("DDF1/EF07", "photo", b"\xff\xd8" + bytes(2000), "2,002 bytes", "2,002 字节"),
    ],
)  # fmt: skip
def test_a_value_is_said_as_people_say_it(
    path: str, name: str, value: str | bytes, english: str, chinese: str
) -> None:
    found = FieldValue(spec(path, name), 1, State.VALUE, value)
    assert value_in_words(found, "en") == english
    assert value_in_words(found, "zh") == chinese
    assert state_in_words(found, "en") == "value"


def test_no_is_not_nothing() -> None:
    no = FieldValue(ASTHMA, 3, State.NEGATIVE, "0")
    assert (value_in_words(no), value_in_words(no, "zh")) == ("no", "否")
    assert state_in_words(no) == "negative"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_two_states_read_alike(language: str) -> None:
    values = {
        state: FieldValue(ASTHMA, 3, state, value)
        for state, value in zip(State, ["1", "0", *[None] * 5], strict=True)
    }
    words = {state: state_in_words(value, language) for state, value in values.items()}
    assert len(set(words.values())) == len(State)
    for state in (State.EMPTY, State.UNWRITTEN, State.DENIED, State.MISSING, State.CORRUPT):
        assert value_in_words(values[state], language) == ""


def test_denied_names_the_key_and_corrupt_says_why() -> None:
    denied = FieldValue(NAME, 1, State.DENIED, None, "RK1_DDF1")
    assert state_in_words(denied) == "denied (needs RK1_DDF1)"
    assert state_in_words(denied, "zh") == "拒绝读取 (需要 RK1_DDF1)"
    corrupt = FieldValue(NAME, 1, State.CORRUPT, None, "not GB 18030 at byte 3")
    assert state_in_words(corrupt) == "corrupt (not GB 18030 at byte 3)"


def test_json_tells_value_and_state_apart() -> None:
    unwritten = FieldValue(NAME, 1, State.UNWRITTEN)
    assert as_json(unwritten) == {
        "file": "DDF1/EF06", "record": 1, "field": "name", "state": "unwritten",
        "value": None, "label": "", "detail": "",
    }  # fmt: skip
    photo = FieldValue(spec("DDF1/EF07", "photo"), 0, State.VALUE, b"\xff\xd8")
    assert as_json(photo)["value"] == "FFD8"


def test_titles_are_in_the_language_asked_for() -> None:
    file = FILE_BY_PATH["DDF1/DF02/EF07"]
    assert file_title(file) == "allergies  DDF1/DF02/EF07"
    assert file_title(file, "zh").startswith("过敏基本数据文件")
    assert (field_title(ASTHMA), field_title(ASTHMA, "zh")) == ("Asthma", "哮喘标志")


@pytest.mark.parametrize(("language", "words"), [("en", "no entries recorded"), ("zh", "无记录")])
def test_no_entries_is_neither_none_nor_missing(language: str, words: str) -> None:
    found = decode_file(FILE_BY_PATH["DDF1/DF02/EF07"], [])
    assert {state_in_words(value, language) for value in found} == {words}
    assert {value_in_words(value, language) for value in found} == {""}
    assert as_json(found[0]) == {
        "file": "DDF1/DF02/EF07", "record": 1, "field": "allergen", "state": "unwritten",
        "value": None, "label": "", "detail": "no entries recorded",
    }  # fmt: skip


def test_a_code_that_is_unknown_is_said_to_be() -> None:
    job = FieldValue(spec("DDF1/DF01/EF07", "occupation"), 3, State.VALUE, "7XX")
    assert value_in_words(job) == "unknown code 7XX of Occupation"
    assert value_in_words(job, "zh") == "职业代码未知代码 7XX"


def test_every_state_has_words_in_every_language() -> None:
    for language in LANGUAGES:
        assert all(word(f"state.{state}", language) for state in State)
    with pytest.raises(KeyError):
        word("state.value", "fr")
