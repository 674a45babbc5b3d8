"""Smart-card tools of others at cards in a real pcscd, and SCP03 by others and by our host."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import smartcard.System
from ykman.pcsc import ScardSmartCardConnection
from yubikit.core.smartcard import AID, SmartCardConnection, SmartCardProtocol
from yubikit.core.smartcard.scp import KeyRef, Scp03KeyParams, ScpKid, StaticKeys
from yubikit.securitydomain import SecurityDomainSession

from cardlib.apdu import CommandAPDU
from cardlib.messaging.scp03_channel import Scp03Channel
from cardlib.transport.pcsc import open_reader
from tests import ROOT
from tests.cards.cards import CHIP, blank_card, key_store
from tests.programs.two_slots import (
    FIRST,
    OTHER_CHIP,
    SECOND,
    SELECT_DDF1,
    SELECT_EF05,
    H,
    Slots,
    blank_keys,
)


def run(*words: str, script: str = "") -> str:
    """What an outside program prints; it must end well and within seconds."""
    done = subprocess.run(
        words, input=script, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_opensc_tool_lists_the_readers_and_shows_the_atr(slots: Slots) -> None:
    listed = run("opensc-tool", "--list-readers")
    assert re.findall(r"^(\d) +Yes +(Virtual PCD .*)$", listed, re.M) == [
        ("0", FIRST),
        ("1", SECOND),
    ]
    for number, card in enumerate(slots.cards):
        assert run("opensc-tool", "--reader", str(number), "--atr").strip() == card.atr.hex(":")


@pytest.mark.usefixtures("slots")
def test_opensc_tool_sends_commands() -> None:
    commands = [word for each in (SELECT_DDF1, SELECT_EF05) for word in ("--send-apdu", each.hex())]
    printed = run("opensc-tool", "--reader", "0", *commands, "--send-apdu", "00B2010400")
    assert re.findall(r"SW1=0x(..), SW2=0x(..)", printed) == [("90", "00")] * 3
    assert "01 01 31" in printed
    printed = run("opensc-tool", "--reader", "1", "--send-apdu", "80CA00E000")
    assert "E0 12 C0 04 01 FF 88 10" in printed


@pytest.mark.usefixtures("slots")
def test_opensc_explorer_walks_to_ddf1_and_reads_ef05() -> None:
    script = "cd DDF1\ninfo EF05\ncat EF05\napdu 00 84 00 00 08\ncd DF02\ncat EF05\nquit\n"
    printed = run("opensc-explorer", "--reader", "0", script=script)
    assert re.search(r"EF structure: +Linear variable, SIMPLE-TLV", printed)
    assert re.search(r"Number of records: +10", printed)
    records = re.findall(r"^Record (\d+):\n((?:[0-9A-F]{8}: .*\n)+)", printed, re.M)
    assert [int(number) for number, _ in records[:10]] == list(range(1, 11))
    assert records[0][1] == "00000000: 01 01 31 ..1\n"
    assert "08 12 31 31 30 31 30 31" in records[6][1]
    assert "39 03 41 01 00" in records[9][1]


@pytest.mark.usefixtures("slots")
def test_opensc_explorer_is_refused_what_needs_a_key() -> None:
    printed = subprocess.run(
        ["opensc-explorer", "--reader", "0"],
        input="cd DDF1\ncat EF06\nquit\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Security status not satisfied" in printed.stdout + printed.stderr


@pytest.mark.usefixtures("slots")
def test_scriptor_runs_commands() -> None:
    script = (
        f"{SELECT_DDF1.hex(' ')}\n{SELECT_EF05.hex(' ')}\n00 B2 01 04 00\nreset\n00 84 00 00 08\n"
    )
    printed = run("scriptor", "-r", FIRST, script=script)
    assert re.search(r"> 00 B2 01 04 00\n< 01 01 31 90 00 : Normal processing", printed)
    assert printed.count("Normal processing") == 4


# --- SCP03 through pcscd ------------------------------------------------------------------


@contextmanager
def yubikit_on(number: int) -> Iterator[SmartCardConnection]:
    """Yubico's own way to a PC/SC reader."""
    connection: SmartCardConnection = ScardSmartCardConnection(  # type: ignore[no-untyped-call]
        smartcard.System.readers()[number].createConnection()
    )
    with connection:
        yield connection


def test_yubikit_opens_a_channel_and_changes_the_keys(slots: Slots) -> None:
    card = blank_card()
    slots.insert(1, card)
    transport, issuer = blank_keys(CHIP), (b"e" * 16, b"m" * 16, b"d" * 16)
    with yubikit_on(1) as opened:
        session = SecurityDomainSession(opened)
        session.authenticate(Scp03KeyParams(KeyRef(ScpKid.SCP03, 0xFF), StaticKeys(*transport)))
        session.put_key(KeyRef(ScpKid.SCP03, 1), StaticKeys(*issuer), replace_kvn=0xFF)
        protocol = SmartCardProtocol(opened)
        protocol.select(AID.SECURE_DOMAIN)
        protocol.init_scp(Scp03KeyParams(KeyRef(ScpKid.SCP03, 1), StaticKeys(*issuer)))
        assert protocol.send_apdu(0x80, 0xCA, 0x9F, 0x7F)[15:23] == CHIP
    assert list(card.state.key_sets) == [1]


@pytest.mark.usefixtures("slots")
def test_our_host_opens_a_channel() -> None:
    with open_reader(SECOND) as opened, opened.transaction():
        opened.transmit(H("00A4040000"))
        channel = Scp03Channel.open(opened.transmit, key_store().transport_keys(OTHER_CHIP), 0x33)
        status = channel.send(CommandAPDU(0x80, 0xF2, 0x80, 0x02, H("4F00"), 256))
        assert (status.sw, status.data[:2]) == (0x9000, H("E313"))


def test_a_globalplatform_client_of_others_lists_the_card_and_puts_keys(slots: Slots) -> None:
    """Py-GP: every level of SCP03 that protects commands, and both answers' MACs checked."""
    card = blank_card()
    slots.insert(1, card)
    issuer = (b"e" * 16, b"m" * 16, b"d" * 16)
    keys = [key.hex().upper() for key in (*blank_keys(CHIP), *issuer)]
    printed = run(sys.executable, "-W", "ignore", "-m", "tests.programs.pygp_client", SECOND, *keys)
    found = json.loads(printed.splitlines()[-1])
    assert found["atr"] == card.atr.hex().upper()
    assert list(found["read"]) == ["01", "03", "11", "13", "33"]
    for answers in found["read"].values():
        assert answers["get_cplc"][30:46] == CHIP.hex().upper()
        assert answers["get_key_information"].startswith("E012C00401FF8810C00402FF8810C00403FF8810")
        assert answers["get_status_isd"].startswith("E3134F08A0000001510000009F700101C503980400")
        assert answers["get_status_applications"].startswith("E3104F05F0524843019F700107")
    assert "cryptogram" in found["wrong_keys"].lower()
    assert found["put"].startswith("01")
    stored = card.state.key_sets[0x01]
    assert (stored.enc, stored.mac, stored.dek) == issuer
