"""A card of ours is checked as the specification has it: no other form is tried for it.

A terminal asks a card in another form that refuses AID, path or P2=05. A bureau that did so would
hand out cards that other terminals cannot read.
"""

import pytest

from cardlib.checks.verify import verify_card
from cardlib.emulator import CardOptions
from cardlib.emulator.profile.card_options import CARD_SETTINGS
from cardlib.exchange import Connection
from cardlib.facts import ChipSerial
from cardlib.layout.card_profile import RHCARD
from cardlib.layout.records import record_of_dgi
from tests.cards import cards
from tests.cards.cards import CHIP
from tests.cards.field_bench import FIELD_VALUES
from tests.cards.in_between import DISGUISE, InBetween, without_serial

FINDINGS = {
    "no AID": "identification: SELECT DDF1: 6A82",
    "no path": "SELECT DDF1/EF05: 6A86",
    "no P2=05": "READ RECORD 1 in DDF1/EF05: 6A86",
    "no FCI": "its FCI has no C1 and C2",
}
SEEN = {
    "serial_place": "no chip serial in the ATR",
    "selection": "identification: SELECT DDF1: 6A82",
    "record_reading": "READ RECORD 1 in DDF1/EF05: 6A86",
    "fci": "its FCI has no C1 and C2",
    "issuer_files": "announces another rule for UPDATE",
}
"""What is found at a card with another value of a setting; the others change no check."""


def problems(line: Connection, protocol: int, *, active: bool = True) -> str:
    keys = cards.key_store(protocol=protocol).terminal_keys
    issued = {tag: raw for tag, raw in cards.groupings(protocol=protocol) if record_of_dgi(tag)}
    found = verify_card(line, keys, issued, ChipSerial(CHIP), active=active).findings
    return "\n".join(each.problem for each in found)


@pytest.mark.parametrize("protocol", [1, 2])
def test_a_card_that_answers_as_specified_is_good(protocol: int) -> None:
    assert problems(cards.personalized_card(protocol=protocol), protocol) == ""


@pytest.mark.parametrize("name", FINDINGS)
def test_a_card_of_ours_that_refuses_a_form_is_found(name: str) -> None:
    found = problems(InBetween(cards.personalized_card(), DISGUISE[name]), 1)
    assert FINDINGS[name] in found and "--profile" not in found


@pytest.mark.parametrize("name", FINDINGS)
def test_a_card_of_specification_2_0_that_refuses_a_form_is_found(name: str) -> None:
    """Whoever refuses it inside the session breaks that."""
    found = problems(InBetween(cards.personalized_card(protocol=2), DISGUISE[name]), 2)
    said = FINDINGS[name] if name in ("no AID", "no FCI") else "the reply is not protected: 6A86"
    assert said in found and "--profile" not in found


@pytest.mark.parametrize("protocol", [1, 2])
def test_a_card_of_ours_without_its_serial_is_found(protocol: int) -> None:
    card = cards.personalized_card(protocol=protocol)
    found = problems(InBetween(card, atr=without_serial(card)), protocol)
    assert "no chip serial in the ATR" in found and "--profile" not in found


@pytest.mark.parametrize("setting", [each.name for each in CARD_SETTINGS])
def test_each_setting_of_a_deployed_card_that_changes_an_answer_is_found(setting: str) -> None:
    """The others change what a card takes, or what its issuer writes. This is before activation,
    which needs the AID.
    """
    options = CardOptions.of_profile(RHCARD.having({setting: FIELD_VALUES[setting]}))
    card = cards.personalized_card(options=options, active=False)
    found = problems(card, 1, active=False)
    assert SEEN[setting] in found if setting in SEEN else found == ""
    assert "--profile" not in found
