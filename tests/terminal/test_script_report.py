"""The report of a script's run: text and JSON say the same, and never a secret."""

import json

import pytest

from apdu_scripts import load
from cardlib.commands import COMMANDS, Body, CommandSpec
from cardlib.emulator import SoftwareCard
from cardlib.keys.roots import new_roots
from cardlib.keys.store import KeyStore
from cardlib.layout.words import as_json as field_as_json
from cardlib.script import Outcome, Runner, parse
from cardlib.script.language import Command, Script
from personalize.terminal.script_report import as_json, as_text, summary
from tests.cards.cards import personalized_card
from tests.script.test_apdu_scripts import STORE, outcomes_of


@pytest.fixture(scope="module")
def card() -> SoftwareCard:
    return personalized_card()


class Tapped:
    """A card whose commands and answers are kept."""

    def __init__(self, card: SoftwareCard) -> None:
        self._card = card
        self.exchanges: list[tuple[bytes, bytes]] = []

    @property
    def atr(self) -> bytes:
        return self._card.atr

    def transmit(self, command: bytes) -> bytes:
        self.exchanges.append((command, self._card.transmit(command)))
        return self.exchanges[-1][1]

    def reset(self) -> bytes:
        return self._card.reset()


def shown(script: Script, outcomes: list[Outcome]) -> str:
    lines = [line for outcome in outcomes for line in as_text(outcome)]
    return "\n".join([*lines, json.dumps(as_json(script, outcomes), ensure_ascii=False)])


def test_cryptograms_keys_and_pins_are_never_shown(card: SoftwareCard) -> None:
    script = parse(
        "reset\n00A4040005F05248430100\n#! authenticate RK1_DDF1\n"
        "00880000110001020304050607A0A1A2A3A4A5A6A70108\n"
        "0082008511C0C1C2C3C4C5C6C7D0D1D2D3D4D5D6D701\n"
        "0020000006313233343536\n80500000081122334455667788\n80E2880003FACADE\n"
    )
    tapped = Tapped(personalized_card())
    outcomes = list(Runner(tapped, STORE.terminal_keys).run(script))
    assert outcomes[2].sw == 0x9000
    secret = [c[5:] for c, _ in tapped.exchanges if c[1] in (0x82, 0x88, 0x20, 0xE2)]
    secret += [a[:-2] for c, a in tapped.exchanges if c[1] in (0x88, 0x50)]
    secret += [a[-10:-2] for c, a in tapped.exchanges if c[1] == 0x84]
    assert len(secret) == 8
    text = shown(script, outcomes)
    plain = text.upper().replace(" ", "")
    assert [piece.hex() for piece in secret if piece and piece.hex().upper() in plain] == []
    assert "<18 bytes not shown>" in text


def test_text_and_json_say_the_same_of_each_step(card: SoftwareCard) -> None:
    script = load("read_emergency_data")
    outcomes = outcomes_of(script, card, STORE.terminal_keys)
    text = "\n".join(line for outcome in outcomes for line in as_text(outcome))
    assert "SELECT  00 A4 01 0C 02 DF 02\n      9000 normal processing\n" in text
    assert "authenticate RK1_DF02\n      9000 normal processing\n" in text
    assert "        Asthma: no\n" in text
    assert "        Heart disease: yes\n" in text
    assert "        Epilepsy - unwritten\n" in text
    assert "        Allergen 2: 花生\n" in text
    document = as_json(script, outcomes)
    assert document["as_expected"] is True
    assert summary(script, outcomes) == "read_emergency_data: 13 answers, all as expected"
    by_field = {f["field"]: f for step in document["steps"] for f in step["fields"]}
    assert by_field["asthma"] == {
        "file": "DDF1/DF02/EF05", "record": 3, "field": "asthma", "state": "negative",
        "value": "0", "label": "no", "detail": "",
    }  # fmt: skip
    assert [step["line"] for step in document["steps"]] == [step.line for step in script.steps]


def test_a_refusal_is_shown_as_denied_with_the_key_and_counted_as_expected(
    card: SoftwareCard,
) -> None:
    outcomes = outcomes_of("read_emergency_data", card)
    text = "\n".join(line for outcome in outcomes for line in as_text(outcome))
    assert "        Asthma - denied (needs RK1_DF02)\n" in text
    assert "skipped: no keys given" in text
    said = summary(load("read_emergency_data"), outcomes)
    assert said == (
        "read_emergency_data: 12 answers, all as expected;"
        " 1 authenticate line skipped: no keys given; nothing was read: no keys"
    )


def test_a_run_without_keys_that_read_something_does_not_say_that_nothing_was_read(
    card: SoftwareCard,
) -> None:
    outcomes = outcomes_of("read_issuer_data", card)
    assert summary(load("read_issuer_data"), outcomes).endswith("answers, all as expected")


def test_an_authenticate_line_after_refused_keys_says_why_it_is_skipped() -> None:
    script = parse(
        "reset\n00A4040005F05248430100\n#! authenticate RK1_DDF1\n#! authenticate UK1_DDF1\n"
    )
    outcomes = outcomes_of(script, personalized_card(), KeyStore(new_roots(1)).terminal_keys)
    assert list(as_text(outcomes[3]))[-1].strip() == "skipped: the card refused these keys before"
    assert "1 authenticate line skipped: the card refused" in summary(script, outcomes)


def test_scripts_show_a_field_as_read_does(card: SoftwareCard) -> None:
    script = load("read_cardholder")
    outcomes = list(outcomes_of(script, card, STORE.terminal_keys))
    text = "\n".join(line for outcome in outcomes for line in as_text(outcome))
    assert "        Birth date: 1990-01-01\n" in text
    shown = [f for step in as_json(script, outcomes)["steps"] for f in step["fields"]]
    assert shown == [field_as_json(v) for outcome in outcomes for v in outcome.fields]
    assert "1990-01-01" in {field["label"] for field in shown}


@pytest.mark.parametrize("spec", COMMANDS, ids=lambda spec: f"{spec.cla:02X} {spec.ins:02X}")
def test_bodies_are_hidden_as_the_table_of_commands_says(spec: CommandSpec) -> None:
    secret = (Body.KEY, Body.PIN, Body.CRYPTOGRAM)
    sent, answered = b"BODY SENT", b"BODY ANSWERED"
    for channel in (0x00, 0x03):
        head = bytes((spec.cla | channel, spec.ins, 0, 0, len(sent)))
        outcome = Outcome(Command(1, head + sent), 0x9000, answered)
        plain = shown(Script("name", "", ()), [outcome]).upper().replace(" ", "")
        assert (sent.hex().upper() in plain) == (spec.sent not in secret)
        assert (answered.hex().upper() in plain) == (spec.answered not in secret)
