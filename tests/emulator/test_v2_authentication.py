"""The card's version 2: which authentication opens a session, and no way back to 1."""

from collections.abc import Callable

import pytest

from cardlib.crypto import Cipher
from tests.cards.v2_cards import ROLES, VERSION, Terminal, card_key
from tests.emulator.v2_session import is_over, of, opened, spoiled
from tests.oracles import v2 as ref

H = bytes.fromhex
CLINICAL, ALLERGIES, INDEX = "DDF1/DF02/EF05", "DDF1/DF02/EF07", "DDF1/DF03/EF06"


# --- authentication -------------------------------------------------------------------------


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize("name", ROLES)
def test_every_role_key_opens_a_session(cipher: Cipher, name: str) -> None:
    terminal = opened(name, cipher)
    assert terminal.select("DDF1/EF05") == 0x9000
    assert terminal.ok("00B20204", le=256)[0] == 0x02


@pytest.mark.parametrize("kid", ["82", "02"])
def test_keys_that_do_not_authenticate_are_not_found(kid: str) -> None:
    terminal = Terminal()
    terminal.select("DDF1/DF02" if kid == "82" else "MF")
    terminal.challenge()
    assert terminal.sw(H(f"008200{kid}28") + bytes(40) + b"\x28") == 0x6A88


def test_the_irk_never_authenticates_by_82() -> None:
    terminal = Terminal()
    terminal.select("DDF1")
    irk, rnd_ic = card_key(Cipher.SM4, "IRK_DDF1"), terminal.challenge()
    data = ref.cryptogram("SM4", irk, b"\x01", H("DDF10401"), bytes(8) + rnd_ic + bytes(16))
    assert terminal.exchange_82("RK1_DDF1", data).sw == 0x63CE, "in 82, 04 is RK1_DDF1"


@pytest.mark.parametrize("bit", [0, 7, 64, 127, 128, 200, 255, 256, 300, 319])
def test_a_changed_cryptogram_costs_a_try_and_gives_nothing(bit: int) -> None:
    terminal = Terminal()
    terminal.select("DDF1/DF02")
    data, *_ = terminal.authentication("RK1_DF02")
    assert terminal.exchange_82("RK1_DF02", spoiled(data, bit)) == (b"", 0x63CE, False)
    assert terminal.exchange_82("RK1_DF02", data).sw == 0x6984
    assert is_over(terminal)


Forge = Callable[[Terminal, bytes], bytes]


@pytest.mark.parametrize("forge", [
    of(b"\x02", "DF0284200101"), of(b"\x00", "DF0284200101"), of(b"\x01", "DF0384200101"),
    of(b"\x01", "DF0285200101"), of(b"\x01", "DDF184200101"), of(b"\x01", "DF028401"),
    of(b"\x01", "DF0284100101"), of(b"\x01", "DF0284200201"), of(b"\x01", "DF0284200102"),
    of(b"\x01", "DF0284200101", "C T K"), of(b"\x01", "DF0284200101", "T O K"),
    of(b"\x01", "DF0284200101", name="RK1_DF03"),
], ids=["reflected", "first", "DF", "KID", "DDF", "old B", "spec", "cipher", "version",
        "order", "random", "key"])  # fmt: skip
def test_a_cryptogram_for_something_else_is_refused(forge: Forge) -> None:
    terminal = Terminal()
    terminal.select("DDF1/DF02")
    data = forge(terminal, terminal.challenge())
    assert terminal.exchange_82("RK1_DF02", data).sw == 0x63CE
    good = of(b"\x01", "DF0284200101")(terminal, terminal.challenge())
    assert terminal.exchange_82("RK1_DF02", good).sw == 0x9000


def test_a_global_key_is_bound_to_the_df_that_holds_it() -> None:
    terminal = Terminal()
    terminal.select("DDF1/DF02")
    rnd_ic = terminal.challenge()
    key = card_key(Cipher.SM4, "UK1_DDF1")
    data = ref.cryptogram("SM4", key, b"\1", H("DDF105200101"), bytes(8) + rnd_ic + bytes(16))
    reply = terminal.exchange_82("UK1_DDF1", data)
    assert reply.sw == 0x9000
    ref.from_cryptogram("SM4", key, b"\2", H("DDF105200101"), reply.data)


def test_an_old_authentication_does_not_come_again() -> None:
    terminal = Terminal()
    terminal.select("DDF1/DF02")
    data, *randoms = terminal.authentication("RK1_DF02")
    assert terminal.exchange_82("RK1_DF02", data).sw == 0x9000
    terminal.card.reset()
    terminal.select("DDF1/DF02")
    assert terminal.exchange_82("RK1_DF02", data).sw == 0x6984
    terminal.challenge()
    assert terminal.exchange_82("RK1_DF02", data).sw == 0x63CE
    assert randoms


def test_the_cards_randoms_are_fresh() -> None:
    terminal = Terminal()
    terminal.select("DDF1/DF02")
    challenges, answers = set(), set()
    for _ in range(8):
        rnd_ic = terminal.challenge()
        data = of(b"\x01", "DF0284200101")(terminal, rnd_ic)
        reply = terminal.exchange_82("RK1_DF02", data)
        key = card_key(Cipher.SM4, "RK1_DF02")
        challenges.add(rnd_ic)
        answers.add(ref.from_cryptogram("SM4", key, b"\2", H("DF0284200101"), reply.data)[16:])
        terminal.card.reset()
        terminal.select("DDF1/DF02")
    assert len(challenges) == len(answers) == 8


def test_fifteen_wrong_cryptograms_block_a_key_and_success_restores_its_tries() -> None:
    terminal = Terminal()
    terminal.select("DDF1/DF02")
    for left in range(14, 0, -1):
        terminal.challenge()
        assert terminal.exchange_82("RK1_DF02", bytes(40)).sw == 0x63C0 | left
    assert terminal.try_authenticate("RK1_DF02").sw == 0x9000
    terminal.card.reset()
    terminal.keys = None
    terminal.select("DDF1/DF02")
    for left in range(14, -1, -1):
        terminal.challenge()
        assert terminal.exchange_82("RK1_DF02", bytes(40)).sw == 0x63C0 | left
    assert terminal.try_authenticate("RK1_DF02").sw == 0x6983


@pytest.mark.parametrize("size", [0, 1, 16, 18, 39, 41, 80])
def test_authentication_data_of_another_length_costs_nothing(size: int) -> None:
    terminal = Terminal()
    terminal.select("DDF1/DF02")
    terminal.challenge()
    length = bytes((size,)) if size else b""
    assert terminal.sw(H("00820084") + length + bytes(size) + b"\x28") == 0x6700
    for _ in range(15):
        terminal.challenge()
    assert terminal.try_authenticate("RK1_DF02").sw == 0x9000


def test_a_session_answers_to_nothing_but_its_own_keys() -> None:
    first, second = opened(), opened()
    command = first.command("00840000", le=8)
    assert second.card.transmit(command) == H("6988")
    assert is_over(second)


# --- no downgrade ---------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["plain", "in a session"])
def test_version_1_authentication_is_refused_without_a_try(before: str) -> None:
    terminal = Terminal()
    if before == "in a session":
        terminal.authenticate("UK1_DF02")
        terminal.challenge()
        reply = terminal.send("00820084", bytes(17))
        assert (reply.sw, reply.protected) == (0x6985, True)
        return
    terminal.select("DDF1/DF02")
    for _ in range(16):
        terminal.challenge()
        assert terminal.sw(H("0082008411") + bytes(17)) == 0x6985
    assert terminal.try_authenticate("RK1_DF02").sw == 0x9000


@pytest.mark.parametrize("command", [
    "04DC010408" + "00" * 8, "04DC000308" + "00" * 8, "04D6000008" + "00" * 8,
    "84D2010404" + "00" * 4, "840C010404" + "00" * 4, "841E000004" + "00" * 4,
    "8418000004" + "00" * 4, "8416000004" + "00" * 4, "04B2010400",
])  # fmt: skip
def test_version_1_protection_is_refused(command: str) -> None:
    terminal = Terminal()
    terminal.select(INDEX)
    assert terminal.sw(command) == 0x6882
    terminal.authenticate("UK1_DF03")
    assert terminal.sw(command) in (0x6882, 0x6982)


def test_internal_authentication_keeps_its_form() -> None:
    terminal = Terminal()
    terminal.select("DDF1")
    data, sw = terminal.plain(H("0088000011") + bytes(16) + bytes((VERSION, 8)))
    assert (len(data), sw) == (8, 0x9000)
