"""Profiles of one's own in the configuration file: where it is, what it may say, and what is wrong.

The table of docs/reference/configuration.md is tested here too.
"""

import json
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from cardlib.crypto import Cipher
from cardlib.emulator import SoftwareCard
from cardlib.keys.store import KeyStore
from cardlib.layout.card_profile import FIELD, RHCARD
from personalize.cli.config_file import ENVIRONMENT, config_path
from personalize.cli.configuration import load
from personalize.cli.exits import Exit
from personalize.cli.own_profiles import KEYS
from personalize.cli.profile_choice import named
from tests import ROOT
from tests.cards.cards import personalized_card
from tests.cli.test_strange_files import device, folder, pipe
from tests.programs.rhcard import IMPORT_MAIN, PASSPHRASE, ran, rhcard, saved

CITY = """
[card-profiles.city-hospital]
base = "field"
serial_place = "last 8"
cipher = "aes"
key_version = 1
"""
DOCUMENT = (ROOT / "docs" / "reference" / "configuration.md").read_text("utf-8")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without a configuration."""
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def config(home: Path) -> Path:
    """The file at its usual place."""
    path = home / ".config" / "rhcard" / "rhcard.toml"
    path.parent.mkdir(parents=True)
    path.write_text(CITY, "utf-8")
    return path


# --- where it is --------------------------------------------------------------------------


def test_the_file_is_that_of_the_environment_else_in_the_xdg_folder(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert config_path() == home / ".config/rhcard/rhcard.toml"
    monkeypatch.setenv("XDG_CONFIG_HOME", "not/absolute")
    assert config_path() == home / ".config/rhcard/rhcard.toml"
    monkeypatch.setenv("XDG_CONFIG_HOME", "/etc/xdg")
    assert config_path() == Path("/etc/xdg/rhcard/rhcard.toml")
    monkeypatch.setenv(ENVIRONMENT, "")
    assert config_path() == Path("/etc/xdg/rhcard/rhcard.toml")
    monkeypatch.setenv(ENVIRONMENT, "mine.toml")
    assert config_path() == Path("mine.toml")


def test_no_file_is_no_profile_unless_the_environment_names_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load().profiles == {}
    done = rhcard("read", "no.card", "--profile", "city-hospital")
    assert done.code == Exit.USAGE
    assert "use rhcard or field, or add one of your own to" in done.err
    assert str(home / ".config/rhcard/rhcard.toml") in done.err
    monkeypatch.setenv(ENVIRONMENT, str(home / "lost.toml"))
    done = rhcard("read", "no.card", "--profile", "city-hospital")
    assert (done.code, done.err) == (
        Exit.USAGE,
        f"rhcard: {home / 'lost.toml'}: there is no such file. Correct ${ENVIRONMENT}, or unset"
        " it\n",
    )


LOOK = f"""
import sys
{IMPORT_MAIN}
try:
    main()
finally:
    print("tomllib" in sys.modules, "personalize.cli.own_profiles" in sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize(("options", "is_read"), [
    (("--profile", "rhcard", "--no-keys"), False), (("--profile", "field", "--no-keys"), False),
    (("--profile", "city-hospital", "--no-keys"), True), (("--profile", "rhcard"), True),
    ((), True),
])  # fmt: skip
def test_a_read_looks_into_the_file_only_for_what_the_command_line_leaves_open(
    config: Path, options: tuple[str, ...], is_read: bool
) -> None:
    card = saved(personalized_card(), config.parent / "one.card")
    done = ran("read", card, *options, program=LOOK)
    assert done.code == 0 and done.err.splitlines()[-1] == f"{is_read} {is_read}"
    config.write_text("not TOML", "utf-8")
    assert ran("read", card, *options).code == (Exit.USAGE if is_read else 0)


@pytest.mark.parametrize("words", [
    ("--version",), ("--help",), ("apdu", "list"), ("card-profile", "explain", "field"),
    ("keys", "new", "--out", "new.json"), ("emulator", "new", "--out", "new.card"),
    ("demo", "--help"), ("config", "--help"),
], ids=" ".join)  # fmt: skip
def test_a_command_that_uses_no_setting_does_not_read_the_file(
    config: Path, words: tuple[str, ...]
) -> None:
    config.write_text("not TOML", "utf-8")
    done = ran(*words, program=LOOK, cwd=config.parent)
    assert done.code == 0 and done.err.splitlines()[-1] == "False False"


# --- what it does -------------------------------------------------------------------------


def test_a_profile_of_ones_own_is_its_base_with_its_settings(config: Path) -> None:
    how = named("city-hospital")
    assert how.profile == FIELD.having({"serial_place": "last 8"})
    assert (how.field_card.cipher, how.field_card.key_version) == (Cipher.AES, 1)
    config.write_text('[card-profiles.slow]\nbase = "rhcard"\nrecord_reading = "one"\n', "utf-8")
    assert named("slow").profile == RHCARD.having({"record_reading": "one"})


def test_it_works_wherever_a_profile_is_named(config: Path, tmp_path: Path) -> None:
    card = tmp_path / "city.card"
    profile = ("--profile", "city-hospital")
    assert rhcard("emulator", "new", "--out", card, "--sample", *profile).code == 0
    with closing(SoftwareCard.open(card, read_only=True)) as made:
        assert made.options.serial_place == "last 8" and made.atr[-8:] == made.chip
    KeyStore.create(keys := tmp_path / "keys", PASSPHRASE, True, 1, Cipher.AES)
    report = rhcard("read", card, *profile, "--keys", keys, "--json").json
    assert (report["profile"], report["serial_place"]) == ("city-hospital", "last 8")
    assert (report["cipher"], report["exit_code"]) == ("aes", 0)
    script = tmp_path / "my.scriptor"
    script.write_text(
        "reset\n00A4000002DDF1\n#> 9000\n00A4000002DF02\n#> 9000\n#! authenticate RK1_DF02\n"
        "00A4000002EF05\n#> 9000\n00B2010400\n#> 9000 29 01 xx\n"
    )
    done = rhcard("apdu", "run", script, "--card", card, *profile, "--keys", keys)
    assert done.code == 0, done.out


def test_options_stand_over_what_the_file_says(config: Path, tmp_path: Path) -> None:
    card = tmp_path / "field.card"
    assert rhcard("emulator", "new", "--out", card, "--sample", "--profile", "field").code == 0
    KeyStore.create(keys := tmp_path / "keys", PASSPHRASE, True, 1, Cipher.SM4)
    words = ("read", card, "--profile", "city-hospital", "--keys", keys)
    assert rhcard(*words).code == Exit.KEY_PROBLEM
    told = ("--cipher", "sm4", "--set", "serial_place=bytes 5-12", "--json")
    assert rhcard(*words, *told).json["serial_place"] == "bytes 5-12"


def test_explain_lists_them_beside_those_of_the_table(config: Path) -> None:
    whole = rhcard("card-profile", "explain").out
    assert re.search(r"last 8 +city-hospital\n", whole)
    assert re.search(r"bytes 5-12 +field\n", whole)
    assert f"Your own profiles, from {config}" in whole
    assert re.search(r"city-hospital +field +aes +1 +serial_place=last 8\n", whole)
    one = rhcard("card-profile", "explain", "city-hospital").out
    assert "serial_place: " in one and "t0_select: " not in one
    report = rhcard("card-profile", "explain", "--json").json
    assert report["own_profiles"] == [
        {
            "profile": "city-hospital", "base": "field", "cipher": "aes", "key_version": 1,
            "settings": {"serial_place": "last 8"},
        }
    ]  # fmt: skip
    assert rhcard("card-profile", "explain", "field", "--json").json["own_profiles"] == []


def test_a_sample_has_keys_of_version_1_only(config: Path, tmp_path: Path) -> None:
    config.write_text(CITY.replace("key_version = 1", "key_version = 3"), "utf-8")
    words = ("emulator", "new", "--out", tmp_path / "a.card", "--profile", "city-hospital")
    done = rhcard(*words, "--sample")
    assert (done.code, (tmp_path / "a.card").exists()) == (Exit.USAGE, False)
    assert "the profile has key_version 3" in done.err
    assert rhcard(*words).code == 0


# --- what it cannot do --------------------------------------------------------------------


def test_it_never_changes_what_happens_without_profile(config: Path, tmp_path: Path) -> None:
    card = tmp_path / "field.card"
    assert rhcard("emulator", "new", "--out", card, "--sample", "--profile", "field").code == 0
    done = rhcard("read", card)
    assert done.code == Exit.VERIFICATION_FAILED and "add --profile field" in done.err


def test_a_profile_on_rhcard_takes_no_lowered_protection_from_the_command_line(
    config: Path,
) -> None:
    config.write_text('[card-profiles.slow]\nbase = "rhcard"\n', "utf-8")
    for words in (("--set", "fci=nothing"), ("--set", "clear_updates=yes"), ("--cipher", "aes")):
        done = rhcard("read", "no.card", "--profile", "slow", *words)
        assert done.code == Exit.USAGE and "--profile field" in done.err


def table_a(*lines: str) -> str:
    return "\n".join(["[card-profiles.a]", *lines, ""])


FIELD_LINE, RHCARD_LINE = 'base = "field"', 'base = "rhcard"'
A, LOWERED = "card-profiles.a", 'which lowers protection: write base = "field"'
WRONG: dict[str, tuple[str, str]] = {
    "an unknown table": ("[colours]\n", "no table or key 'colours': use keys, agent"),
    "an unknown key": ("colour = 1\n", "no table or key 'colour': use keys, agent"),
    "no table": ("card-profiles = 1\n", "must be a table: write [card-profiles.NAME]"),
    "no profile": ("[card-profiles]\na = 1\n", f"{A} must be a table: write [{A}]"),
    "an unknown setting": (
        table_a(FIELD_LINE, 'colour = "red"'),
        f"{A} has a key 'colour': use base, cipher, key_version, serial_place, selection, fci",
    ),
    "a chip serial": (table_a(FIELD_LINE, 'chip = "00"'), f"{A} has a key 'chip': use base"),
    "no base": (table_a(), f'{A}.base is missing: write base = "field"'),
    "an unknown base": (table_a('base = "b"'), f"{A}.base is 'b': write \"rhcard\" or \"field\""),
    "a list": (table_a('base = ["field"]'), f"{A}.base is ['field']: write \"rhcard\" or"),
    "an unknown value": (
        table_a(FIELD_LINE, 'fci = "some"'),
        f"{A}.fci is 'some': write \"C1 and C2\" or \"nothing\"",
    ),
    "another type": (
        table_a(FIELD_LINE, "clear_updates = true"),
        f"{A}.clear_updates is True: write \"no\" or \"yes\"",
    ),
    "an unknown cipher": (
        table_a(FIELD_LINE, 'cipher = "SM4"'),
        f"{A}.cipher is 'SM4': write \"sm4\" or \"aes\"",
    ),
    "version 8": (table_a(FIELD_LINE, "key_version = 8"), f"{A}.key_version is 8: write 1 or 2"),
    "version true": (table_a(FIELD_LINE, "key_version = true"), "is True: write 1 or 2 or 3"),
    "a profile's name": ("[card-profiles.field]\n", "field is a name of rhcard's own: take"),
    "a setting's name": ("[card-profiles.fci]\n", "fci is a name of rhcard's own: take another"),
    "a name with blanks": ('[card-profiles."a b"]\n', "'a b' cannot be a name: use the letters"),
    "a name for the terminal": ('[card-profiles."\\u001b[2J"]\n', "cannot be a name"),
    "no C1 on rhcard": (
        table_a(RHCARD_LINE, 'fci = "nothing"'), f"{A}.fci is 'nothing', {LOWERED}",
    ),
    "clear updates on rhcard": (
        table_a(RHCARD_LINE, 'clear_updates = "yes"'), f"{A}.clear_updates is 'yes', {LOWERED}",
    ),
    "a cipher on rhcard": (
        table_a(RHCARD_LINE, 'cipher = "aes"'),
        f'{A}.cipher: such a card says it itself. Leave it out, or write base = "field"',
    ),
    "a key version of a card that says it": (
        table_a(FIELD_LINE, 'fci = "C1 and C2"', "key_version = 1"),
        f"{A}.key_version: such a card says it itself. Leave it out",
    ),
    "not TOML": ("[card-profiles.a\n", "not TOML: "),
    "twice": (table_a() + table_a(), "not TOML: "),
    "very deep": ("a = " + "[" * 30_000, "not TOML: "),
    "a very long number": ("a = " + "1" * 5_000, "not TOML: "),
    "a very long value": (table_a(f'base = "{"b" * 60_000}"'), "…: write"),
}  # fmt: skip
"""Configurations that are not right, and what is said of each."""


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_one_line_with_file_key_and_remedy(config: Path, kind: str) -> None:
    text, words = WRONG[kind]
    config.write_text(text, "utf-8")
    for command in (
        ("read", "no.card", "--profile", "a"),
        ("emulator", "new", "--out", config.parent / "a.card", "--profile", "a"),
        ("apdu", "run", "identify", "--card", "no.card", "--profile", "a"),
        ("card-profile", "explain"),
    ):
        done = rhcard(*command)
        assert (done.code, len(done.err.splitlines())) == (Exit.USAGE, 1), done.err
        assert done.err.startswith(f"rhcard: {config}: ") and words in done.err
        assert len(done.err) < 600 and "\x1b" not in done.err
    assert rhcard("card-profile", "explain", "--json").json["exit_code"] == Exit.USAGE


@pytest.mark.parametrize(("content", "words"), [
    (CITY.encode("utf-16"), "not UTF-8 text: save it as UTF-8"),
    (b"# \xff\n", "not UTF-8 text"),
    (b"#" * (1 << 20), "the file is too large"),
])  # fmt: skip
def test_another_file_is_one_line_too(config: Path, content: bytes, words: str) -> None:
    config.write_bytes(content)
    done = rhcard("read", "no.card", "--profile", "a")
    assert (done.code, len(done.err.splitlines())) == (Exit.USAGE, 1)
    assert done.err.startswith(f"rhcard: {config}: ") and words in done.err


def test_a_byte_order_mark_is_passed_over(config: Path) -> None:
    config.write_bytes(b"\xef\xbb\xbf" + CITY.encode())
    assert list(load().profiles) == ["city-hospital"]


@pytest.mark.parametrize("strange", [folder, pipe, device])
def test_a_folder_a_pipe_or_a_device_is_not_read(
    config: Path, strange: Callable[[Path], None]
) -> None:
    config.unlink()
    strange(config)
    done = ran("read", "no.card", "--profile", "a")
    assert (done.code, len(done.err.splitlines())) == (Exit.USAGE, 1)
    assert "not a regular file. The configuration must be a file that you may read" in done.err


def test_a_file_that_may_not_be_read_is_named(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bytes:
        raise PermissionError(13, "Permission denied", str(config))

    monkeypatch.setattr("personalize.cli.config_file.open_regular", refuse)
    done = rhcard("read", "no.card", "--profile", "a")
    assert (done.code, len(done.err.splitlines())) == (Exit.USAGE, 1)
    assert f"{config}: Permission denied. The configuration must be a file that you may" in done.err


# --- its page -----------------------------------------------------------------------------


def test_every_value_of_every_key_that_the_page_names_is_taken(config: Path) -> None:
    settings = [(key, value) for key, values in KEYS.items() for value in values if key != "base"]
    for key, value in settings:
        line = f"{key} = {json.dumps(value)}"
        assert f"`{json.dumps(value)}`" in DOCUMENT
        config.write_text(f'[card-profiles.a]\nbase = "field"\n{line}\n', "utf-8")
        how = named("a")
        found = getattr(how.profile, key, None) or getattr(how.field_card, key)
        assert getattr(found, "name", str(found)).lower() == str(value).lower()


def test_the_example_of_the_page_is_right(config: Path) -> None:
    (example,) = re.findall(r"```toml\n([^`]*card-profiles.*?)```", DOCUMENT, re.DOTALL)
    config.write_text(example, "utf-8")
    assert len(load().profiles) > 1
