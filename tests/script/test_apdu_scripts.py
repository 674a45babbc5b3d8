"""The scripts that come along, and what running them finds: by our runner and by scriptor."""

import itertools
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import apdu_scripts
from apdu_scripts import load, names
from cardlib.apdu import CommandAPDU, ResponseAPDU
from cardlib.crypto import Cipher
from cardlib.emulator import SoftwareCard
from cardlib.emulator.bench.virtual_reader import VirtualReader
from cardlib.errors import CardKeyError, ProfileNeeded, TransportError
from cardlib.issuance import personalize
from cardlib.keys import KeySet
from cardlib.keys.roots import new_roots
from cardlib.keys.store import KeyStore
from cardlib.layout import FILE_BY_PATH, FILES, FileSpec
from cardlib.layout.records import MANDATORY_DGIS
from cardlib.script import Outcome, Runner, ScriptError, difference, parse
from cardlib.script.decoder import facts_of, fields_of
from cardlib.script.from_layout import write
from cardlib.script.language import SUFFIX, Authenticate, Command, Reset, Script
from cardlib.transport.pcsc import wait_for_card
from personalize.cli.exits import Exit
from tests.cards.cards import CHIP, ISSUER, blank_card, groupings, key_store, personalized_card
from tests.programs.pcscd import SLOTS, Pcscd
from tests.programs.rhcard import rhcard
from tests.programs.scriptor import Ran as ScriptorRan
from tests.programs.scriptor import run_on_card, run_on_reader
from tests.script.test_language import PIECES

H = bytes.fromhex
FOLDER = Path(apdu_scripts.__file__).parent
STORE = key_store()
PASSPHRASE = "correct horse"
READING = ("identify", "read_cardholder", "read_emergency_data", "read_issuer_data")
ON_A_CARD = (*READING, "check_protected")
SLOT = SLOTS[0]


def empty_card() -> SoftwareCard:
    """A card with no more than a card must have: issuer data, keys, PIN."""
    made, issuer_keys = blank_card(), STORE.issuer_keys(CHIP)
    mandatory = [grouping for grouping in groupings() if grouping[0] in MANDATORY_DGIS]
    personalize(made, STORE.transport_keys(CHIP), issuer_keys, mandatory)
    return made


@pytest.fixture(scope="module")
def card() -> SoftwareCard:
    return personalized_card()


def outcomes_of(
    script: Script | str, card: SoftwareCard, keys: KeySet | None = None
) -> list[Outcome]:
    return list(Runner(card, keys).run(load(script) if isinstance(script, str) else script))


def differences(outcomes: list[Outcome]) -> list[str]:
    return [f"{o.step.line}: {o.difference.text}" for o in outcomes if o.difference]


# --- the scripts ------------------------------------------------------------------------


def test_the_scripts_that_come_along_are_these() -> None:
    assert names() == ("check_blank", "check_protected", *READING)


@pytest.mark.parametrize("name", names())
def test_every_script_says_what_it_is_for_and_expects_every_answer(name: str) -> None:
    script = load(name)
    assert script.title.endswith(".")
    assert (FOLDER / f"{name}{SUFFIX}").read_text("utf-8").startswith("#!/usr/bin/env scriptor\n")
    for step in script.steps:
        if not isinstance(step, Authenticate):
            assert step.expectations, f"line {step.line} expects nothing"
        if isinstance(step, Command):
            CommandAPDU.parse(step.apdu)


@pytest.mark.parametrize("name", names())
def test_every_script_expects_something_with_and_without_its_keys(name: str) -> None:
    script = load(name)
    used = [s.key.name for s in script.steps if isinstance(s, Authenticate)]
    for held in (frozenset[str](), frozenset(used)):
        for step in script.steps:
            if not isinstance(step, Authenticate):
                assert any(e.applies(held) for e in step.expectations), f"line {step.line}"


@pytest.mark.parametrize("name", names())
def test_a_script_names_a_record_file_only_where_that_file_is_selected(name: str) -> None:
    directory, selected = "", ""
    for step in load(name).steps:
        if isinstance(step, Command) and step.apdu[1] == 0xA4:
            fid = step.apdu[5:].hex().upper()
            if step.apdu[2] == 0x04:
                directory = "DDF1" if fid.startswith("F052484301") else ""
            elif step.apdu[2] == 0x01:
                directory = f"{directory}/{fid}"
            selected = f"{directory}/{fid}"
            if step.apdu[2] == 0x08:
                selected = "/".join(fid[i : i + 4] for i in range(0, len(fid), 4))
                directory = selected.rpartition("/")[0]
        if isinstance(step, Command) and step.file:
            assert step.file.path == selected, f"line {step.line}"


@pytest.mark.parametrize("name", ON_A_CARD)
@pytest.mark.parametrize("keys", [None, STORE.terminal_keys], ids=["keyless", "keyed"])
def test_every_script_finds_on_a_personalized_card_what_it_expects(
    name: str, keys: KeySet | None, card: SoftwareCard
) -> None:
    outcomes = outcomes_of(name, card, keys)
    assert differences(outcomes) == []
    assert len(outcomes) == len(load(name).steps)
    assert any(o.skipped for o in outcomes) == (keys is None and "RK1" in load_text(name))


def load_text(name: str) -> str:
    steps = load(name).steps
    return " ".join(step.key.name for step in steps if isinstance(step, Authenticate))


def test_scripts_expect_what_a_card_without_data_answers_too() -> None:
    card = empty_card()
    for name in ON_A_CARD:
        assert differences(outcomes_of(name, card, STORE.terminal_keys)) == []


def test_a_blank_card_is_known_as_blank_and_identified() -> None:
    assert differences(outcomes_of("check_blank", blank_card())) == []
    assert differences(outcomes_of("identify", blank_card())) == []


def test_a_personalized_card_is_not_taken_for_a_blank_one(card: SoftwareCard) -> None:
    outcomes = outcomes_of("check_blank", card)
    wrong = [o.step.apdu[1] for o in outcomes if o.difference and isinstance(o.step, Command)]
    assert wrong == [0xCA, 0xA4, 0xA4, 0xA4, 0x88]


def test_identify_says_chip_keys_and_profile(card: SoftwareCard) -> None:
    facts = {fact for outcome in outcomes_of("identify", card) for fact in outcome.facts}
    assert facts == {
        ("chip serial", CHIP.hex().upper()),
        ("SCP03 key set", "01"),
        ("application", "A000000151000000"),
        ("application", "F052484301"),
        ("card specification", "1.0"),
        ("cipher", "SM4"),
        ("key version", "1"),
        ("region factor", "3431303030303030"),
    }


# --- what a run finds ---------------------------------------------------------------------


def fields(outcomes: list[Outcome]) -> dict[str, tuple[str, str]]:
    return {
        f"{v.field.name}.{v.record}": (v.state.value, v.text) for o in outcomes for v in o.fields
    }


def test_issuer_data_needs_no_key_and_is_decoded_over_both_answers(card: SoftwareCard) -> None:
    found = fields(outcomes_of("read_issuer_data", card))
    assert {name.split(".")[0]: text for name, (_, text) in found.items() if text} == ISSUER
    assert found["issuer_certificate.5"] == ("unwritten", "")


def test_emergency_data_is_read_with_its_key_and_every_field_has_its_state(
    card: SoftwareCard,
) -> None:
    found = fields(outcomes_of("read_emergency_data", card, STORE.terminal_keys))
    assert found["abo_blood_group.1"] == ("value", "4")
    assert found["asthma.3"] == ("negative", "0")
    assert found["heart_disease.4"] == ("value", "1")
    assert found["epilepsy.6"] == ("unwritten", "")
    assert [found[f"allergen.{number}"] for number in (1, 2, 3)] == [
        ("value", "青霉素"), ("value", "花生"), ("unwritten", ""),
    ]  # fmt: skip
    assert found["allergic_reaction.2"] == ("unwritten", "")
    assert found["vaccine.1"] == ("unwritten", "")


def test_without_a_key_every_emergency_field_is_denied_and_names_the_key(
    card: SoftwareCard,
) -> None:
    values = [v for o in outcomes_of("read_emergency_data", card) for v in o.fields]
    assert {(v.state.value, v.value, v.detail) for v in values} == {("denied", None, "RK1_DF02")}
    expected = {f.name for p in range(5, 9) for f in FILE_BY_PATH[f"DDF1/DF02/EF0{p}"].fields}
    assert {v.field.name for v in values} == expected


def test_allergies_that_were_never_written_are_no_entries_and_never_missing() -> None:
    outcomes = list(outcomes_of("read_emergency_data", empty_card(), STORE.terminal_keys))
    found = fields(outcomes)
    assert found["allergen.1"] == found["asthma.3"] == ("unwritten", "")
    details = {v.detail for o in outcomes for v in o.fields if v.field.name == "allergen"}
    assert "no entries recorded" in details
    assert not {"missing"} & {state for state, _ in found.values()}


def test_an_answer_of_another_form_is_corrupt_not_an_error() -> None:
    file = FILE_BY_PATH["DDF1/EF06"]
    (value,) = fields_of(file, H("00B20104 00"), ResponseAPDU(H("0C0101"), 0x9000))
    assert value.state == "corrupt"
    assert fields_of(file, H("00B2FF04 00"), ResponseAPDU(b"\xff", 0x9000)) == ()
    assert facts_of(H("00A40400 00"), ResponseAPDU(H("6F84"), 0x9000))[0].name == "not decoded"
    # INS A4 is SELECT in ISO's class only.
    assert facts_of(H("80A40400 00"), ResponseAPDU(H("6F84"), 0x9000)) == ()


@given(
    st.sampled_from([f for f in FILES if f.records > 1]),
    st.binary(min_size=2, max_size=2),
    st.binary(max_size=300),
    st.sampled_from([0x9000, 0x6982, 0x6A83, 0x6A82, 0x6281, 0x6F00]),
)
@settings(max_examples=100, deadline=None)
def test_decoding_takes_any_answer(file: FileSpec, parameters: bytes, data: bytes, sw: int) -> None:
    response = ResponseAPDU(data, sw)
    for value in fields_of(file, H("00B2") + parameters + b"\0", response):
        assert value.field in file.fields
    for ins in ("A4", "CA"):
        facts_of(H(f"00{ins}") + parameters, response)
        facts_of(H(f"00{ins}9F7F"), ResponseAPDU(H("9F7F01") + data, sw))


def test_wrong_keys_spend_one_try_and_no_more() -> None:
    card = personalized_card()
    script = parse(
        "reset\n00 A4 04 00 05 F0 52 48 43 01 00\n"
        "#! authenticate RK1_DDF1\n#! authenticate UK1_DDF1\n00 A4 02 0C 02 EF 06\n"
        "00 B2 01 04 00\n#> 9000 with RK1_DDF1\n#> 6982 without RK1_DDF1\n"
    )
    others = KeyStore(new_roots(1)).terminal_keys
    outcomes = outcomes_of(script, card, others)
    assert outcomes[2].sw == 0x63CE
    assert outcomes[2].difference
    assert outcomes[3].skipped
    assert [o.difference for o in outcomes[4:]] == [None, None]
    right = outcomes_of("read_cardholder", card, STORE.terminal_keys)
    assert differences(right) == []


def test_keys_of_another_cipher_or_protocol_are_refused_before_a_try_is_spent() -> None:
    for roots in (new_roots(1, Cipher.AES), new_roots(2, Cipher.SM4)):
        card = personalized_card()
        with pytest.raises(CardKeyError):
            outcomes_of("read_cardholder", card, KeyStore(roots).terminal_keys)


def test_a_key_of_another_directory_is_a_difference_not_an_error(card: SoftwareCard) -> None:
    script = parse("reset\n00A4040005F05248430100\n#! authenticate RK1_DF03\n")
    (difference,) = [o.difference for o in outcomes_of(script, card, STORE.terminal_keys)[2:]]
    assert difference
    assert "RK1_DF03 refused: referenced data not found" in difference.text


def test_authentication_needs_the_region_factor_and_a_reset_forgets_it(card: SoftwareCard) -> None:
    script = parse("00A4040005F05248430100\nreset\n#! authenticate RK1_DDF1\n")
    (difference,) = [o.difference for o in outcomes_of(script, card, STORE.terminal_keys)[2:]]
    assert difference
    assert "region factor" in difference.text


def test_a_reset_ends_what_a_key_opened(card: SoftwareCard) -> None:
    script = parse(
        "reset\n00A4040005F05248430100\n#! authenticate RK1_DDF1\n00A4020C02EF06\n"
        "00B2010400\n#> 9000 with RK1_DDF1\n#> 6982 without RK1_DDF1\n"
        "reset\n00A4080C04DDF1EF06\n00B2010400\n#> 9000 with RK1_DDF1\n#> 6982 without RK1_DDF1\n"
    )
    outcomes = outcomes_of(script, card, STORE.terminal_keys)
    assert [o.sw for o in outcomes] == [None, 0x9000, 0x9000, 0x9000, 0x9000, None, 0x9000, 0x6982]
    assert differences(outcomes) == []


class Dumb:
    """A card that gives these answers, whatever the commands."""

    atr = H("3B00")

    def __init__(self, answers: Iterable[bytes]) -> None:
        self._answers = iter(answers)

    def transmit(self, command: bytes) -> bytes:
        return next(self._answers)

    def reset(self) -> bytes:
        return self.atr


def test_a_card_that_answers_no_status_word_is_a_transport_error() -> None:
    with pytest.raises(TransportError):
        list(Runner(Dumb([b"\x90"])).run(parse("00A40400")))


def test_an_atr_without_chip_serial_is_said_and_stops_authentication() -> None:
    fci = H("6F18 8405F052484301 A50F C103100101 C2083431303030303030 9000")
    runner = Runner(Dumb([fci]), STORE.terminal_keys)
    steps = runner.run(parse("reset\n00A4040005F05248430100\n#! authenticate RK1_DDF1\n"))
    assert next(steps).facts[0].value.startswith("none")
    next(steps)
    with pytest.raises(ProfileNeeded, match=r"its chip serial .* add --profile field"):
        next(steps)


# --- check_protected follows the layout ---------------------------------------------------


def test_check_protected_is_what_the_layout_says_now(tmp_path: Path) -> None:
    write(tmp_path)
    file = f"check_protected{SUFFIX}"
    committed, now = ((folder / file).read_bytes() for folder in (FOLDER, tmp_path))
    assert committed == now, "run: python -m cardlib.script.from_layout"


def test_check_protected_tries_every_file_that_has_a_read_key(card: SoftwareCard) -> None:
    tried: dict[str, list[int]] = {}
    selected = ""
    for outcome in outcomes_of("check_protected", card):
        if isinstance(outcome.step, Command):
            apdu = outcome.step.apdu
            if apdu[1] == 0xA4:
                path = apdu[5:].hex().upper()
                selected = "/".join(path[i : i + 4] for i in range(0, len(path), 4))
            else:
                assert outcome.sw == 0x6982
                assert outcome.data == b""
                tried.setdefault(selected, []).append(apdu[1] << 8 | apdu[3])
    expected = {
        file.path: [0xB000]
        if file.structure == "transparent"
        else [0xB204, 0xB205] + ([0xB200] if file.is_tlv else [])
        for file in FILES
        if file.read_key
    }
    assert len(expected) == len(FILES) - 1
    assert tried == expected


# --- scriptor itself ----------------------------------------------------------------------


@pytest.mark.parametrize("name", names())
def test_scriptor_runs_every_script_unmodified_and_meets_its_expectations(
    name: str, card: SoftwareCard
) -> None:
    on = blank_card() if name == "check_blank" else card
    assert_as_expected(load(name), run_on_card(FOLDER / f"{name}{SUFFIX}", on))


def assert_as_expected(script: Script, ran: ScriptorRan) -> None:
    assert (ran.code, ran.complaints) == (0, "")
    steps = [step for step in script.steps if not isinstance(step, Authenticate)]
    assert [said.command for said in ran.exchanges] == [
        step.apdu if isinstance(step, Command) else b"" for step in steps
    ]
    for step, said in zip(steps, ran.exchanges, strict=True):
        if isinstance(step, Reset):
            assert difference(step.expectations, None, said.answer) is None
        else:
            response = ResponseAPDU.parse(said.answer)
            assert difference(step.expectations, response.sw, response.data) is None


@pytest.fixture
def in_a_reader(pcscd: Pcscd, card: SoftwareCard) -> Iterator[SoftwareCard]:
    """The card, in a reader of a pcscd that runs."""
    with VirtualReader() as reader:
        reader.insert(card)
        assert wait_for_card(SLOT, 10).atr == card.atr
        yield card


@pytest.mark.usefixtures("in_a_reader")
def test_through_pcsc_scriptor_and_our_command_find_the_same_card(tmp_path: Path) -> None:
    for name in ON_A_CARD:
        assert_as_expected(load(name), run_on_reader(FOLDER / f"{name}{SUFFIX}", SLOT))
    KeyStore.create(tmp_path / "keys", PASSPHRASE, test=True, protocol=1)
    run = ("apdu", "run", "read_emergency_data", "--reader", SLOT, "--keys", tmp_path / "keys")
    done = rhcard(*run, passphrase=PASSPHRASE)
    assert done.code == 0, done.err
    assert "Heart disease: yes" in done.out
    assert rhcard("apdu", "run", "identify", "--reader", "no such reader").code == Exit.NO_CARD


@given(st.lists(PIECES, max_size=12).map("\n".join), st.booleans())
@example("00A4\\\n04 00\\\n00", True)
@settings(max_examples=40, deadline=None)
def test_whatever_parses_means_the_same_to_scriptor(text: str, last_line_ends: bool) -> None:
    text += "\n" if last_line_ends else ""
    try:
        script = parse(text)
    except ScriptError:
        return
    steps = [step for step in script.steps if not isinstance(step, Authenticate)]
    if not steps:
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "script")
        file.write_bytes(text.encode("utf-8"))
        ran = run_on_card(file, Dumb(itertools.repeat(H("9000"))))
    assert (ran.code, ran.complaints) == (0, "")
    sent = [step.apdu if isinstance(step, Command) else b"" for step in steps]
    assert [said.command for said in ran.exchanges] == sent


# --- the document -------------------------------------------------------------------------

DOCUMENT = (FOLDER.parent / "docs" / "reference" / "scripts.md").read_text("utf-8")


def test_the_document_names_every_script_with_its_title() -> None:
    for name in names():
        assert f"| `{name}` | {load(name).title} |" in DOCUMENT


def test_the_documents_example_is_a_script_that_does_what_it_says(card: SoftwareCard) -> None:
    (text,) = re.findall(r"```scriptor\n(.*?)```", DOCUMENT, re.DOTALL)
    for keys in (None, STORE.terminal_keys):
        outcomes = outcomes_of(parse(text), card, keys)
        assert differences(outcomes) == []
        assert [o.sw for o in outcomes][-1] == (0x9000 if keys else 0x6982)


def test_every_command_of_the_document_can_be_called() -> None:
    lines = re.findall(r"^\$ rhcard (apdu \w+)", DOCUMENT, re.M)
    assert set(lines) == {"apdu list", "apdu run"}
    for words in lines:
        assert rhcard(*words.split(), "--help").code == 0
