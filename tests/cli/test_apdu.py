"""rhcard apdu: scripts by name or file, with the exit codes of rhcard; the module is the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from apdu_scripts import load, names
from cardlib.crypto import Cipher
from cardlib.emulator import CardOptions
from cardlib.keys.store import KeyStore
from cardlib.script.language import SUFFIX
from personalize.cli.exits import Exit
from tests import DATA
from tests.cards.cards import CHIP, personalized_card
from tests.cards.field_bench import card_of_profile
from tests.cards.v2_cards import card_of
from tests.programs.rhcard import Ran, ran, rhcard, saved
from tests.script.test_apdu_scripts import FOLDER, PASSPHRASE


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


def test_the_switch_keeps_a_session_in_short_commands(folder: Path) -> None:
    made = card_of(Cipher.SM4, CardOptions(extended_length=True))
    made.save(folder / "long.card")
    made.close()
    KeyStore.create(folder / "keys2", PASSPHRASE, test=True, protocol=2)
    (folder / "long.scriptor").write_text(
        "reset\n00A4040005F05248430100\n#! authenticate RK1_DDF1\n"
        "00A4080C04DDF1EF07\n#> 9000\n00B00000000200\n#> 9000 ..\n"
    )
    words = (folder / "long.scriptor", "--card", folder / "long.card", *with_keys(folder, "keys2"))
    assert (done := invoke(*words)).code == 0, done.out
    done = invoke(*words, "--short-only")
    assert (done.code, "READ BINARY is too long" in done.out) == (Exit.REFUSED, True)


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
        (str(DATA / "cases" / "bom.scriptor"), Exit.BAD_INPUT, "byte order mark: save it as UTF-8"),
        (
            str(DATA / "cases" / "crlf.scriptor"),
            Exit.BAD_INPUT,
            "lines that end in CR",
        ),
        ("no_such_script", Exit.USAGE, "there is no such script"),
        (".", Exit.USAGE, "it is a folder, not a regular file"),
    ],
)
def test_the_exit_code_says_what_happened(script: str, code: Exit, said: str, folder: Path) -> None:
    name = script if script in names() else folder / script
    done = invoke(name, "--card", folder / "one.card")
    assert (done.code, said in done.err) == (code, True)


def test_a_pin_goes_to_a_2_0_card_in_clear_only_with_unprotected(tmp_path: Path) -> None:
    card = saved(card_of(), tmp_path / "two.card")
    script = tmp_path / "pin.scriptor"
    script.write_text("reset\n00A4040005F05248430100\n0020000006313335373930\n#> 6982\n")
    done = invoke(script, "--card", card)
    assert (done.code, len(done.err.splitlines())) == (Exit.BAD_INPUT, 1)
    assert done.err.startswith("rhcard: pin.scriptor, line 3: VERIFY was not sent: ")
    assert done.err.endswith("add --unprotected\n")
    assert invoke(script, "--card", card, "--json").json["exit_code"] == Exit.BAD_INPUT
    assert invoke(script, "--card", card, "--unprotected").code == Exit.GOOD


def test_a_script_authenticates_on_a_deployed_card_with_profile_field(
    folder: Path, tmp_path: Path
) -> None:
    card, script = saved(card_of_profile(), tmp_path / "field.card"), tmp_path / "field.scriptor"
    script.write_text(
        "reset\n00A4000002DDF1\n#> 9000 -\n00A4000002DF02\n#> 9000 -\n#! authenticate RK1_DF02\n"
        "00A4000002EF05\n#> 9000 -\n00B2010400\n#= DDF1/DF02/EF05\n#> 9000 29 01 xx\n"
    )
    words = (script, "--card", card, *with_keys(folder))
    done = invoke(*words, "--profile", "field")
    assert (done.code, "ABO blood group: " in done.out) == (0, True), done.out
    assert f"chip serial: {CHIP.hex().upper()} (bytes 5 to 12 of the ATR)" in done.out
    given = invoke(*words, "--profile", "field", "--chip", CHIP.hex(), "--cipher", "sm4")
    assert given.code == 0 and "(what was given by hand)" in given.out
    none = invoke(*words)
    assert none.code == Exit.REFUSED and "add --profile field" in none.out
    wrong = invoke(*words, "--set", "clear_updates=yes")
    assert wrong.code == Exit.USAGE and "needs --profile field" in wrong.err


def test_a_change_goes_to_a_deployed_card_in_clear_only_with_profile_field(tmp_path: Path) -> None:
    script = tmp_path / "pin.scriptor"
    script.write_text("reset\n00A4000002DDF1\n#> 9000 -\n0020000006313335373930\n#> 9000\n")
    words = (script, "--card", saved(card_of_profile(), tmp_path / "field.card"))
    done = invoke(*words)
    assert (done.code, len(done.err.splitlines())) == (Exit.BAD_INPUT, 1)
    assert "which does not name it, add --profile field" in done.err
    assert invoke(*words, "--profile", "field").code == 0
    two = invoke(script, "--card", saved(card_of(), tmp_path / "two.card"), "--profile", "field")
    assert two.code == Exit.REFUSED and "read it without --profile field" in two.err


def test_one_card_is_needed(folder: Path) -> None:
    none = ran("apdu", "run", "identify", env={"PCSCLITE_CSOCK_NAME": "/nowhere"})
    assert (none.code, "Or give a card file: --card FILE" in none.err) == (Exit.NO_CARD, True)
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
        ("no_such_script", "--card", folder / "one.card"),
    ):
        module, command = as_module(*words), invoke(*words)
        assert (module.returncode, module.stdout) == (command.code, command.out)
        assert module.stderr == command.err
    assert as_module("--list").stdout == rhcard("apdu", "list").out
