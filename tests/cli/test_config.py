"""The configuration file: what it may say, what is refused, and where a value is said to be from.

The commands that use the settings are tested in test_config_use.py.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from personalize.cli.config_file import read_config
from personalize.cli.config_settings import VARIABLES
from personalize.cli.configuration import faults_of, load
from personalize.cli.exits import Exit
from tests import ROOT
from tests.programs.rhcard import rhcard

DOCUMENT = (ROOT / "docs" / "reference" / "configuration.md").read_text("utf-8")
WHOLE = """\
# The station of the city bureau.
keys = "keys/keys.json"
profile = "slow"
region = "990100"
readers = ["OMNIKEY", "Virtual PCD"]
language = "en"

[issuer]
name = "示例市卫生健康委员会"
code = "99010001234"

[card-profiles.slow]
base = "rhcard"
record_reading = "one"
"""
"""A file with every kind of setting."""


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of the file, which is not there yet, in a home that nobody else can write."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / ".config" / "rhcard" / "rhcard.toml"
    path.parent.mkdir(parents=True, mode=0o755)
    return path


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(0o644)
    return path


def shown() -> dict[str, tuple[object, str, object]]:
    """What `config show` says of each setting: value, source, line."""
    done = rhcard("config", "show", "--json")
    assert done.code == 0, done.err + done.out
    return {s["setting"]: (s["value"], s["from"], s["line"]) for s in done.json["settings"]}


def faults(path: Path, text: str) -> dict[str, list[str]]:
    """The faults that `config check FILE` names, by key."""
    done = rhcard("config", "check", write(path, text), "--json")
    assert done.code == (Exit.USAGE if done.json["faults"] else Exit.GOOD)
    found: dict[str, list[str]] = {}
    for each in done.json["faults"]:
        found.setdefault(each["key"], []).append(each["problem"])
    return found


# --- where a value comes from -------------------------------------------------------------


def test_without_a_file_every_setting_has_its_default_and_none_is_needed(config: Path) -> None:
    assert set(shown().values()) == {
        (None, "default", None), ("rhcard", "default", None), ("en", "default", None),
    }  # fmt: skip
    done = rhcard("config", "show")
    assert f"{config} (there is no such file, and none is needed)" in done.err
    done = rhcard("config", "check")
    assert done.code == 0 and "no such file, and none is needed" in done.out


def test_each_value_is_shown_with_file_and_line(config: Path) -> None:
    write(config, WHOLE)
    found = shown()
    assert found["keys"] == (str(config.parent / "keys" / "keys.json"), "file", 2)
    assert found["profile"] == ("slow", "file", 3)
    assert found["region"] == ("990100", "file", 4)
    assert found["readers"] == (["OMNIKEY", "Virtual PCD"], "file", 5)
    assert found["language"] == ("en", "file", 6)
    assert found["issuer.name"] == ("示例市卫生健康委员会", "file", 9)
    assert found["issuer.code"] == ("99010001234", "file", 10)
    assert found["agent"] == (None, "default", None)
    text = rhcard("config", "show").out
    assert re.search(rf"region +990100 +{re.escape(str(config))}, line 4\n", text)
    assert "Your own profiles: slow" in text


@pytest.mark.parametrize(("setting", "variable", "value"), [
    ("keys", "RHCARD_KEYS", "/media/keys.json"),
    ("profile", "RHCARD_PROFILE", "rhcard"),
])  # fmt: skip
def test_the_environment_stands_over_the_file_and_the_command_line_over_both(
    config: Path, monkeypatch: pytest.MonkeyPatch, setting: str, variable: str, value: str
) -> None:
    write(config, WHOLE)
    monkeypatch.setenv(variable, value)
    assert shown()[setting][:2] == (value, "environment")
    assert load().setting(setting).source == f"${variable}"
    told = load().setting(setting, Path("other"))
    assert (told.value, told.source) == (Path("other"), "command line")
    monkeypatch.setenv(variable, "")
    assert shown()[setting][1] == "file"


def test_an_agent_of_the_environment_stands_over_a_key_store_of_the_file(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(config, WHOLE)
    assert load().key_holder().name == "keys"
    monkeypatch.setenv("RHCARD_AGENT", "/run/rhcard/agent")
    holder = load().key_holder()
    assert (holder.name, holder.value) == ("agent", Path("/run/rhcard/agent"))
    assert load().key_holder(Path("mine.json")).value == Path("mine.json")
    monkeypatch.setenv("RHCARD_KEYS", "/media/keys.json")
    for words in (("config", "show"), ("config", "check")):
        done = rhcard(*words)
        assert done.code == Exit.USAGE
        assert "$RHCARD_KEYS and $RHCARD_AGENT are both set, and there can be one" in done.err


def test_the_holder_of_the_keys_is_the_one_that_the_file_names(config: Path) -> None:
    write(config, 'agent = "/run/rhcard/agent"\n')
    assert load().key_holder().name == "agent"
    write(config, '[token]\nmodule = "/usr/lib/p11.so"\nlabel = "bureau"\n')
    assert (load().key_holder().name, load().key_holder().value) == ("token.label", "bureau")
    assert load().setting("token.module").value == Path("/usr/lib/p11.so")
    write(config, "")
    assert load().key_holder().value is None


def test_a_path_of_the_file_starts_from_the_folder_of_the_file_or_from_home(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    for text, path in (
        ("a.json", config.parent / "a.json"),
        ("../a.json", config.parent.parent / "a.json"),
        ("~/a.json", tmp_path / "a.json"),
        ("/a.json", Path("/a.json")),
    ):
        write(config, f"keys = {json.dumps(text)}\n")
        assert load().setting("keys").value == path
    monkeypatch.chdir(config.parent)
    monkeypatch.setenv("RHCARD_CONFIG", config.name)
    write(config, 'keys = "a.json"\n')
    assert load().setting("keys").value == config.parent / "a.json"
    monkeypatch.setenv("RHCARD_KEYS", "b.json")
    assert load().setting("keys").value == Path("b.json")


# --- what is refused ----------------------------------------------------------------------

LOWERS = (
    "which lowers protection (deployed cards do not say what they are): leave it out, and write"
)
SECRET = "looks like a secret, and a secret must not stand in this file. Take it out."
TABLE = '[card-profiles.{0}]\nbase = "{1}"\n'
REFUSED: Mapping[str, tuple[str, str, str]] = {
    "an unknown key": ("keyz = 1", "keyz", "no table or key 'keyz': did you mean keys?"),
    "a column's name": ('issuer_name = "x"', "issuer_name", "did you mean issuer.name? If not"),
    "an option's name": ('lang = "en"', "lang", "did you mean language?"),
    "an unknown key of a table": (
        '[token]\nlable = "x"', "token.lable", "token has a key 'lable': did you mean label? If",
    ),
    "no table": ('issuer = "x"', "issuer", "must be a table: write [issuer] on a line of its own"),
    "another type": ("keys = 5", "keys", 'keys must be a text in quotes: write keys = "FILE"'),
    "a blank": ('agent = " "', "agent", 'agent is empty: write agent = "SOCKET"'),
    "a line break": ('keys = "a\\nb"', "keys", "which has a character that nobody sees"),
    "no such home": ('keys = "~nobody-of-this-name/a"', "keys", "and there is no such user"),
    "a long socket": (f'agent = "/{"a" * 107}"', "agent", "a socket has 107 bytes at most"),
    "a long label": (
        f'[token]\nmodule = "/m"\nlabel = "{"卡" * 11}"', "token.label", "has 32 bytes at most",
    ),
    "a token without label": (
        '[token]\nmodule = "/m"', "token.module", "token.module needs token.label beside it",
    ),
    "a token without module": ('[token]\nlabel = "m"', "token.label", "needs token.module beside"),
    "a name without code": ('[issuer]\nname = "x"', "issuer.name", "needs issuer.code beside it"),
    "a code without name": ('[issuer]\ncode = "1"', "issuer.code", "needs issuer.name beside it"),
    "a long code": (f'[issuer]\ncode = "{"1" * 23}"', "issuer.code", "not 22 digits at most"),
    "a region without issuer": (
        'region = "990100"', "region", "region needs issuer.code beside it: the region is that of",
    ),
    "a province": ('region = "99"', "region", "region is '99', not 6 digits: write region ="),
    "other digits": ('region = "９９０１００"', "region", "not 6 digits"),
    "a number for digits": ("region = 990100", "region", "must be a text in quotes"),
    "a reader's number": (
        'readers = ["0"]', "readers", "has '0', a number, which is another reader when one is",
    ),
    "no list of readers": ('readers = "a"', "readers", "must be a list of reader names: write"),
    "no readers": ("readers = []", "readers", "must be a list of reader names: write readers = ["),
    "a reader twice": ('readers = ["a", "A"]', "readers", "readers has 'a' twice"),
    "a password in the database's URL": (
        'database = "postgresql://bureau:secret@db/register"', "database",
        "database has a password: take it out, and put it into the file ~/.pgpass",
    ),
    "a password at the URL's end": (
        'database = "postgresql://db/register?user=bureau&password=secret"', "database",
        "database has a password: take it out",
    ),
    "a station with a blank": ('station = "desk 1"', "station", "station is 'desk 1': write"),
    "Chinese": ('language = "zh"', "language", 'is "zh", and rhcard speaks English only as yet'),
    "another language": ('language = "fr"', "language", "is 'fr': write language = \"en\""),
    "field": ('profile = "field"', "profile", f"profile is 'field', {LOWERS} --profile field each"),
    "one on field": (
        f'profile = "a"\n{TABLE.format("a", "field")}', "profile", f"'a', {LOWERS} --profile a",
    ),
    "no such profile": (
        f'profile = "slo"\n{TABLE.format("slow", "rhcard")}', "profile",
        "there is no such profile: did you mean slow? If not, use one of rhcard, slow",
    ),
    "two holders": ('keys = "a"\nagent = "b"', "agent", "keys and agent are both set, and there"),
    "a passphrase": (
        'passphrase = "correct horse"', "passphrase", f"{SECRET} Set RHCARD_PASSPHRASE, or give",
    ),
    "a passphrase in a table": (
        '[issuer]\nPassPhrase = "correct horse"', "issuer.PassPhrase", SECRET,
    ),
    "a token's PIN": (
        '[token]\nuser_pin = "correct horse"', "token.user_pin", f"{SECRET} A PIN is asked for",
    ),
    "a secret": ('[x]\ny = {client-secret = "correct horse"}', "x.y.client-secret", SECRET),
    "a key": ('key = "correct horse"', "key", f"{SECRET} Keys lie in a key store, a token or the"),
    "a key as a number": (f"language = 0x{'0F' * 16}", "language", f"language {SECRET}"),
    "a private key": ('language = "-----BEGIN PRIVATE KEY-----"', "language", SECRET),
}  # fmt: skip
"""Files that are refused: the text, the key that is named, and words of the message."""


@pytest.mark.parametrize("kind", REFUSED)
def test_what_no_command_could_use_rightly_is_refused_by_check_and_by_commands(
    config: Path, kind: str
) -> None:
    text, key, words = REFUSED[kind]
    found = faults(config, text)
    assert any(words in each for each in found.get(key, [])), found
    assert "correct horse" not in json.dumps(found)
    for command in (("config", "show"), ("read", "no.card"), ("prepare", "/etc/hostname")):
        done = rhcard(*command)
        assert (done.code, len(done.err.splitlines())) == (Exit.USAGE, 1), done.err
        assert done.err.startswith(f"rhcard: {config}: line ") and "correct horse" not in done.err


def test_check_names_every_fault_with_its_line(config: Path) -> None:
    text = 'keys = 5\ncolour = 1\nlanguage = "zh"\n[card-profiles.a]\nbase = "b"\nfci = "c"\n'
    done = rhcard("config", "check", write(config, text))
    assert done.code == Exit.USAGE and done.err == f"rhcard: {config}: 5 errors\n"
    rows = [line.split()[:2] for line in done.out.splitlines()[4:] if line]
    assert rows == [
        ["1", "keys"], ["2", "colour"], ["3", "language"], ["5", "card-profiles.a.base"],
        ["6", "card-profiles.a.fci"],
    ]  # fmt: skip


def test_check_looks_for_what_the_values_name(config: Path) -> None:
    assert "there is no key store at" in faults(config, 'keys = "a.json"\n')["keys"][0]
    write(config.with_name("a.json"), "{}")
    assert faults(config, 'keys = "a.json"\n') == {}
    module = write(config.with_name("p11.so"), "")
    token = '[token]\nmodule = "p11.so"\nlabel = "a"\n'
    assert faults(config, token) == {}
    module.chmod(0o666)
    assert "and it would run as you" in faults(config, token)["token.module"][0]
    module.unlink()
    assert "there is no file" in faults(config, token)["token.module"][0]
    issuer = '[issuer]\nname = "{}"\ncode = "1"\n'
    assert faults(config, issuer.format("示例市")) == {}
    assert "too long" in faults(config, issuer.format("示" * 16))["issuer.name"][0]


def test_check_of_no_file_also_checks_the_environment(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value, words in (
        ("RHCARD_KYES", "a", "there is no such variable: did you mean RHCARD_KEYS?"),
        ("RHCARD_PROFILE", "field", "which lowers protection"),
        ("RHCARD_PROFILE", "none", "there is no such profile"),
        ("RHCARD_KEYS", "/no/keys.json", "there is no key store at /no/keys.json"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            done = rhcard("config", "check")
            assert done.code == Exit.USAGE
            assert f"rhcard: ${name}: " in done.err and words in done.err
            assert rhcard("config", "check", write(config, "")).code == 0
        config.unlink()
    assert rhcard("config", "check").code == 0


@pytest.mark.parametrize(("mode", "folder", "words"), [
    (0o664, 0o755, "others can write it, and whoever can write it chooses your keys and readers"),
    (0o646, 0o755, "Run: chmod go-w"),
    (0o644, 0o775, "others can put another file into its folder"),
    (0o644, 0o757, "others can put another file into its folder"),
])  # fmt: skip
def test_a_file_that_others_can_write_is_refused(
    config: Path, mode: int, folder: int, words: str
) -> None:
    write(config, WHOLE).chmod(mode)
    config.parent.chmod(folder)
    for command in (("config", "show"), ("config", "check"), ("read", "no.card")):
        done = rhcard(*command)
        assert done.code == Exit.USAGE and words in done.err
    config.chmod(0o644)
    config.parent.chmod(0o1777)
    assert rhcard("config", "show").code == 0


def test_a_file_of_another_user_is_refused(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(config, WHOLE)
    os.chown(config, os.geteuid(), -1)
    monkeypatch.setattr("personalize.cli.config_file.os.geteuid", lambda: 54321)
    if config.stat().st_uid == 0:
        assert rhcard("config", "show").code == 0
        os.chown(config, 12345, -1)
    done = rhcard("config", "show")
    assert done.code == Exit.USAGE and "it belongs to another user" in done.err


def test_a_link_is_followed_and_the_folder_behind_it_is_looked_at(
    config: Path, tmp_path: Path
) -> None:
    real = tmp_path / "dotfiles" / "rhcard.toml"
    real.parent.mkdir(mode=0o755)
    write(real, WHOLE)
    config.symlink_to(real)
    assert shown()["profile"][0] == "slow"
    real.parent.chmod(0o777)
    assert "others can put another file into its folder" in rhcard("config", "show").err


# --- its page -----------------------------------------------------------------------------


def test_the_examples_of_the_page_are_right(config: Path) -> None:
    examples = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)
    assert len(examples) >= 2
    for text in examples:
        file = read_config(write(config, text))
        assert file is not None and list(faults_of(file)) == []
