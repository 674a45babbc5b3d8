"""The fixtures that other suites of tests get with the package, and what the documentation says."""

import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from cardlib.emulator import (
    FaultyCard,
    SoftwareCard,
    parse_fault,
    parse_faults,
)
from cardlib.emulator.bench.faults import Span, WrongMac
from cardlib.emulator.bench.ready_made import CHIP, personalized_card
from cardlib.emulator.chip.memory import JOURNAL_PAGE
from cardlib.errors import FormatError
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from tests import ROOT
from tests.cards import cards
from tests.emulator.at_a_terminal import personalized_by

ROOTS = public_test_roots(1)
STORE = KeyStore(ROOTS)


@pytest.fixture(scope="module")
def _personalized_pages() -> dict[int, bytes]:
    """Cards of spec 1.0: a wrong MAC and a lost right are told there without ending a session."""
    return personalized_card(ROOTS).memory.pages


# --- fixtures -------------------------------------------------------------------------


def test_the_ready_made_card_is_what_the_issuer_makes() -> None:
    issued = SoftwareCard.blank(CHIP, STORE.blank_keys(CHIP))
    personalized_by(FaultyCard(issued))
    records = {**cards.RECORDS, "DDF1/EF05": cards.issuer_records()}
    ready = personalized_card(ROOTS, records=records, pin=cards.PIN)
    ready.state.sequence_counter = issued.state.sequence_counter
    ready.memory.commit()

    def kept(card: SoftwareCard) -> dict[int, bytes]:
        return {n: page for n, page in card.memory.pages.items() if n < JOURNAL_PAGE}

    assert kept(ready) == kept(issued)


OUTSIDE = """
import pytest
from cardlib.card import ResidentHealthCard
from cardlib.emulator import ReplyLost
from cardlib.errors import FormatError
from cardlib.layout.card_profile import FIELD

SELECT = bytes.fromhex("00A4040005F05248430100")

def test_blank(software_card):
    assert software_card.transmit(SELECT)[-2:].hex() == "9000"

def test_faults(card_faults, card_pin, card_key_store):
    card = card_faults("lost:apdu=2")
    assert card.transmit(SELECT)[0] == 0x6F
    with pytest.raises(ReplyLost):
        card.transmit(SELECT)
    assert card_pin.isdigit() and card_key_store.is_test

@pytest.mark.parametrize("turn", range(2))
def test_every_test_has_its_own_card(personalized_card, turn):
    assert personalized_card.state.sequence_counter == 0
    personalized_card.transmit(bytes.fromhex("8050000008") + bytes(8))

def test_field_cards(field_card, field_key_store):
    assert field_card().transmit(SELECT).hex() == "6a82"
    host = ResidentHealthCard(field_card(), field_key_store.terminal_keys, profile=FIELD)
    host.authenticate("RK1_DF02")
    other = field_card(serial_place="last 8")
    assert other.atr[-8:] == other.chip != other.atr[5:13]
    with pytest.raises(FormatError, match="use bytes|use historical"):
        field_card(serial_place="first 8")

def test_image(card_image):
    assert card_image.read_bytes().startswith(b"RHCARD")
"""


def test_another_suite_has_the_fixtures_without_asking(tmp_path: Path) -> None:
    plugins = entry_points(group="pytest11", name="rhcard")
    assert [plugin.value for plugin in plugins] == ["cardlib.pytest_plugin"]
    (tmp_path / "test_outside.py").write_text(OUTSIDE, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout


def test_another_suite_may_have_other_keys(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "import pytest\nfrom cardlib.crypto import Cipher\n"
        "from cardlib.keys.roots import public_test_roots\n"
        "@pytest.fixture(scope='session')\ndef card_roots():\n"
        "    return public_test_roots(2, Cipher.AES)\n"
    )
    (tmp_path / "test_outside.py").write_text(
        "def test_aes(personalized_card):\n"
        "    assert personalized_card.state.profile[:2] == (32, 2)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_spans_and_macs_print_as_options() -> None:
    assert [str(Span(1, 1)), str(Span(1, 2)), str(Span(1, None))] == ["1", "1..2", "1.."]
    assert str(WrongMac(reply=Span(3, None))) == "mac:reply=3.."


REFERENCE = ROOT / "docs" / "reference"
DOCUMENT = (REFERENCE / "faults.md").read_text("utf-8")


def test_the_documentation_has_an_example_of_every_kind_and_each_can_be_read() -> None:
    examples = re.findall(r"^\| `([a-z]+:[^`]+)` \|", DOCUMENT, re.MULTILINE)
    assert parse_faults(examples)
    kinds = {example.partition(":")[0] for example in examples}
    with pytest.raises(FormatError) as caught:
        parse_fault("")
    assert kinds == set(str(caught.value).partition("Possible: ")[2].split(", "))


def test_the_documentation_s_test_passes(tmp_path: Path) -> None:
    document = (REFERENCE / "fixtures.md").read_text("utf-8")
    example = re.findall(r"```python\n(import pytest.*?)```", document, re.DOTALL)[0]
    (tmp_path / "test_documented.py").write_text(example, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stdout
