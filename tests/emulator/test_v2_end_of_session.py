"""The card's version 2: what ends a session, and what does not."""

import pytest

from cardlib.crypto import Cipher
from cardlib.emulator.profile.card_options import CardOptions
from tests.cards.v2_cards import AID, Terminal
from tests.emulator.v2_session import is_over, opened, spoiled
from tests.oracles import v2 as ref

H = bytes.fromhex
CHANNELS = CardOptions(logical_channels=4)
CLINICAL, ALLERGIES, INDEX = "DDF1/DF02/EF05", "DDF1/DF02/EF07", "DDF1/DF03/EF06"


# --- what ends a session --------------------------------------------------------------------


def test_a_command_with_any_bit_changed_is_not_done_and_ends_the_session() -> None:
    answers = {}
    for bit in range(8 * (5 + 29)):
        terminal = opened("RK1_DF02")
        assert terminal.try_authenticate("UK1_DF02").sw == 0x9000
        terminal.select(CLINICAL)
        command = terminal.command("00DC0104", H("290102"))
        answers[bit] = terminal.raw(spoiled(command, bit)).hex().upper()
        again = terminal.raw(command)
        if answers[bit] not in NO_COMMAND:
            assert again == H("6988" if bit == 4 else "6982"), "a chain begun, or no session"
            assert read_afresh(terminal) == H("290104"), bit
    assert {answers[bit] for bit in range(2)} == {"6881"}, "another logical channel"
    assert {answers[bit] for bit in (5, 7)} == {"6E00"}, "no class of this card"
    assert {answers[bit] for bit in range(32, 40)} == {"6700"}, "no command at all"
    assert {answers[bit] for bit in range(40, 8 * 34)} == {"6987", "6988"}


NO_COMMAND = ("6881", "6E00", "6700")
"""What is said before a command is one of this channel's session, which goes on untouched."""


def read_afresh(terminal: Terminal) -> bytes:
    """Record 1 of the clinical basics in a new session."""
    terminal.card.reset()
    terminal.keys = None
    terminal.authenticate("RK1_DF02").select(CLINICAL)
    return terminal.ok("00B20104", le=256)


def body_of(terminal: Terminal, objects: bytes, header: str = "0CB20104") -> bytes:
    """A command with a right MAC over these objects."""
    assert terminal.keys
    terminal.ssc += 1
    message = ref.counter(terminal.ssc) + ref.padded(H(header))
    message += ref.padded(objects) if objects else b""
    mac = ref.cmac(terminal.e, terminal.keys[1], message)[:8]
    return ref.short(H(header), objects + ref.tlv(0x8E, mac))


def sealed(terminal: Terminal, padded: bytes) -> bytes:
    """Padded data encrypted for the next command."""
    assert terminal.keys
    iv = ref.ecb(terminal.e, terminal.keys[0], ref.counter(terminal.ssc + 1))
    return ref.cbc(terminal.e, terminal.keys[0], iv, padded)


MISSING = {
    "no data field": lambda t: H("0CB20104"),
    "no data field but Le": lambda t: H("0CB2010400"),
    "no MAC": lambda t: ref.short(H("0CB20104"), H("970100")),
    "no MAC but data": lambda t: ref.short(H("0CB20104"), H("8711") + bytes(17)),
}
INCORRECT = {
    "MAC of zeros": lambda t: ref.short(H("0CB20104"), H("9701008E08") + bytes(8)),
    "MAC without its own counter": lambda t: (body_of(t, H("970100")), body_of(t, H("970100")))[1],
    "padding of zeros": lambda t: body_of(
        t, ref.tlv(0x87, b"\x01" + sealed(t, bytes(16))), "0CDC0104"
    ),
    "padding of a whole block": lambda t: body_of(
        t, ref.tlv(0x87, b"\x01" + sealed(t, b"\x80" + bytes(31))), "0CDC0104"
    ),
    "no padding indicator": lambda t: body_of(
        t, ref.tlv(0x87, sealed(t, ref.padded(H("290102")))), "0CDC0104"
    ),
    "part of a block": lambda t: body_of(t, ref.tlv(0x87, b"\x01" + bytes(15)), "0CDC0104"),
    "DO85 for an even INS": lambda t: body_of(
        t, ref.tlv(0x85, sealed(t, ref.padded(H("290102")))), "0CDC0104"
    ),
    "a foreign object": lambda t: body_of(t, ref.tlv(0x81, H("290102")), "0CDC0104"),
    "Le of three bytes": lambda t: body_of(t, H("9703000100")),
}  # fmt: skip


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize("what", MISSING)
def test_a_missing_object_is_6987_in_clear_and_ends_the_session(what: str, cipher: Cipher) -> None:
    terminal = opened(cipher=cipher)
    terminal.select(CLINICAL)
    assert terminal.raw(MISSING[what](terminal)) == H("6987")
    assert is_over(terminal)


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize("what", INCORRECT)
def test_a_wrong_object_is_6988_in_clear_and_ends_the_session(what: str, cipher: Cipher) -> None:
    terminal = opened("UK1_DF02", cipher)
    terminal.select(CLINICAL)
    assert terminal.raw(INCORRECT[what](terminal)) == H("6988")
    assert is_over(terminal)


@pytest.mark.parametrize("command", [
    "00B2010400", "00A4080C06DDF1DF02EF05", "0084000008", "00A4040005F05248430100", "80CA9F7F00",
    "0020000006313335373930", "00FE000000", "80B2010400", "1000000000", "00820084",
])  # fmt: skip
def test_a_plain_command_ends_the_session_unprocessed(command: str) -> None:
    terminal = opened()
    terminal.select(CLINICAL)
    assert terminal.raw(command) == H("6982")
    assert is_over(terminal)
    terminal.keys = None
    terminal.authenticate("RK1_DF02")


def test_get_response_is_no_plain_command() -> None:
    terminal = opened()
    terminal.select(CLINICAL)
    assert terminal.raw("00C0000000")[-2:] != H("6982")
    assert terminal.ok("00B20104", le=256)


def test_every_other_status_comes_protected_and_keeps_the_session() -> None:
    terminal = opened()
    for header, data, le, sw in [
        ("00A4080C", H("DDF1DF07"), None, 0x6A82),
        ("00B20104", b"", 256, 0x6986),
        ("00A4080C", H("DDF1DF01EF05"), None, 0x9000),
        ("00B20104", b"", 256, 0x6982),
        ("00A4080C", H("DDF1DF02EF05"), None, 0x9000),
        ("00FC0000", b"", None, 0x6D00),
        ("00B00000", b"", 1, 0x6981),
    ]:
        reply = terminal.send(header, data, le)
        assert (reply.sw, reply.protected) == (sw, True), header


def test_a_further_authentication_adds_its_role_under_new_keys() -> None:
    terminal = opened("RK1_DF02")
    assert terminal.keys
    first = terminal.keys
    assert terminal.try_authenticate("UK1_DF02").sw == 0x9000
    assert terminal.keys != first and terminal.ssc == 0
    terminal.select(CLINICAL)
    terminal.ok("00DC0104", H("290102"))
    assert terminal.ok("00B20104", le=256) == H("290102")


def test_after_an_authentication_no_ef_is_current() -> None:
    terminal = Terminal()
    terminal.select("DDF1/EF05")
    assert terminal.select("DDF1/DF02") == 0x9000
    terminal.authenticate("RK1_DF02")
    terminal.select(CLINICAL)
    assert terminal.ok("00B20104", le=256)
    assert terminal.try_authenticate("UK1_DF02").sw == 0x9000
    assert terminal.send("00B20104", le=256) == (b"", 0x6986, True)


def test_a_failed_further_authentication_ends_the_session() -> None:
    terminal = opened("RK1_DF02")
    terminal.challenge()
    reply = terminal.exchange_82("UK1_DF02", bytes(40))
    assert (reply.sw, reply.protected) == (0x63CE, True)
    assert is_over(terminal)


def test_a_refused_first_authentication_does_not_shorten_the_next_session() -> None:
    terminal = Terminal()
    terminal.select("DDF1/DF02")
    terminal.challenge()
    assert terminal.exchange_82("RK1_DF02", bytes(40)).sw == 0x63CE
    terminal.authenticate("RK1_DF02")
    for _ in range(3):
        assert terminal.select(CLINICAL) == 0x9000
        assert terminal.ok("00B20104", le=256) == H("290104")


def test_reset_ends_a_session_with_its_rights() -> None:
    terminal = opened()
    terminal.card.reset()
    assert is_over(terminal)
    old = terminal.command("00B20104", le=256)
    assert int.from_bytes(terminal.raw(old)[-2:], "big") in (0x6882, 0x6982, 0x6987, 0x6988)


def test_selecting_another_application_ends_a_session() -> None:
    terminal = opened()
    reply = terminal.send("00A40400", H("A000000151000000"), le=256)
    assert reply.sw == 0x9000 and reply.protected
    assert is_over(terminal)
    terminal = opened()
    assert terminal.send("00A4040C", AID).sw == 0x9000
    assert terminal.send("00A4080C", H("DDF1EF05")).sw == 0x9000


def test_a_session_belongs_to_one_logical_channel() -> None:
    terminal = Terminal(options=CHANNELS)
    assert terminal.plain("0070000001")[0] == b"\x01"
    assert terminal.sw("01A4080C04DDF1DF02") == 0x9000
    other = Terminal(options=CHANNELS, channel=1)
    other.card = terminal.card
    terminal.authenticate("RK1_DF02")
    terminal.select(CLINICAL)
    assert terminal.sw("01A4080C06DDF1DF02EF05") == 0x9000
    assert terminal.sw("01B2010400") == 0x6982
    other.authenticate("RK1_DF02")
    other.select(CLINICAL)
    assert other.ok("00B20104", le=256) == terminal.ok("00B20104", le=256)
    assert terminal.sw("01B2010400") == 0x6982
    assert terminal.ok("00B20104", le=256)
    other.keys = None
    other.authenticate("RK1_DF02")
    closing = terminal.send("00708001")
    assert closing.sw == 0x9000
    assert terminal.ok("00B20104", le=256)
