"""The issuer security domain through `transmit`: its data, the registry, the life cycle."""

from collections.abc import Iterator

import pytest

from cardlib.crypto import Cipher
from cardlib.emulator import LifeCycle, SoftwareCard
from cardlib.emulator.handlers.security_domain import COMMANDS
from cardlib.emulator.profile.card_state import KEY_TRIES, StoredKey
from cardlib.layout import KEY_BY_NAME
from cardlib.tlv import find_ber, iter_ber
from tests.emulator.domain_keys import ISSUER, TRANSPORT, put_key, send
from tests.oracles.scp03 import Terminal

H = bytes.fromhex
CHIP = H("0102030405060708")


@pytest.fixture
def card() -> Iterator[SoftwareCard]:
    blank = SoftwareCard.blank(CHIP, TRANSPORT, seed=1)
    yield blank
    blank.close()


@pytest.fixture
def issuers(card: SoftwareCard) -> SoftwareCard:
    """A blank that has the issuer's keys."""
    assert put_key(Terminal.open(card.transmit, TRANSPORT), ISSUER).endswith("9000")
    card.reset()
    return card


# GET DATA, GET STATUS


def test_cplc_carries_the_chip_serial(card: SoftwareCard) -> None:
    answer = H(send(card, "80CA9F7F00"))
    assert answer[:3] == H("9F7F2A")
    assert answer[3 + 12 : 3 + 20] == CHIP
    assert len(answer) == 3 + 42 + 2


def test_card_data_names_globalplatform_and_scp03(card: SoftwareCard) -> None:
    data = find_ber(H(send(card, "80CA006600"))[:-2], 0x66, 0x73)
    assert data is not None
    objects = list(iter_ber(data))
    assert [item.tag for item in objects] == [0x06, 0x60, 0x64]
    assert find_ber(data, 0x64, 0x06) == H("2A864886FC6B040370")


def test_get_data_of_other_things(card: SoftwareCard) -> None:
    assert send(card, "80CA004500") == "4508" + CHIP.hex() + "9000"
    assert send(card, "80CA004200") == "6a88"
    assert send(card, "80CA00E0015C00") == "6700"
    assert send(card, "80CB00C100") == send(card, "00CB00C100") == "6d00"


def test_get_data_in_class_00_answers_the_value_alone(card: SoftwareCard) -> None:
    assert send(card, "80CA00C100") == "c103" + send(card, "00CA00C100")
    assert send(card, "00CA004500") == CHIP.hex() + "9000"
    whole = find_ber(H(send(card, "80CA00E000"))[:-2], 0xE0)
    assert whole is not None and send(card, "00CA00E000") == whole.hex() + "9000"
    assert H(send(card, "00CA006600"))[:1] == b"\x73"  # the object inside 66


def test_in_a_session_the_class_decides_too(issuers: SoftwareCard) -> None:
    terminal = Terminal.open(issuers.transmit, ISSUER)
    assert terminal.send("00CA004500") == CHIP.hex() + "9000"
    assert terminal.send("80CA004500") == "4508" + CHIP.hex() + "9000"
    assert terminal.send("00DA5F500148") == "9000"
    assert terminal.send("00CA5F5000") == "489000"
    assert terminal.send("80CA5F5000") == "5f5001489000"


@pytest.mark.parametrize("ins", ["E6", "E8"])
@pytest.mark.parametrize("cla", ["80", "84"])
def test_a_globalplatform_command_that_the_card_lacks_is_6d00(
    card: SoftwareCard, cla: str, ins: str
) -> None:
    """INSTALL and LOAD share their INS with TERMINATE DF and TERMINATE EF of class 00."""
    assert send(card, f"{cla}{ins}0C0000") == "6d00"
    assert send(card, f"00{ins}0000") == "6982"


def test_select_of_the_domain_knows_one_occurrence(card: SoftwareCard) -> None:
    assert send(card, "00A4040408A00000015100000000")[:2] == "62"
    assert send(card, "00A4040208A00000015100000000") == "6a82"
    assert send(card, "00A4000202EF0500") == "6a86"


@pytest.mark.parametrize("fcp", [
    "82013883 02DDF1", "820138 8302A001 8405F052484301",
])  # fmt: skip
def test_a_blank_keeps_the_profiles_identifiers_and_names_free(
    issuers: SoftwareCard, fcp: str
) -> None:
    terminal = Terminal.open(issuers.transmit, ISSUER)
    raw = H(fcp.replace(" ", ""))
    template = (b"\x62" + bytes((len(raw),)) + raw).hex()
    assert terminal.send(f"00E00000{len(raw) + 2:02X}{template}") == "6a89"


def test_get_status_needs_a_session(card: SoftwareCard) -> None:
    assert send(card, "80F28002024F0000") == "6982"


def test_get_status_lists_domain_and_application(card: SoftwareCard) -> None:
    terminal = Terminal.open(card.transmit, TRANSPORT, 0x01)
    domain = "e3134f08a0000001510000009f700101c503980400"
    applet = "e3104f05f0524843019f700107c503040000"
    assert terminal.send("80F28002024F0000") == domain + "9000"
    assert terminal.send("80F2800200") == domain + "9000"
    assert terminal.send("80F24002024F0000") == applet + "9000"
    assert terminal.send("80F240020" + "44F02F05200") == applet + "9000"
    assert terminal.send("80F2400206" + "4F04A000000100") == "6a88"
    assert terminal.send("80F2200209" + "4F0212345C034F9F70") == "6a88"
    assert terminal.send("80F21002024F0000") == "6a88"
    assert terminal.send("80F28002074F005C034F9F7000") == "e30e4f08a0000001510000009f7001019000"
    assert terminal.send("80F28000024F0000") == "08a00000015100000001989000"


@pytest.mark.parametrize(
    ("command", "sw"),
    [("80F28202024F0000", "6a86"), ("80F28001024F0000", "6a86"), ("80F28002025C0000", "6a80"),
     ("80F28002024F0500", "6a80"), ("80F28002044F004F0000", "6a80")],
)  # fmt: skip
def test_wrong_get_status(card: SoftwareCard, command: str, sw: str) -> None:
    assert Terminal.open(card.transmit, TRANSPORT).send(command) == sw


@pytest.mark.parametrize(
    ("life_cycle", "domain", "applet"),
    [(LifeCycle.BLANK, "07", "07"), (LifeCycle.PERSONALIZED, "0f", "0f"),
     (LifeCycle.ACTIVE, "0f", "1f")],
)  # fmt: skip
def test_get_status_tells_the_life_cycle(
    issuers: SoftwareCard, life_cycle: LifeCycle, domain: str, applet: str
) -> None:
    issuers.state.life_cycle = life_cycle
    issuers.memory.commit()
    terminal = Terminal.open(issuers.transmit, ISSUER)
    assert f"9f7001{domain}" in terminal.send("80F28002024F0000")
    assert f"9f7001{applet}" in terminal.send("80F24002024F0000")


# The issuer's commands


def set_life_cycle(card: SoftwareCard, life_cycle: LifeCycle) -> None:
    card.state.life_cycle = life_cycle
    card.memory.commit()


def test_activate_makes_a_personalized_card_active(issuers: SoftwareCard) -> None:
    set_life_cycle(issuers, LifeCycle.PERSONALIZED)
    terminal = Terminal.open(issuers.transmit, ISSUER, 0x03)
    assert terminal.send("80440100") == "6a86"
    assert terminal.send("80440000") == "9000"
    assert issuers.state.life_cycle == LifeCycle.ACTIVE
    assert terminal.send("80440000") == "6985"


def test_a_blank_is_not_activated(issuers: SoftwareCard) -> None:
    assert Terminal.open(issuers.transmit, ISSUER).send("80440000") == "6985"


@pytest.mark.parametrize("command", ["80440000", "80F080FF", "802C0011"])
def test_the_issuers_commands_need_its_session_with_c_enc(
    issuers: SoftwareCard, command: str
) -> None:
    set_life_cycle(issuers, LifeCycle.PERSONALIZED)
    assert send(issuers, command) == "6982"
    for level in (0x01, 0x11):
        assert Terminal.open(issuers.transmit, ISSUER, level).send(command) == "6982"


def test_a_transport_session_is_not_the_issuers(card: SoftwareCard) -> None:
    set_life_cycle(card, LifeCycle.PERSONALIZED)
    terminal = Terminal.open(card.transmit, TRANSPORT)
    assert terminal.send("80440000") == "6982"
    assert put_key(terminal, ISSUER).endswith("9000")
    assert terminal.send("80440000") == "6982"


def test_set_status_locks_an_active_card_and_terminates_any(issuers: SoftwareCard) -> None:
    terminal = Terminal.open(issuers.transmit, ISSUER)
    assert terminal.send("80F0400F") == "6a86"
    assert terminal.send("80F0807F") == "6985"
    assert terminal.send("80F0800F") == "6985"
    set_life_cycle(issuers, LifeCycle.ACTIVE)
    assert terminal.send("80F0807F") == "9000"
    assert issuers.state.life_cycle == LifeCycle.BLOCKED
    set_life_cycle(issuers, LifeCycle.PERSONALIZED)
    assert Terminal.open(issuers.transmit, ISSUER).send("80F080FF") == "9000"
    assert issuers.state.life_cycle == LifeCycle.TERMINATED
    issuers.reset()
    assert send(issuers, "80CA004500").endswith("9000")
    assert send(issuers, "80500000080000000000000000") == "6a81"


def test_reset_of_a_card_keys_tries(issuers: SoftwareCard) -> None:
    spec = KEY_BY_NAME["UK1_DF03"]
    terminal = Terminal.open(issuers.transmit, ISSUER)
    assert terminal.send(f"802C00{spec.sam_key_id:02X}") == "6a88"
    key = StoredKey(1, Cipher.SM4, b"k" * 16, 0)
    issuers.state.set_card_key(spec, key)
    issuers.memory.commit()
    assert terminal.send("802C0000") == "6a88"
    assert terminal.send(f"802C01{spec.sam_key_id:02X}") == "6a86"
    assert terminal.send(f"802C00{spec.sam_key_id:02X}0100") == "6700"
    assert terminal.send(f"802C00{spec.sam_key_id:02X}") == "9000"
    stored = issuers.state.card_key(spec)
    assert stored is not None
    assert (stored.tries, stored.key) == (KEY_TRIES, key.key)


def test_every_command_has_a_handler() -> None:
    assert set(COMMANDS) == {0x2C, 0x44, 0x50, 0x82, 0xD8, 0xE2, 0xE4, 0xF0, 0xF2}
