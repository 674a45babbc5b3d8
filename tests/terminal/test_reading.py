"""Reading for a person: what the keys open, the rest as denied, free visit slots left out."""

import pytest

from cardlib.card import ResidentHealthCard
from cardlib.crypto import Cipher
from cardlib.errors import ChannelError, ProfileNeeded, StatusWordError
from cardlib.keys.roots import new_roots
from cardlib.keys.store import KeyStore
from cardlib.layout import FILES, State
from cardlib.layout.card_profile import FIELD, RHCARD
from cardlib.transport.recorder import Recorder
from personalize.terminal.reading import EMERGENCY_FILES, EMERGENCY_KEYS, HowToRead, read_card
from tests.card.test_field_profile import KEYS, new_card
from tests.cards.cards import CHIP, key_store, personalized_card
from tests.cards.field_cards import FieldLike


def test_without_keys_every_protected_file_is_denied_and_names_its_key() -> None:
    reading = read_card(personalized_card(), None)
    assert [file for file, _ in reading.files] == list(FILES)
    for file, values in reading.files:
        if file.read_key:
            assert {(v.state, v.detail) for v in values} == {(State.DENIED, file.read_key)}
    assert reading.identity.chip == CHIP


def test_with_keys_nothing_is_denied_and_free_slots_are_left_out() -> None:
    reading = read_card(personalized_card(), key_store().terminal_keys)
    assert not [v for _, values in reading.files for v in values if v.state is State.DENIED]
    assert not [file for file, _ in reading.files if file.path[-4:-2] in ("EE", "ED")]


def test_a_visit_that_is_marked_valid_is_shown() -> None:
    card = personalized_card()
    terminal = ResidentHealthCard(card, key_store().terminal_keys, min_protocol=1)
    for key in ("RK1_DF03", "UK1_DF03"):
        terminal.authenticate(key)
    assert terminal.write_visit("outpatient", {"hospital_name": "示例市第一人民医院"}) == 1
    reading = read_card(card, key_store().terminal_keys)
    assert [file.path for file, _ in reading.files if file.path[-4:-2] in ("EE", "ED")] == [
        "DDF1/DF03/ED01"
    ]


def test_an_emergency_room_needs_two_keys_and_no_pin() -> None:
    keys = key_store().terminal_keys.only(EMERGENCY_KEYS)
    reading = read_card(personalized_card(), keys, EMERGENCY_FILES)
    values = {v.field.name: v for _, file in reading.files for v in file}
    assert (values["heart_disease"].state, values["asthma"].state) == (
        State.VALUE,
        State.NEGATIVE,
    )
    assert values["diabetes"].state is State.UNWRITTEN
    assert values["allergen"].state is State.VALUE
    assert values["vaccine"].state is State.UNWRITTEN
    assert values["vaccine"].detail == "no entries recorded"


def test_no_key_is_tried_on_a_chip_that_is_not_genuine() -> None:
    card, other = personalized_card(), KeyStore(new_roots(1, Cipher.SM4))
    before = dict(card.memory.pages)
    with pytest.raises(ChannelError, match="not genuine"):
        read_card(card, other.terminal_keys)
    assert card.memory.pages == before


# --- deployed cards --------------------------------------------------------------------


def test_a_card_that_does_not_describe_itself_is_told_with_what_it_answers() -> None:
    log = Recorder(FieldLike(new_card()))
    with pytest.raises(ProfileNeeded) as error:
        read_card(log, KEYS)
    told = str(error.value)
    assert "add --profile field" in told and "by AID is refused (6A82)" in told
    assert "P2=05 is refused" in told and "not sure" in told
    assert {each.command[1] for each in log.commands} == {0xA4, 0xB2}


def test_a_field_card_is_read_with_the_profile_as_ours_is_without() -> None:
    ours = read_card(new_card(), KEYS)
    field = read_card(FieldLike(new_card()), KEYS, how=HowToRead(FIELD))
    assert field.files == ours.files
    assert (ours.serial_place, field.serial_place) == ("historical tag", "bytes 5-12")
    assert field.identity.chip == ours.identity.chip


def test_only_profile_field_makes_a_silent_card_an_old_one() -> None:
    silent = HowToRead(RHCARD.having({"fci": "nothing", "serial_place": "bytes 5-12"}))
    with pytest.raises(ChannelError, match="version 1 of secure messaging"):
        read_card(FieldLike(new_card()), KEYS, how=silent)


def test_where_the_serial_is_follows_from_the_internal_key() -> None:
    line = FieldLike(new_card(), FIELD.having({"serial_place": "last 8"}))
    assert read_card(line, KEYS, how=HowToRead(FIELD)).serial_place == "last 8"


def test_without_the_internal_key_one_try_is_spent_and_the_place_named() -> None:
    log = Recorder(FieldLike(new_card(), FIELD.having({"serial_place": "last 8"})))
    with pytest.raises(StatusWordError, match="bytes 5 to 12 of the ATR"):
        read_card(log, KEYS.only(KEYS.names - {"IRK_DDF1"}), how=HowToRead(FIELD))
    assert [each.command[1] for each in log.commands].count(0x82) == 1
