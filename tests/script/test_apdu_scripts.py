"""The scripts, their language, and what running them says: by our runner and by scriptor itself."""

import itertools
import json
import os
import re
import subprocess
import sys
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
from cardlib.errors import CardKeyError, TransportError
from cardlib.issuance import personalize
from cardlib.keys import KeySet
from cardlib.keys.roots import new_roots
from cardlib.keys.store import KeyStore
from cardlib.layout import FILE_BY_PATH, FILES, FileSpec
from cardlib.layout.records import MANDATORY_DGIS
from cardlib.layout.words import as_json as field_as_json
from cardlib.script import Outcome, Runner, ScriptError, difference, parse
from cardlib.script.decoder import facts_of, fields_of
from cardlib.script.from_layout import write
from cardlib.script.language import SUFFIX, Authenticate, Command, Reset, Script
from cardlib.script.pattern import Pattern, parse_pattern
from cardlib.transport.pcsc import wait_for_card
from personalize.cli.exits import Exit
from personalize.terminal.script_report import as_json, as_text, summary
from tests.cards.cards import CHIP, ISSUER, blank_card, groupings, key_store, personalized_card
from tests.programs.pcscd import SLOTS, Pcscd
from tests.programs.rhcard import Ran, rhcard
from tests.programs.scriptor import Ran as ScriptorRan
from tests.programs.scriptor import run_on_card, run_on_reader

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
    with pytest.raises(TransportError):
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
def test_through_pcsc_scriptor_and_our_command_find_the_same_card(folder: Path) -> None:
    for name in ON_A_CARD:
        assert_as_expected(load(name), run_on_reader(FOLDER / f"{name}{SUFFIX}", SLOT))
    keys = ("--keys", folder / "keys", "--passphrase-file", folder / "pass")
    done = invoke("read_emergency_data", "--reader", SLOT, *keys)
    assert done.code == 0, done.err
    assert "Heart disease: yes" in done.out
    assert invoke("identify", "--reader", "no such reader").code == Exit.NO_CARD


PIECES = st.sampled_from(
    [
        "reset", "  Reset ", "# a comment", "#", "", "  ", "\t", "00 A4 04 00", "00A40400", "00a4 ",
        "00 a4 04 00 00 ", "00 A4 \\", "00A4\\", "04 00", "0400", "00 A4\\", "# 王䶮", "00", "exit",
        "#> 9000", "#> ATR ..", "EXIT ", "00  A4 04 00", " 00 A4 04 00", "00 A4 0400", "# an exit",
        "\x0b", "00 A4 04 00\r", "00 A4 04 00\t", "é", "#!/usr/bin/env scriptor",
        "#! authenticate RK1_DDF1",
    ]
)  # fmt: skip


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


# --- the language -------------------------------------------------------------------------

EVERYTHING = """#!/usr/bin/env scriptor
# What it is for.
# More about it.

# Start anew.
Reset
#> ATR 3B xx ..
00A4040000
#> 9000 6F 02 xx*2
#> 61xx - without RK1_DF02

#! authenticate RK1_DF02
# Read,
# by number.
00 B2 \\
01 04 00
#= DDF1/DF02/EF05
#> 63Cx with RK1_DF02
exit
this is not read any more
"""


def test_a_script_is_its_title_and_its_steps_with_their_lines() -> None:
    script = parse(EVERYTHING, "all")
    assert (script.name, script.title) == ("all", "What it is for.")
    reset, select, authenticate, read = script.steps
    assert isinstance(reset, Reset)
    assert (reset.line, reset.comment) == (6, "Start anew.")
    assert isinstance(select, Command)
    assert [str(e) for e in select.expectations] == ["9000 6F 02 xx xx", "61xx -"]
    assert isinstance(authenticate, Authenticate)
    assert authenticate.key.name == "RK1_DF02"
    assert isinstance(read, Command)
    assert (read.apdu, read.comment) == (H("00B2010400"), "Read,\nby number.")
    assert read.file is FILE_BY_PATH["DDF1/DF02/EF05"]
    assert (read.expectations[0].key, read.expectations[0].with_key) == ("RK1_DF02", True)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("reset\n00 A4 04", 2, "CLA INS P1 P2"),
        ("00 A4  04 00", 1, "one blank"),
        ("00A4 0400", 1, "one blank"),
        ("00 A4 04 0", 1, "one blank"),
        ("00A40400 # comment", 1, "one blank"),
        ("00A40400\r\nreset", 1, "one blank"),
        ("\ufeff# a byte order mark", 1, "one blank"),
        ("reset now", 1, "one blank"),
        ("# where to find the exit", 1, "scriptor stops"),
        ("00 A4 \\\n# comment\n04 00", 2, "the rest of its command"),
        ("00 A4 \\\n\n04 00", 2, "the rest of its command"),
        ("00 A4 \\\nreset", 2, "the rest of its command"),
        ("00 A4 04 00 \\", 1, "not complete"),
        ("00 A4 04 00 \\\nexit", 2, "not complete"),
        ("#> 9000", 1, "follows the command"),
        ("#! authenticate RK1_DDF1\n#> 9000", 2, "follows the command"),
        ("reset\n#! authenticate RK1_DDF1\n#> 9000", 3, "follows the command"),
        ("reset\n#> 9000", 2, "after reset write #> ATR"),
        ("00A40400\n#> ATR 3B", 2, "after a command #> and a status word"),
        ("00A40400\n#>", 2, "begins with a status word"),
        ("00A40400\n#> 90", 2, "begins with a status word"),
        ("00A40400\n#> 9000 6", 2, "no byte"),
        ("00A40400\n#> 9000 .. 6F", 2, "no byte"),
        ("00A40400\n#> 9000 6F*0", 2, "no byte"),
        ("00A40400\n#> 9000 6F*99999", 2, "more than 65536"),
        ("00A40400\n#> 9000 with RK9_DF02", 2, "no key of the card"),
        ("00A40400\n#> 9000 with STK_DF02", 2, "no key of the card"),
        ("#! authenticate PUK_DDF1", 1, "no key of the card"),
        ("reset\n#! verify 123456", 2, "the only action"),
        ("reset\n#!", 2, "the only action"),
        ("00A40400\n#= DDF1/EF05", 2, "READ RECORD"),
        ("#= DDF1/EF05", 1, "READ RECORD"),
        ("00B20104\n#= DDF1/EF07", 2, "file of records"),
        ("00B20104\n#= DDF1/EF99", 2, "file of records"),
        ("00B20104\n#=", 2, "file of records"),
    ],
)
def test_a_line_that_is_not_valid_is_named_with_what_is_wrong(
    text: str, line: int, problem: str
) -> None:
    with pytest.raises(ScriptError, match=f"^here, line {line} is not valid: ") as raised:
        parse(text, "here")
    assert problem in raised.value.problem
    assert raised.value.line == line


@given(st.text() | st.lists(PIECES | st.text(max_size=20), max_size=20).map("\n".join))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_script_or_an_error_with_a_line(text: str) -> None:
    try:
        script = parse(text)
    except ScriptError as error:
        assert 1 <= error.line <= text.count("\n") + 1
    else:
        assert all(1 <= step.line <= text.count("\n") + 1 for step in script.steps)


@given(st.text(alphabet="#>=! 9061xX.*-FfATRwithouRK1_DF02", max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_directive_is_understood_or_an_error(line: str) -> None:
    for before in ("reset", "00B20104"):
        try:
            (step,) = parse(f"{before}\n#{line}").steps
        except (ScriptError, ValueError) as error:
            assert isinstance(error, ScriptError)
        else:
            assert step.line == 1


@given(st.lists(st.none() | st.integers(0, 255)), st.booleans())
def test_a_pattern_reads_back_as_it_is_printed(values: list[int | None], open_: bool) -> None:
    pattern = Pattern(tuple(values), open_)
    assert parse_pattern(str(pattern).split()) == pattern
    assert pattern.difference(bytes(value or 0 for value in values)) == ""


@pytest.mark.parametrize(
    ("pattern", "data", "said"),
    [
        ("-", "", ""),
        ("-", "00", "1 bytes of data, not 0"),
        ("..", "", ""),
        ("..", "0102", ""),
        ("01 xx", "0102", ""),
        ("01 xx", "01", "1 bytes of data, not 2"),
        ("01 xx", "010203", "3 bytes of data, not 2"),
        ("01 xx ..", "010203", ""),
        ("01 xx ..", "01", "1 bytes of data, not at least 2"),
        ("xx*2 03 FF*2", "010204FFFF", "byte 2 is 04, not 03"),
        ("ff Xx", "FF00", ""),
    ],
)
def test_a_pattern_says_where_data_departs(pattern: str, data: str, said: str) -> None:
    assert parse_pattern(pattern.split()).difference(H(data)) == said


def test_one_of_the_expectations_that_apply_must_be_met() -> None:
    (step,) = parse("00A40400\n#> 9000 01\n#> 63Cx\n#> 6982 without RK1_DDF1\n").steps
    assert isinstance(step, Command)
    held = frozenset({"RK1_DDF1"})

    def said(sw: int, data: str = "", keys: frozenset[str] = frozenset()) -> str:
        found = difference(step.expectations, sw, H(data), keys)
        return f"{'data: ' if found.in_data else ''}{found.text}" if found else ""

    assert said(0x9000, "01") == said(0x63C3) == said(0x6982) == ""
    assert said(0x9000, "02") == "data: byte 0 is 02, not 01"
    assert said(0x6982, keys=held) == "expected 9000 01 or 63Cx"
    assert said(0x6A82) == "expected 9000 01 or 63Cx or 6982"


# --- what is shown ------------------------------------------------------------------------


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


# --- the command --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A card, its key store, and another key store."""
    folder = tmp_path_factory.mktemp("scripts")
    made = personalized_card()
    made.save(folder / "one.card")
    made.close()
    (folder / "pass").write_text(f"{PASSPHRASE}\n")
    KeyStore.create(folder / "keys", PASSPHRASE, test=True, protocol=1)
    KeyStore.create(folder / "aes", PASSPHRASE, protocol=1, cipher=Cipher.AES)
    (folder / "data.scriptor").write_text("reset\n#> ATR 3B 00\n")
    (folder / "bad.scriptor").write_text("# fine\nnot hex\n")
    (folder / "bytes.scriptor").write_bytes(b"# \xff\xfe\n")
    return folder


def invoke(*arguments: object, passphrase: str | None = None) -> Ran:
    return rhcard("apdu", "run", *arguments, passphrase=passphrase)


def with_keys(
    folder: Path, store: str = "keys", passphrase: str = "pass"
) -> tuple[str | Path, ...]:
    return ("--keys", folder / store, "--passphrase-file", folder / passphrase)


def test_the_command_runs_a_script_by_name_and_by_file(folder: Path) -> None:
    by_name = invoke("read_issuer_data", "--card", folder / "one.card")
    by_file = invoke(FOLDER / f"read_issuer_data{SUFFIX}", "--card", folder / "one.card")
    assert (by_name.code, by_file.code) == (0, 0)
    assert "Issuer name: 河南省卫生健康委员会" in by_name.out
    assert by_name.out.splitlines()[:-1] == by_file.out.splitlines()[:-1]


def test_with_a_key_store_the_command_authenticates_and_speaks_json(folder: Path) -> None:
    done = invoke("read_cardholder", "--card", folder / "one.card", *with_keys(folder), "--json")
    assert done.code == 0, done.err
    document = done.json
    assert (document["as_expected"], document["exit_code"]) == (True, 0)
    values = {f["field"]: f["value"] for step in document["steps"] for f in step["fields"]}
    assert (values["name"], values["sex"], values["phone_1"]) == ("王䶮𠅤㛃", "1", None)


def test_the_passphrase_may_come_from_the_environment(folder: Path) -> None:
    words = ("read_cardholder", "--card", folder / "one.card", "--keys", folder / "keys")
    assert invoke(*words, passphrase=PASSPHRASE).code == 0


def test_without_keys_the_command_says_that_nothing_was_read(folder: Path) -> None:
    done = invoke("read_emergency_data", "--card", folder / "one.card")
    assert (done.code, done.out.splitlines()[-1].endswith("nothing was read: no keys")) == (0, True)


def test_the_command_lists_the_scripts() -> None:
    done = rhcard("apdu", "list")
    assert (done.code, [line.split()[0] for line in done.out.splitlines()]) == (0, [*names()])
    rows = rhcard("apdu", "list", "--json").json["scripts"]
    assert rows == [{"name": name, "title": load(name).title} for name in names()]


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        ("check_blank", Exit.REFUSED, ""),
        ("data.scriptor", Exit.VERIFICATION_FAILED, ""),
        ("bad.scriptor", Exit.BAD_INPUT, "bad.scriptor, line 2 is not valid: "),
        ("bytes.scriptor", Exit.BAD_INPUT, "not UTF-8 text"),
        ("no_such_script", Exit.USAGE, "there is no such script"),
        (".", Exit.USAGE, "Is a directory"),
    ],
)
def test_the_exit_code_says_what_happened(script: str, code: Exit, said: str, folder: Path) -> None:
    name = script if script in names() else folder / script
    done = invoke(name, "--card", folder / "one.card")
    assert (done.code, said in done.err) == (code, True)


def test_one_card_is_needed(folder: Path) -> None:
    assert invoke("identify").code == Exit.USAGE
    both = invoke("identify", "--card", folder / "one.card", "--reader", "0")
    assert (both.code, "give one card" in both.err) == (Exit.USAGE, True)


def test_no_card_is_4_and_key_problems_are_9(folder: Path) -> None:
    (folder / "damaged.card").write_bytes(b"not a card")
    assert invoke("identify", "--card", folder / "damaged.card").code == Exit.NO_CARD
    assert invoke("identify", "--card", folder / "none.card").code == Exit.NO_CARD
    of_folder = invoke("identify", "--card", folder)
    assert (of_folder.code, "is a folder; give a .card file in it" in of_folder.err) == (4, True)
    (folder / "wrong").write_text("wrong\n")
    (folder / "empty").write_text("\n")
    card = ("read_cardholder", "--card", folder / "one.card")
    for options in (
        with_keys(folder, passphrase="wrong"),
        with_keys(folder, passphrase="empty"),
        with_keys(folder, passphrase="none"),
        with_keys(folder, store="bad.scriptor"),
        with_keys(folder, store="aes"),
        with_keys(folder, store="none"),
        ("--keys", folder / "keys"),
    ):
        done = invoke(*card, *options)
        assert done.code == Exit.KEY_PROBLEM, options
        assert done.err.splitlines()[-1].startswith("rhcard: ")
        assert PASSPHRASE not in done.out + done.err


def test_with_json_an_error_is_json_too(folder: Path) -> None:
    done = invoke(folder / "bad.scriptor", "--card", folder / "one.card", "--json")
    assert (done.code, done.json["exit_code"]) == (Exit.BAD_INPUT, Exit.BAD_INPUT)
    assert "line 2" in done.json["error"]


def as_module(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "apdu_scripts", *map(str, words)],
        cwd=FOLDER.parent,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_runs_as_a_module_where_chinese_cannot_be_printed(folder: Path) -> None:
    done = as_module("read_issuer_data", "--card", folder / "one.card")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Issuer name: \\u6cb3\\u5357" in done.stdout


def test_the_module_is_the_command_with_the_same_output_and_exit_codes(folder: Path) -> None:
    for words in (
        ("identify", "--card", folder / "one.card"),
        ("check_blank", "--card", folder / "one.card"),
        ("data.scriptor", "--card", folder / "none.card"),
        ("identify",),
    ):
        module, command = as_module(*words), invoke(*words)
        assert (module.returncode, module.stdout) == (command.code, command.out)
        assert module.stderr == command.err
    assert as_module("--list").stdout == rhcard("apdu", "list").out


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
    lines = re.findall(r"^    rhcard (apdu \w+)", DOCUMENT, re.M)
    assert set(lines) == {"apdu list", "apdu run"}
    for words in lines:
        assert rhcard(*words.split(), "--help").code == 0
