"""Reading for a person: what the keys open, the rest as denied, free visit slots left out."""

import pytest

from cardlib.card import FieldCard, ResidentHealthCard
from cardlib.crypto import Cipher
from cardlib.errors import ChannelError, ProfileNeeded, StatusWordError
from cardlib.keys.roots import new_roots
from cardlib.keys.store import KeyStore
from cardlib.layout import FILES, State
from cardlib.layout.card_profile import FIELD, RHCARD
from cardlib.transport.recorder import Recorder
from personalize.terminal.reading import EMERGENCY_FILES, EMERGENCY_KEYS, HowToRead, read_card
from tests.cards.cards import CHIP, key_store, personalized_card
from tests.cards.field_bench import (
    KEYS_1,
    NO_INTERNAL_KEY,
    card_of_profile,
    check_all_is_read,
    keys_of,
)
from tests.cards.in_between import InBetween, refusing


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

LAST_8 = FIELD.having({"serial_place": "last 8"})


def test_a_card_that_does_not_describe_itself_is_told_with_what_it_answers() -> None:
    log = Recorder(card_of_profile())
    with pytest.raises(ProfileNeeded) as error:
        read_card(log, KEYS_1)
    told = str(error.value)
    assert "add --profile field" in told and "by AID is refused (6A82)" in told
    assert "P2=05 is refused" in told and "not sure" in told
    assert {each.command[1] for each in log.commands} == {0xA4, 0xB2}


def test_a_field_card_is_read_with_the_profile() -> None:
    reading = read_card(card_of_profile(), KEYS_1, how=HowToRead(FIELD))
    shown = {file.path: values for file, values in reading.files}
    check_all_is_read({file.path: shown.get(file.path, ()) for file in FILES}, FIELD)
    assert not [path for path in shown if path[-4:-2] in ("EE", "ED")]
    assert (reading.serial_place, reading.serial_is_sure) == ("bytes 5-12", True)
    assert reading.identity.chip == CHIP


def test_only_profile_field_makes_a_silent_card_an_old_one() -> None:
    silent = HowToRead(
        RHCARD.having({"fci": "nothing", "serial_place": "bytes 5-12", "old_spec_version": "yes"})
    )
    with pytest.raises(ChannelError, match="version 1 of secure messaging"):
        read_card(card_of_profile(), KEYS_1, how=silent)


def test_where_the_serial_is_follows_from_the_internal_key() -> None:
    reading = read_card(card_of_profile(LAST_8), KEYS_1, how=HowToRead(FIELD))
    assert (reading.serial_place, reading.internal_refusal) == ("last 8", None)


def test_without_the_internal_key_one_try_is_spent_and_the_place_named() -> None:
    log = Recorder(card_of_profile(LAST_8))
    with pytest.raises(StatusWordError, match="bytes 5 to 12 of the ATR"):
        read_card(log, NO_INTERNAL_KEY, how=HowToRead(FIELD))
    assert [each.command[1] for each in log.commands].count(0x82) == 1


def test_a_card_that_refuses_to_prove_the_internal_key_is_read_and_that_is_told() -> None:
    no_proof = refusing(b"\x69\x85", lambda command: command[1] == 0x88)
    line = InBetween(card_of_profile(), no_proof)
    reading = read_card(line, KEYS_1, how=HowToRead(FIELD))
    assert (reading.serial_is_sure, reading.internal_refusal) == (True, 0x6985)
    assert not [v for _, values in reading.files for v in values if v.state is State.DENIED]


def test_our_own_card_may_not_refuse_the_proof() -> None:
    no_proof = refusing(b"\x69\x85", lambda command: command[1] == 0x88)
    for protocol in (1, 2):
        line = InBetween(card_of_profile(RHCARD, protocol=protocol), no_proof)
        with pytest.raises(StatusWordError, match="INTERNAL AUTHENTICATE: 6985"):
            read_card(line, keys_of(protocol))
        with pytest.raises(StatusWordError, match="INTERNAL AUTHENTICATE: 6985"):
            read_card(line, keys_of(protocol), how=HowToRead(RHCARD, FieldCard(chip=CHIP)))
        assert not [each for each in line.reached if each[1] == 0x82]


def test_without_keys_nothing_proves_where_the_serial_is() -> None:
    reading = read_card(card_of_profile(), None, how=HowToRead(FIELD))
    assert (reading.serial_place, reading.serial_is_sure) == ("bytes 5-12", False)
