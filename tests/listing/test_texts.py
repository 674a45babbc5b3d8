"""Texts by column take less memory than a dict, and are the same."""

from hypothesis import given
from hypothesis import strategies as st

from personalize.listing.columns import COLUMN_BY_NAME
from personalize.listing.texts import Texts

columns = st.sampled_from([*COLUMN_BY_NAME])


@given(st.dictionaries(columns, st.text(max_size=3)))
def test_they_are_what_the_dict_was(values: dict[str, str]) -> None:
    texts = Texts(values)
    assert texts == values
    assert list(texts) == list(texts.keys()) == list(values)
    assert list(texts.items()) == list(values.items())
    assert [texts[column] for column in texts] == list(texts.values()) == list(values.values())
    assert len(texts) == len(values)
    assert "no column" not in texts
    assert texts.get("no column", "x") == "x"


def test_equal_texts_are_one_object_however_many_others_there_are() -> None:
    first = Texts({"issuer_name": "".join(("示例", "医院"))})
    again = Texts({"bank_name": "".join(("示例", "医院"))})
    assert first["issuer_name"] is again["bank_name"]
    many = [Texts({"name": f"王{number}"}) for number in range(10_000)]
    assert [texts["name"] for texts in many] == [f"王{number}" for number in range(10_000)]


def test_they_show_no_personal_data() -> None:
    assert "王䶮" not in repr(Texts({"name": "王䶮"}))
