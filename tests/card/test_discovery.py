"""Finding out what a card answers: harmless commands only, and no more is concluded than that."""

import pytest

from cardlib.apdu import Transmit
from cardlib.card import ResidentHealthCard
from cardlib.card.discovery import discover, is_deployed
from cardlib.emulator import SoftwareCard
from cardlib.emulator.bench.ready_made import CHIP
from cardlib.errors import NotPersonalized, ProfileNeeded, TransportError
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.layout.card_profile import FIELD, RHCARD, CardProfile
from cardlib.transport.recorder import Recorder
from tests.cards.field_bench import FIELD_VALUES as ROWS
from tests.cards.field_bench import card_of_profile
from tests.cards.field_cards import DEPLOYED
from tests.cards.in_between import DISGUISE, InBetween

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
    assert "by AID is refused (6A82), by path refused (6A86)" in words["selection"]
    assert "FCI of DDF1 is empty" in words["fci"]
    assert "P2=05 is refused (6A86)" in words["record_reading"]
    assert CHIP.hex().upper() in words["serial_place"] and "not sure" in words["serial_place"]


@pytest.mark.parametrize("name", SEEN)
def test_each_row_alone_is_found(name: str) -> None:
    profile = RHCARD.having({name: ROWS[name]})
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


def test_aid_and_path_are_asked_for_each_and_told_apart() -> None:
    line = InBetween(card_of_profile(RHCARD), DISGUISE["no path"])
    words = {each.setting: each.words for each in discover(line).observations}
    assert (
        "by AID is done, by path refused (6A86); by file identifier it is done"
        in (words["selection"])
    )


@pytest.mark.parametrize("kind", DEPLOYED)
def test_a_deployed_card_is_told_from_ours_by_any_of_what_differs(kind: str) -> None:
    assert is_deployed(card_of_profile(DEPLOYED[kind]))


@pytest.mark.parametrize("protocol", [1, 2])
def test_a_card_of_ours_is_no_deployed_card_however_records_are_read(protocol: int) -> None:
    card = card_of_profile(RHCARD, protocol=protocol)
    assert not is_deployed(card)
    assert not is_deployed(InBetween(card, DISGUISE["no P2=05"]))


def test_the_places_of_the_chip_serial_are_all_found() -> None:
    atr = card_of_profile().atr
    found = {place: chip for chip, place in discover(card_of_profile()).serials.items()}
    assert found == {"bytes 5-12": atr[5:13], "last 8": atr[-8:]} and atr[5:13] == CHIP


def test_an_atr_that_is_too_short_leaves_the_serial_to_the_operator() -> None:
    card = InBetween(card_of_profile(), atr=bytes.fromhex("3B020000"))
    found = discover(card)
    assert (found.settings["serial_place"], dict(found.serials)) == ("given", {})


class Obliging:
    """A card of another kind that answers 9000 to everything, with the same data."""

    atr = bytes.fromhex("3B80800101")

    def __init__(self, data: bytes) -> None:
        self._data = data

    def reset(self) -> bytes:
        return self.atr

    def transmit(self, command: bytes) -> bytes:
        return self._data + b"\x90\0"


@pytest.mark.parametrize("data", ["", "0101", "FF" * 16, "6F00"])
def test_a_card_without_the_issuers_data_is_no_health_card_whatever_it_answers(data: str) -> None:
    card = Obliging(bytes.fromhex(data))
    assert not is_deployed(card)
    with pytest.raises(NotPersonalized, match="not a resident health card"):
        discover(card)
    with pytest.raises(NotPersonalized):
        ResidentHealthCard(card).identify()


def test_a_card_that_is_pulled_out_is_not_called_another_kind() -> None:
    with pytest.raises(TransportError):
        is_deployed(InBetween(card_of_profile(), gone))


def gone(_command: bytes, _on: Transmit) -> bytes:
    raise TransportError("the card was pulled out")


def test_a_blank_card_has_nothing_to_find() -> None:
    keys = KeyStore(public_test_roots(1)).blank_keys(CHIP)
    with pytest.raises(NotPersonalized, match="by AID is answered 9000, by path 6A82"):
        discover(SoftwareCard.blank(CHIP, keys))
