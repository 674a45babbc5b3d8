"""Programs of others at our cards in pcscd: node, pcsc_scan, and pyscard's monitors.

opensc-tool, opensc-explorer, scriptor, yubikit and Py-GP are in test_smart_card_tools.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cardlib.crypto import Cipher
from cardlib.emulator import CardOptions, SoftwareCard
from cardlib.emulator.bench.ready_made import CHIP, personalized_card
from cardlib.emulator.bench.virtual_reader import FIRST_PORT, VirtualReader
from cardlib.keys.roots import public_test_roots
from cardlib.layout.card_profile import RHCARD
from cardlib.transport.pcsc import CardProtocol, find_reader, open_reader
from tests import ROOT
from tests.programs.node_client import read_emergency_data
from tests.programs.pcscd import SLOTS, Pcscd, wait_until

FIRST, SECOND = SLOTS


@contextmanager
def in_slot(number: int, card: SoftwareCard) -> Iterator[VirtualReader]:
    """A card in a slot until the block ends."""
    reader = VirtualReader(FIRST_PORT + number)
    reader.insert(card)
    try:
        wait_until(lambda: find_reader(number).atr == card.atr, 10)
        yield reader
    finally:
        reader.remove()
        wait_until(lambda: find_reader(number).atr == b"", 10)


@pytest.mark.usefixtures("pcscd")
@pytest.mark.parametrize("cipher", Cipher)
def test_a_node_program_reads_the_emergency_data(cipher: Cipher) -> None:
    """Version 1 with node's own SM4 and AES. The resident is that of `ready_made`: AB, positive."""
    with in_slot(0, personalized_card(public_test_roots(1, cipher))):
        assert read_emergency_data(FIRST) == {
            "chip": CHIP.hex(),
            "cipher": cipher.name,
            "fields": {
                "abo_blood_group": "04", "rh_blood_group": "2f",
                "asthma": "00", "heart_disease": "01",
            },
        }  # fmt: skip


@pytest.mark.usefixtures("pcscd")
def test_pcsc_scan_lists_the_readers_and_shows_the_atr() -> None:
    """Without its analysis of the ATR, which asks for a list in the internet."""
    card = personalized_card(public_test_roots(2))
    with in_slot(1, card):
        listed, cards = (
            subprocess.run(
                ["timeout", "10", "pcsc_scan", option],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False,
            ).stdout
            for option in ("-r", "-c")
        )  # fmt: skip
    assert re.findall(r"^(\d): (.*)$", listed, re.M) == [("0", FIRST), ("1", SECOND)]
    told = cards.split(f" Reader 1: {SECOND}\n")[1]
    assert "Card inserted" in told
    assert f"ATR: {card.atr.hex(' ').upper()}\n" in told


def card_with(t0_select: str) -> SoftwareCard:
    options = CardOptions.of_profile(RHCARD.having({"t0_select": t0_select}))
    return personalized_card(public_test_roots(2), options=options)


@pytest.mark.usefixtures("pcscd")
@pytest.mark.parametrize(("t0_select", "answers"), [
    ("9000", ["9000", "6985"]), ("61xx", ["610D", "620B8202382183023F008A01059000"]),
])  # fmt: skip
def test_what_pysim_sends_first_under_t0_gets_the_fcp_of_the_mf_with_61xx(
    t0_select: str, answers: list[str]
) -> None:
    with in_slot(0, card_with(t0_select)), open_reader(0, protocol=CardProtocol.T0) as card:
        sent = (card.transmit(bytes.fromhex(each)) for each in ("00A40004023F00", "00C000000D"))
        assert [answer.hex().upper() for answer in sent] == answers


@pytest.mark.usefixtures("pcscd")
@pytest.mark.parametrize(("t0_select", "found"), [("9000", False), ("61xx", True)])
def test_opensc_explorer_reads_a_card_that_was_left_in_t0_with_61xx(
    t0_select: str, found: bool
) -> None:
    with in_slot(0, card_with(t0_select)), open_reader(0, protocol=CardProtocol.T0):
        shown = subprocess.run(
            ["opensc-explorer", "--reader", "0"], input="cd DDF1\ncat EF05\n",
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
    assert ("Record 1:" in shown.stdout, "File not found" in shown.stderr) == (found, not found)


def test_pyscard_s_monitors_tell_readers_and_cards(pcscd: Pcscd) -> None:
    card = personalized_card(public_test_roots(2))
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.programs.pyscard_monitors"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stdin and process.stdout
        events = (json.loads(line) for line in process.stdout)
        assert sorted([next(events), next(events)]) == [["reader added", name] for name in SLOTS]
        with in_slot(1, card):
            assert next(events) == ["card inserted", f"{SECOND} {card.atr.hex()}"]
        assert next(events) == ["card removed", f"{SECOND} {card.atr.hex()}"]
        pcscd.stop()
        process.stdin.close()
        process.kill()
    pcscd.start()
