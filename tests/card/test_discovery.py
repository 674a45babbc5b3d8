"""Finding out what a card answers: harmless commands only, and no more is concluded than that."""

import pytest

from cardlib.card.discovery import discover
from cardlib.emulator import SoftwareCard
from cardlib.emulator.bench.ready_made import CHIP
from cardlib.errors import NotPersonalized, ProfileNeeded
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.layout.card_profile import FIELD, RHCARD, CardProfile
from cardlib.transport.recorder import Recorder
from tests.cards.field_bench import FIELD_VALUES, card_of_profile

SEEN = ("selection", "fci", "record_reading", "serial_place")
HARMLESS = {"A4", "B2"}


@pytest.mark.parametrize("protocol", [1, 2])
def test_our_card_is_found_to_be_as_specified(protocol: int) -> None:
    found = discover(card_of_profile(RHCARD, protocol=protocol))
    assert dict(found.settings) == {name: getattr(RHCARD, name) for name in SEEN}
    assert found.profile() == RHCARD


def test_a_field_card_is_found_with_a_sentence_for_each_setting() -> None:
    found = discover(card_of_profile())
    assert dict(found.settings) == {name: getattr(FIELD, name) for name in SEEN}
    words = {each.setting: each.words for each in found.observations}
    assert "AID and path is refused (6A82)" in words["selection"]
    assert "FCI of DDF1 is empty" in words["fci"]
    assert "P2=05 is refused (6A86)" in words["record_reading"]
    assert CHIP.hex().upper() in words["serial_place"] and "not sure" in words["serial_place"]


@pytest.mark.parametrize("name", SEEN)
def test_each_row_alone_is_found(name: str) -> None:
    profile = RHCARD.having({name: FIELD_VALUES[name]})
    assert dict(discover(card_of_profile(profile)).settings) == {
        each: getattr(profile, each) for each in SEEN
    }


@pytest.mark.parametrize("profile", [RHCARD, FIELD], ids=["rhcard", "field"])
def test_only_selecting_and_reading_of_free_data_is_sent(profile: CardProfile) -> None:
    log = Recorder(card_of_profile(profile))
    discover(log)
    assert {each.command.hex().upper()[2:4] for each in log.commands} <= HARMLESS


def test_what_was_found_changes_addressing_and_reading_and_nothing_else() -> None:
    found = discover(card_of_profile())
    with pytest.raises(ProfileNeeded, match="--profile field"):
        found.profile(RHCARD)
    told = FIELD.having({"selection": "name and path", "record_reading": "many"})
    assert found.profile(told) == FIELD
    ours = discover(card_of_profile(RHCARD.having({"record_reading": "one"})))
    assert [each.name for each in ours.profile().differences()] == ["record_reading"]


def test_a_blank_card_has_nothing_to_find() -> None:
    keys = KeyStore(public_test_roots(1)).blank_keys(CHIP)
    with pytest.raises(NotPersonalized, match="refused by path"):
        discover(SoftwareCard.blank(CHIP, keys))
