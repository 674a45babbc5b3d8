"""One holder, however the number is spelled and whichever column it stands in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardlib.layout import code_table
from personalize.listing.holders import comparable, holders, spelling_remedy


@pytest.mark.parametrize(
    "spelled",
    [
        "E12345678", "e12345678", " E1234 5678 ", "\uff25\uff11\uff12\uff13\uff14\uff15678",
        "E1234\u00a05678", "E1234\u30005678", "E1234\u200b5678", "E12345678\u00ad",
        "\u202dE12345678\u202c", "E1234\ufeff5678", "E1234\u20095678", "\u24ba12345678",
        "E12345678\ufe0f",
    ],
)  # fmt: skip
def test_one_number_however_it_is_spelled(spelled: str) -> None:
    assert comparable(spelled) == "E12345678"


@pytest.mark.parametrize("other", ["E12345679", "E-12345678", "F12345678", "Е12345678"])
def test_other_numbers_are_others(other: str) -> None:
    """The last one begins with a Cyrillic letter: it is a fault by its spelling, not a twin."""
    assert comparable(other) != "E12345678"


@pytest.mark.parametrize(
    ("older", "number"),
    [
        ("110105491231002", "11010519491231002X"),
        ("990121801007195", "990121198010071957"),
        (" 110105 491231 002 ", "11010519491231002X"),
        ("\uff11\uff11\uff10105491231002", "11010519491231002X"),
        ("H1234567801", "H12345678"),
        ("m1234567812", "M12345678"),
    ],
)
def test_a_renewed_number_is_the_number_of_the_same_holder(older: str, number: str) -> None:
    assert comparable(older) == comparable(number) == number


@pytest.mark.parametrize(
    "other", ["110105491331002", "010105491231002", "E1234567801", "H123456781"]
)
def test_no_other_number_is_taken_for_an_old_one(other: str) -> None:
    assert comparable(other) == other


def test_text_of_documents_is_compared_too() -> None:
    assert comparable("军字第 \uff10\uff10\uff11 号") == comparable("军字第001号") == "军字第001号"
    assert comparable("") == comparable(" \u200b\u3000") == ""


@given(st.text(st.characters(codec="utf-8")))
def test_a_comparable_number_is_comparable_and_has_no_blank(text: str) -> None:
    found = comparable(text)
    assert comparable(found) == found == found.upper()
    assert comparable(text.lower()) == comparable(text.lower().upper())
    assert not any(char.isspace() for char in found)


def test_a_resident_is_one_by_every_number() -> None:
    values = {
        "resident_id_number": "11010519491231002x",
        "document_number": "e1",
        "card_number": "E1",
    }
    assert holders(values) == {"11010519491231002X", "E1"}
    assert holders({"card_number": "E1", "name": "王"}) == {"E1"}
    assert holders({}) == frozenset()


CAPITALS = ["01", "03", "05", "06", "07"]


@pytest.mark.parametrize("document_type", CAPITALS)
def test_these_documents_have_ascii_capitals_and_digits_only(document_type: str) -> None:
    assert spelling_remedy(document_type, "E12345678") is None
    assert spelling_remedy(document_type, "Ｅ1234 5678") == "write E12345678"
    for wrong in ("E-1", "护照1", "Е1"):
        assert "as on the document" in str(spelling_remedy(document_type, wrong))


def test_the_others_have_any_text() -> None:
    others = set(code_table("document_type").codes) - set(CAPITALS)
    assert others == {"02", "04", "99"}
    assert {spelling_remedy(kind, "军字第1号") for kind in others} == {None}
