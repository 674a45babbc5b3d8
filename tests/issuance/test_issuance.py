"""The issuer's commands: their bytes, their order, and what a cut leaves."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardlib.card import ResidentHealthCard
from cardlib.crypto import Cipher
from cardlib.errors import (
    CardError,
    CardKeyError,
    ChannelError,
    FormatError,
    StatusWordError,
    TransportError,
)
from cardlib.issuance import (
    CardStage,
    IssuerSession,
    personalize,
    put_key_command,
    stage,
    store_data_commands,
)
from cardlib.keys.roots import new_roots
from cardlib.keys.static_keys import SoftwareScp03Keys
from cardlib.keys.store import KeyStore
from cardlib.tlv import dgi
from cardlib.transport.recorder import Recorder
from tests.cards.cards import CHIP, ISSUER, Cut, blank_card, groupings, key_store, personalized_card
from tests.cards.wrong_cards import with_added_key_set
from tests.programs import openssl

TRANSPORT, ISSUER_KEYS = key_store().transport_keys(CHIP), key_store().issuer_keys(CHIP)


@pytest.mark.parametrize("length", [16, 24, 32])
def test_put_key_is_as_the_specification_says(length: int) -> None:
    plain = [bytes([n]) * length for n in (1, 2, 3)]
    dek = bytes(range(16))
    old = SoftwareScp03Keys(0xFF, bytes(16), bytes(16), dek)
    command = put_key_command(0x01, SoftwareScp03Keys(0x01, *plain), old)
    assert command.header == bytes.fromhex("80D8FF81")
    expected = b"\x01"
    for key in plain:
        sealed = openssl.cbc("AES", dek, key + bytes(-length % 16))
        check_value = openssl.ecb("AES", key, b"\1" * 16)[:3]
        expected += bytes((0x88, 1 + len(sealed), length)) + sealed + b"\x03" + check_value
    assert command.data == expected


loads = st.lists(
    st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=400)), min_size=1, max_size=12
)


@settings(max_examples=50)
@given(loads, st.sampled_from([223, 239, 247]))
def test_store_data_blocks_are_filled_and_counted(
    load: list[tuple[int, bytes]], capacity: int
) -> None:
    commands = store_data_commands(load, capacity)
    assert [command.p2 for command in commands] == list(range(len(commands)))
    assert [command.p1 for command in commands] == [0x08] * (len(commands) - 1) + [0x88]
    assert {command.header[:2].hex() for command in commands} == {"80e2"}
    assert {len(command.data) for command in commands[:-1]} <= {capacity}
    assert 1 <= len(commands[-1].data) <= capacity
    joined = b"".join(command.data for command in commands)
    assert joined == b"".join(dgi(tag, value) for tag, value in load)


def test_a_load_has_one_to_256_blocks() -> None:
    largest = [(0x0300, bytes(30_000)), (0x0F00, bytes(256 * 239 - 30_000 - 10))]
    assert len(store_data_commands(largest)) == 256
    with pytest.raises(FormatError, match="257 blocks"):
        store_data_commands([*largest, (0x0101, b"x")])
    with pytest.raises(FormatError):
        store_data_commands([])


@pytest.mark.parametrize("cipher", Cipher)
def test_a_blank_becomes_a_card(cipher: Cipher) -> None:
    store, card = key_store(cipher), blank_card(cipher)
    keys = store.transport_keys(CHIP), store.issuer_keys(CHIP)
    assert stage(card) is CardStage.TRANSPORT
    personalize(card, *keys, groupings(cipher))
    card.reset()
    assert stage(card) is CardStage.PERSONALIZED
    values = ResidentHealthCard(card, min_protocol=1).read("DDF1/EF05")
    assert {v.field.name: v.text for v in values if v.value is not None} == ISSUER
    with pytest.raises(CardError, match="already personalized"):
        personalize(card, *keys, groupings(cipher))


def test_every_command_of_the_load_is_full_and_protected() -> None:
    recorder = Recorder(blank_card())
    personalize(recorder, TRANSPORT, ISSUER_KEYS, groupings())
    stored = [exchange for exchange in recorder.commands if exchange.command[1] == 0xE2]
    assert {exchange.command[0] for exchange in stored} == {0x84}
    assert {exchange.command_length for exchange in stored[:-1]} == {5 + 240 + 8}
    assert all(len(exchange.response) == 10 for exchange in stored)
    opened = [e.command for e in recorder.commands if e.command[1] == 0x82]
    assert [command[2] for command in opened] == [0x33, 0x33]


def test_cut_at_any_command_a_blank_is_one_of_the_named_stages_and_can_be_done_again() -> None:
    seen = set()
    for commands in range(200):
        card = blank_card()
        try:
            personalize(Cut(card, commands), TRANSPORT, ISSUER_KEYS, groupings())
            finished = True
        except TransportError:
            finished = False
        card.reset()
        found = stage(card)
        seen.add(found)
        assert (found is CardStage.PERSONALIZED) == finished
        if finished:
            break
        personalize(card, TRANSPORT, ISSUER_KEYS, groupings())
        assert stage(card) is CardStage.PERSONALIZED
    assert seen == set(CardStage) and commands > 15


def test_a_refused_load_leaves_a_blank_that_can_be_done_again() -> None:
    card = blank_card()
    unknown = [*groupings(), (0x7FFF, b"x")]
    with pytest.raises(StatusWordError, match=r"STORE DATA block \d+ of \d+: 6A88"):
        personalize(card, TRANSPORT, ISSUER_KEYS, unknown)
    assert stage(card) is CardStage.ISSUER
    personalize(card, TRANSPORT, ISSUER_KEYS, groupings())


def test_a_blank_of_another_maker_is_told() -> None:
    other = KeyStore(new_roots())
    with pytest.raises(ChannelError, match=r"wrong card cryptogram.*key version FF"):
        personalize(blank_card(), other.transport_keys(CHIP), ISSUER_KEYS, groupings())


def test_a_blank_with_unknown_key_versions_is_told() -> None:
    card = blank_card()
    ((_, known),) = card.state.key_sets.items()
    card.state.key_sets = {0x10: replace(known, version=0x10)}
    with pytest.raises(CardKeyError, match=r"keys of version 10\. Expected: transport keys \(FF\)"):
        stage(card)


def test_activation_makes_a_card_that_can_be_updated() -> None:
    card = personalized_card(active=False)
    IssuerSession.open(card, ISSUER_KEYS).activate()
    writer = ResidentHealthCard(card, key_store().terminal_keys, min_protocol=1)
    writer.authenticate("UK1_DF02")
    writer.update("DDF1/DF02/EF05", 1, {"abo_blood_group": "1"})


def test_a_blank_is_not_activated() -> None:
    card = blank_card()
    with pytest.raises(StatusWordError, match="6985"):
        personalize(card, TRANSPORT, ISSUER_KEYS, groupings()[:3])
    with pytest.raises(StatusWordError, match="ACTIVATE"):
        IssuerSession.open(card, ISSUER_KEYS).activate()


def test_a_blank_to_which_another_program_added_a_key_set_is_refused() -> None:
    card = with_added_key_set(blank_card(), key_store())
    with pytest.raises(CardKeyError, match="2 key sets, of versions 30 FF"):
        stage(card)
