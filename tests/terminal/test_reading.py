"""Reading for a person: what the keys open, the rest as denied, free visit slots left out."""

import pytest

from cardlib.card import ResidentHealthCard
from cardlib.crypto import Cipher
from cardlib.errors import ChannelError
from cardlib.keys.roots import new_roots
from cardlib.keys.store import KeyStore
from cardlib.layout import FILES, State
from personalize.terminal.reading import EMERGENCY_FILES, EMERGENCY_KEYS, read_card
from tests.cards.cards import CHIP, key_store, personalized_card


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
