"""Card profiles: the table has each setting of the class, with the same choices, and no other."""

from dataclasses import fields
from typing import get_args, get_type_hints

import pytest

from cardlib.errors import FormatError
from cardlib.layout.card_profile import FIELD, PROFILES, RHCARD, SETTINGS, CardProfile


def test_the_table_and_the_class_have_the_same_settings_and_choices() -> None:
    hints = get_type_hints(CardProfile)
    names = [field.name for field in fields(CardProfile) if field.name != "name"]
    assert [(each.name, each.choices) for each in SETTINGS] == [
        (name, get_args(hints[name])) for name in names
    ]


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_each_value_is_one_of_its_choices(profile: CardProfile) -> None:
    assert all(getattr(profile, each.name) in each.choices for each in SETTINGS)


def test_the_specification_differs_from_itself_in_nothing_and_field_in_all_but_t0_select() -> None:
    assert list(RHCARD.differences()) == []
    assert {each.name for each in SETTINGS} - {each.name for each in FIELD.differences()} == {
        "t0_select"
    }


def test_a_setting_is_changed_by_name_and_a_wrong_one_names_the_choices() -> None:
    assert FIELD.having({"serial_place": "last 8"}).serial_place == "last 8"
    with pytest.raises(FormatError, match="use historical tag or bytes 5-12 or last 8 or given"):
        FIELD.having({"serial_place": "first 8"})
    with pytest.raises(FormatError, match="no setting of a card profile: use serial_place, "):
        FIELD.having({"colour": "red"})
