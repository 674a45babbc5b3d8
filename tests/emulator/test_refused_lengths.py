"""A refused length (6Cxx) has executed nothing; what ends a session, and a PIN's validity."""

import pytest

from cardlib.crypto import Cipher
from cardlib.emulator import CardOptions, SoftwareCard
from cardlib.emulator.filesystem import created_files
from cardlib.emulator.filesystem.tree import DDF1, MF
from cardlib.emulator.handlers.access import ACTIVATED
from tests.cards.issuer_sessions import Issuer
from tests.cards.v2_cards import PIN, Terminal, card_of

H = bytes.fromhex
AID = "F052484301"
PLAIN = [
    f"00A4040005{AID}", "00A4080006DDF1DF03ED01", "00A4000002DF02", "00A4080404DDF1DF01",
    "0084000000", "00B2010400", "00B2010500", "00CA004500", "80CA9F7F00", "00CA006600",
]  # fmt: skip
"""Commands whose answers have more than one byte; the last byte of the case-2 ones is Le."""


def with_le(command: str, le: int) -> bytes:
    raw = H(command)
    return raw[:-1] + bytes((le,)) if len(raw) == 5 else raw + bytes((le,))


def state_of(card: SoftwareCard) -> tuple[object, ...]:
    """Every logical channel and the memory; what waits for GET RESPONSE is no state of theirs."""
    simple = (int, bytes, bool, tuple, type(None))
    channels = [
        {
            name: value if isinstance(value, simple) else id(value)
            for name in channel.__slots__
            if name != "pending"
            for value in (getattr(channel, name),)
        }
        for channel in card.channels.values()
    ]
    return (*channels, dict(card.memory.pages))


@pytest.mark.parametrize("protocol", [1, 2])
@pytest.mark.parametrize("command", PLAIN)
def test_in_clear_nothing_has_changed(command: str, protocol: int) -> None:
    card = card_of(protocol=protocol)
    assert card.transmit(H("00A4080C04DDF1EF05")) == H("9000")
    card.transmit(H("0084000008"))
    before = state_of(card)
    answer = card.transmit(with_le(command, 1))
    assert (len(answer), answer[0]) == (2, 0x6C)
    assert state_of(card) == before
    assert card.transmit(with_le(command, answer[1]))[-2:] == H("9000"), "and again it is done"


@pytest.mark.parametrize("cipher", Cipher)
def test_an_authentication_with_too_small_an_le_gives_no_right_and_keeps_the_challenge(
    cipher: Cipher,
) -> None:
    terminal = Terminal(cipher)
    terminal.select("DDF1/DF02")
    data, *randoms = terminal.authentication("RK1_DF02")
    before = state_of(terminal.card)
    assert terminal.raw(H("0082008428") + data + b"\x27") == H("6C28")
    assert state_of(terminal.card) == before
    assert terminal.sw("00A4080C06DDF1DF02EF05") == 0x9000
    assert terminal.sw("00B2010400") == 0x6982
    terminal.select("DDF1/DF02")
    reply = terminal.exchange_82("RK1_DF02", data)
    assert reply.sw == 0x9000
    terminal.take("RK1_DF02", reply.data, *randoms)
    assert terminal.select("DDF1/DF02/EF05") == 0x9000


@pytest.mark.parametrize("command", [
    ("00A40400", AID), ("00A40800", "DDF1DF03ED01"), ("00A40000", "DF02"), ("00840000", ""),
    ("00A40400", ""), ("00A40400", "A000000151000000"), ("00B20104", ""), ("00CA0045", ""),
])  # fmt: skip
def test_in_a_session_nothing_has_changed(command: tuple[str, str]) -> None:
    terminal = Terminal().authenticate("RK1_DF02")
    assert terminal.select("DDF1/DF02/EF05") == 0x9000
    terminal.challenge()
    before = state_of(terminal.card)
    reply = terminal.send(command[0], H(command[1]), 1)
    assert (reply.sw >> 8, reply.data, reply.protected) == (0x6C, b"", True)
    assert state_of(terminal.card) == before
    assert terminal.ok("00B20104", le=256) == H("290104"), "the file is still selected"


def test_a_further_authentication_with_too_small_an_le_changes_no_key() -> None:
    terminal = Terminal().authenticate("RK1_DF02")
    data, *_ = terminal.authentication("UK1_DF02")
    before = state_of(terminal.card)
    assert terminal.send("00820085", data, 39) == (b"", 0x6C28, True)
    assert state_of(terminal.card) == before
    terminal.select("DDF1/DF02/EF05")
    assert terminal.send("00DC0104", H("290102")).sw == 0x6982


def test_under_scp03_a_select_that_is_refused_for_its_length_ends_no_session() -> None:
    issuer = Issuer()
    assert issuer.send("80CA0045", le=256)[1] == 0x9000
    before = state_of(issuer.card)
    for aid in (AID, "A000000151000000"):
        command = H("00A40400") + bytes((len(aid) // 2,)) + H(aid) + b"\x01"
        assert issuer.card.transmit(command)[0] == 0x6C
        assert state_of(issuer.card) == before
    assert issuer.send("80CA0045", le=256)[1] == 0x9000


# --- sessions and the PIN -------------------------------------------------------------------

OURS, INSIDE = "F05248430B", "F05248430C"


def with_applications() -> SoftwareCard:
    """A 2.0 card with a DF of an AID of its own in the MF, and one in DDF1."""
    card = card_of()
    for parent, fid, aid in ((MF, "0C01", OURS), (DDF1, "0C02", INSIDE)):
        fcp = H(f"82023821 8302{fid} 8405{aid}")
        assert created_files.store(card.memory, parent, fcp, ACTIVATED) is not None
    card.memory.commit()
    card.reset()
    return card


def at_applications(key: str) -> Terminal:
    terminal = Terminal()
    terminal.card = with_applications()
    return terminal.authenticate(key)


@pytest.mark.parametrize("aid", [OURS, INSIDE, "A000000151000000", ""])
def test_selecting_another_application_by_aid_ends_a_session(aid: str) -> None:
    terminal = at_applications("RK1_DDF1")
    assert terminal.send("00A4040C", H(aid)) == (b"", 0x9000, True)
    assert terminal.card.channels[0].v2 is None and terminal.card.channels[0].rights == 0
    reply = terminal.send("00A4080C", H("DDF1EF06"))
    assert (reply.sw, reply.protected) == (0x6982, False)


@pytest.mark.parametrize("first", ["RK1_DDF1", "RK1_DF02", "BK_MF"])
def test_the_own_aid_again_is_no_other_application(first: str) -> None:
    terminal = at_applications(first)
    assert terminal.send("00A4040C", H(AID)) == (b"", 0x9000, True)
    assert terminal.select("DDF1/EF05") == 0x9000


def test_back_to_ddf1_by_aid_from_a_created_application_ends_the_session() -> None:
    terminal = at_applications("RK1_DDF1")
    assert terminal.send("00A4080C", H("DDF10C02")).sw == 0x9000, "by path it stays"
    assert terminal.send("00A4040C", H(AID)) == (b"", 0x9000, True)
    assert not terminal.send("00A4080C", H("DDF1EF06")).protected


def test_an_aid_that_is_not_there_ends_no_session() -> None:
    terminal = at_applications("RK1_DDF1")
    assert terminal.send("00A4040C", H("F0524843")).sw == 0x6A82
    assert terminal.select("DDF1/EF06") == 0x9000


@pytest.mark.parametrize(
    "command", ["0020000006303030303030", "002400000C303030303030313335373931"]
)
def test_a_pin_that_becomes_blocked_is_verified_on_no_channel(command: str) -> None:
    card = card_of(options=CardOptions(logical_channels=3), protocol=1)
    for number in (1, 2):
        assert card.transmit(H("0070000001")) == bytes((number, 0x90, 0))
    for number in (0, 1, 2):
        assert card.transmit(bytes((number,)) + H(f"A4040C05{AID}")) == H("9000")
    for number in (0, 1):
        verify = bytes((number,)) + H("20000006") + PIN.encode("ascii")
        assert card.transmit(verify) == H("9000")
    wrong = b"\x02" + H(command)[1:]
    assert card.transmit(wrong) == H("63C2")
    assert card.transmit(wrong) == H("63C1")
    assert card.transmit(H("0120000000")[:4]) == H("9000"), "not blocked: still verified there"
    assert card.transmit(wrong) == H("63C0")
    for number in (0, 1, 2):
        assert card.transmit(bytes((number,)) + H("200000")) == H("63C0")
        assert not card.channels[number].pin_verified
