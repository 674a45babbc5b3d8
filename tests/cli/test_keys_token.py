"""rhcard keys token, and rhcard keys new --token: what they print, make and refuse."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from cardlib.crypto import Cipher
from cardlib.keys.roots import public_test_roots
from cardlib.keys.token.token_holder import TokenHolder
from cardlib.keys.token.token_session import TokenSession
from cardlib.keys.token.token_version import KEY_NAMES, found_versions
from tests import ROOT
from tests.programs.rhcard import rhcard
from tests.programs.softhsm import MODULE, PIN, SoftHsm

NEW = ("keys", "new", "--cipher", "aes", "--module", MODULE)
SHOW = ("keys", "token", "--module", MODULE)


@pytest.fixture
def label(softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new token; its PIN is in the environment."""
    monkeypatch.setenv("RHCARD_TOKEN_PIN", PIN)
    monkeypatch.delenv("RHCARD_TOKEN_MODULE", raising=False)
    return softhsm.new_token()


def session(label: str) -> TokenSession:
    return TokenSession(MODULE, label, PIN)


def test_tokens_are_shown_with_what_they_are_good_for(
    label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RHCARD_TOKEN_PIN")
    (shown,) = [line for line in rhcard(*SHOW).out.splitlines() if f" {label} " in line]
    assert shown.split() == [label, "SoftHSM", "v2", "set", "yes", "no", "yes", "no"]
    (found,) = [e for e in rhcard(*SHOW, "--json").json["tokens"] if e["label"] == label]
    assert {name: found[name] for name in ("aes_roots", "sm4_roots", "cmac", "sp800_108")} == {
        "aes_roots": True, "sm4_roots": False, "cmac": True, "sp800_108": False,
    }  # fmt: skip
    assert found["missing"] == []
    assert {"AES_ECB", "AES_CMAC", "SHA256_HMAC"} < set(found["mechanisms"])


def test_the_module_may_be_in_the_environment(label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = rhcard("keys", "token")
    assert (done.code, "give --module FILE or set RHCARD_TOKEN_MODULE" in done.err) == (2, True)
    monkeypatch.setenv("RHCARD_TOKEN_MODULE", MODULE)
    assert f" {label} " in rhcard("keys", "token").out


def test_the_module_may_be_in_the_configuration(
    label: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "rhcard.toml"
    file.write_text(f'[token]\nmodule = "{MODULE}"\nlabel = "{label}"\n')
    monkeypatch.setenv("RHCARD_CONFIG", str(file))
    assert f" {label} " in rhcard("keys", "token").out


def test_a_module_that_others_can_write_is_not_loaded(label: str, tmp_path: Path) -> None:
    """It would run as us, and get the PIN."""
    module = tmp_path / "module.so"
    module.write_bytes(b"never loaded")
    module.chmod(0o666)
    done = rhcard("keys", "token", "--module", module, "--token", label)
    assert (done.code, f"others can write {module}" in done.err) == (9, True)


def test_keys_are_made_inside_and_listed(label: str) -> None:
    done = rhcard(*NEW, "--token", label)
    assert done.code == 0, done.err
    assert "Nobody has these keys outside the token" in done.err
    keys = TokenHolder(session(label), "main").newest
    assert f"{label}/main version 1  {keys.identity}" in done.out
    assert (keys.terminal_keys.protocol, keys.is_test) == (2, False)
    listed = rhcard(*SHOW, "--token", label, "--json").json
    (version,) = listed["versions"]
    assert (version["store"], version["version"], version["wrong_keys"]) == ("main", 1, [])
    assert version["identity"] == keys.identity
    assert version["check_values"].keys() == set(KEY_NAMES)
    assert (listed["unfinished_keys"], listed["removed_keys"], listed["exit_code"]) == (0, 0, 0)


def test_the_next_version_follows_and_a_retired_one_is_shown(label: str) -> None:
    assert rhcard(*NEW, "--token", label).code == 0
    second = rhcard(*NEW, "--token", label, "--json").json
    assert (second["version"], second["token"], second["cipher"]) == (2, label, "aes")
    assert rhcard(*NEW, "--token", label, "--store", "other", "--protocol", "1").code == 0
    TokenHolder(session(label), "main").retired(1).make()
    listed = rhcard(*SHOW, "--token", label, "--json").json["versions"]
    assert [(e["store"], e["version"], e["protocol"], e["retired"]) for e in listed] == [
        ("main", 1, 2, True), ("main", 2, 2, False), ("other", 1, 1, False),
    ]  # fmt: skip
    text = rhcard(*SHOW, "--token", label).out
    assert (text.count("retired"), text.count("in use")) == (1, 2)
    done = rhcard(*NEW, "--token", label, "--key-version", "1")
    assert (done.code, "holds version 2 of main already" in done.err) == (9, True)


def test_the_published_test_keys_can_be_put_in(label: str) -> None:
    done = rhcard(*NEW, "--token", label, "--test-keys")
    assert (done.code, "These keys are published" in done.err) == (0, True)
    keys = TokenHolder(session(label), "main").newest
    assert keys.identity == public_test_roots(2, Cipher.AES).identity
    assert keys.is_test


def test_sm4_is_refused_at_keys_new_and_no_pin_is_asked_for(
    label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RHCARD_TOKEN_PIN")
    for cipher in ((), ("--cipher", "sm4")):
        done = rhcard("keys", "new", "--token", label, "--module", MODULE, *cipher)
        assert (done.code, done.out) == (9, "")
        assert done.err == (
            "rhcard: PKCS#11 has no mechanism for SM4, so SM4 roots cannot be kept in a token."
            " Use a key store file for SM4, or AES roots (--cipher aes)\n"
        )


def test_a_wrong_key_is_named_and_is_9(label: str) -> None:
    assert rhcard(*NEW, "--token", label).code == 0
    opened = session(label)
    (version,) = found_versions(opened)
    opened.remove(frozenset({version.label("cvk")}))
    from cardlib.keys.token.pkcs11 import KeyTemplate

    opened.import_key(KeyTemplate(version.label("cvk"), encrypt=True), bytes(16))
    done = rhcard(*SHOW, "--token", label, "--json")
    assert (done.code, done.json["versions"][0]["wrong_keys"]) == (9, ["cvk"])
    text = rhcard(*SHOW, "--token", label)
    assert (text.code, "do not issue cards" in text.err) == (9, True)


def test_what_an_interrupted_command_left_is_said_and_removed_when_asked(label: str) -> None:
    from cardlib.keys.token.pkcs11 import KeyTemplate

    opened = session(label)
    opened.generate_key(KeyTemplate("rhcard/main/v1/cvk/0123abcd", encrypt=True))
    assert "Keys left by an interrupted command: 1" in rhcard(*SHOW, "--token", label).err
    done = rhcard(*SHOW, "--token", label, "--remove-unfinished", "--json").json
    assert (done["removed_keys"], done["unfinished_keys"]) == (1, 0)
    opened.generate_key(KeyTemplate("rhcard/main/v1/cvk/0123abcd", encrypt=True))
    made = rhcard(*NEW, "--token", label)
    assert (made.code, "now removed from the token: 1" in made.err) == (0, True)


def test_a_token_that_is_not_there_is_9_before_a_pin_is_asked_for(
    label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RHCARD_TOKEN_PIN")
    for words in (NEW, SHOW):
        done = rhcard(*words, "--token", "nobody")
        assert done.code == 9
        assert f"{MODULE} finds no token 'nobody'. Tokens that are there: " in done.err
        assert label in done.err


def test_a_module_that_cannot_be_loaded_is_9(tmp_path: Path) -> None:
    done = rhcard("keys", "token", "--module", tmp_path / "none.so")
    assert (done.code, "it cannot be loaded" in done.err) == (9, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("keys", "new"), "Missing option '--out' (a file) or '--token' (a token)."),
        (("keys", "new", "--out", "x", "--store", "a"), "--store is for --token"),
        (("keys", "new", "--out", "x", "--key-version", "2"), "--key-version is for --token"),
        (("keys", "new", "--out", "x", "--pin-file", "a"), "--pin-file is for --token"),
        (("keys", "new", "--out", "x", "--module", "a"), "--module is for --token"),
        (("keys", "new", "--token", "t", "--out", "x"), "--out is for a key store file"),
        (("keys", "new", "--token", "t", "--custodian", "x"), "--custodian is for a key store"),
        (("keys", "new", "--token", "t", "--register", "x"), "--register is for a key store file"),
        (
            ("keys", "new", "--token", "t", "--passphrase-file", "x"),
            "--passphrase-file is for a key store file",
        ),
        ((*SHOW, "--pin-file", "x"), "--pin-file is for --token"),
        ((*SHOW, "--remove-unfinished"), "--remove-unfinished is for --token"),
    ],
)
def test_an_option_that_would_have_no_effect_is_an_error(
    words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = rhcard(*words)
    assert (done.code, said in done.err, list(tmp_path.iterdir())) == (2, True, [])


# --- the PIN -----------------------------------------------------------------------------


def test_a_wrong_pin_is_9_and_is_not_shown(label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RHCARD_TOKEN_PIN", "hunter2hunter2")
    done = rhcard(*NEW, "--token", label)
    assert (done.code, done.out) == (9, "")
    assert f"token {label}: the PIN is wrong" in done.err
    assert "hunter2" not in done.err


def test_the_pin_may_be_in_a_file_that_only_its_owner_can_read(
    label: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RHCARD_TOKEN_PIN")
    file = tmp_path / "pin"
    file.write_text(PIN + "\n")
    file.chmod(0o644)
    done = rhcard(*SHOW, "--token", label, "--pin-file", file)
    assert (done.code, f"Run chmod 600 {file}" in done.err) == (9, True)
    file.chmod(0o600)
    assert rhcard(*SHOW, "--token", label, "--pin-file", file).code == 0


def test_without_a_terminal_the_pin_must_come_from_somewhere(
    label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RHCARD_TOKEN_PIN")
    done = rhcard(*NEW, "--token", label)
    assert (done.code, "set RHCARD_TOKEN_PIN or give --pin-file FILE" in done.err) == (9, True)


def test_the_prompt_hides_the_pin(label: str, softhsm: SoftHsm) -> None:
    master, slave = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **softhsm.environment}
    environment.pop("RHCARD_TOKEN_PIN")
    process = subprocess.Popen(
        [sys.executable, "-c", "from personalize.cli import main; main()",
         *SHOW, "--token", label],
        stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    seen = b""
    while b"PIN of token" not in seen:
        seen += os.read(master, 1024)
    os.write(master, PIN.encode() + b"\n")
    while True:
        try:
            part = os.read(master, 1024)
        except OSError:
            break
        if not part:
            break
        seen += part
    os.close(master)
    assert process.wait(20) == 0, seen
    assert PIN.encode() not in seen
