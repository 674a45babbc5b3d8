"""A refused length, 6Cxx, has executed nothing (card specification 1)."""

import pytest

from cardlib.crypto import Cipher
from cardlib.emulator import SoftwareCard
from tests.cards.v2_cards import Terminal, card_of

H = bytes.fromhex


def state_of(card: SoftwareCard) -> tuple[object, ...]:
    """All that the card remembers: memory, and every slot of its channels.

    Files and sessions are told by identity: what counts the commands in a session may go on.
    """
    plain = (int, bytes, bool, tuple, type(None))

    def kept(value: object) -> object:
        return value if isinstance(value, plain) else id(value)

    channels = {
        number: {name: kept(getattr(channel, name)) for name in channel.__slots__}
        for number, channel in card.channels.items()
    }
    return card.memory.pages, channels


@pytest.mark.parametrize(("command", "answer"), [
    ("0084000007", "6c08"), ("0084000001", "6c08"),
    ("00A4040005F05248430101", "6c1a"), ("00A4080002DDF110", "6c1a"), ("00A40004023F0005", "6c0d"),
    ("00A4040001", "6c12"), ("00880000110000000000000000000000000000000001" + "01", "6c08"),
    ("80CA004501", "6c0a"), ("00CA004501", "6c08"),
])  # fmt: skip
def test_in_clear_it_leaves_everything_as_it_was(command: str, answer: str) -> None:
    card = card_of()
    card.reset()
    card.transmit(H("00A4080C04DDF1EF06"))
    before = state_of(card)
    assert card.transmit(H(command)).hex() == answer
    assert state_of(card) == before


def test_a_mutual_authentication_with_too_small_a_le_spends_nothing() -> None:
    terminal = Terminal(Cipher.SM4)
    card = terminal.card
    terminal.select("DDF1/DF02")
    command, *_ = terminal.authentication("RK1_DF02")
    before = state_of(card)
    for le in (1, 39):
        assert card.transmit(H("0082008428") + command + bytes((le,))).hex() == "6c28"
        assert state_of(card) == before
    assert card.transmit(H("0082008428") + command + b"\x28")[-2:] == H("9000")


@pytest.mark.parametrize(("header", "data", "le"), [
    ("00840000", b"", 7), ("00A40804", H("DDF1DF02"), 4), ("00A40800", H("DDF1"), 4),
])  # fmt: skip
def test_in_a_session_too(header: str, data: bytes, le: int) -> None:
    terminal = Terminal(Cipher.SM4).authenticate("RK1_DF02")
    card = terminal.card
    before = state_of(card)
    reply = terminal.send(header, data, le)
    assert reply.sw >> 8 == 0x6C
    assert state_of(card) == before
