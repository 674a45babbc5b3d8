"""rhcard keys new: a store that opens with its passphrase, and never one over another."""

import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cardlib.crypto import Cipher
from cardlib.errors import CardKeyError
from cardlib.keys.store import KeyStore
from tests import ROOT
from tests.cards.cards import blank_card, personalized_card
from tests.programs.rhcard import PASSPHRASE, key_file, rhcard, saved


def test_a_new_store_opens_with_its_passphrase_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    done = rhcard("keys", "new", "--out", path, "--cipher", "aes")
    assert done.code == 0
    store = KeyStore.open(path, PASSPHRASE)
    assert store.identity in done.out
    assert (store.terminal_keys.cipher, store.terminal_keys.protocol) == (Cipher.AES, 2)
    assert not store.is_test
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(CardKeyError):
        KeyStore.open(path, "wrong")


def test_sm4_is_the_default_and_json_says_what_was_made(tmp_path: Path) -> None:
    done = rhcard("keys", "new", "--out", tmp_path / "k", "--json")
    assert done.json == {
        "keys": str(tmp_path / "k"),
        "identity": KeyStore.open(tmp_path / "k", PASSPHRASE).identity,
        "cipher": "sm4",
        "protocol": 2,
        "test_keys": False,
        "exit_code": 0,
    }


def test_test_keys_say_that_they_are_published(tmp_path: Path) -> None:
    done = rhcard("keys", "new", "--out", tmp_path / "k", "--test-keys")
    assert "These keys are published" in done.err
    assert KeyStore.open(tmp_path / "k", PASSPHRASE).is_test


def test_an_existing_file_is_not_overwritten_and_no_passphrase_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text("precious", "utf-8")
    done = rhcard("keys", "new", "--out", path, passphrase=None)
    assert (done.code, path.read_text("utf-8")) == (2, "precious")
    assert "not overwritten" in done.err


def test_a_passphrase_of_seven_characters_protects_no_store(tmp_path: Path) -> None:
    for passphrase, code in (("x", 9), ("seven 7", 9), ("eight  8", 0)):
        done = rhcard("keys", "new", "--out", tmp_path / "k", passphrase=passphrase)
        assert (done.code, (tmp_path / "k").exists()) == (code, code == 0)
        assert code == 0 or "use 8 characters or more" in done.err


def test_a_byte_order_mark_is_no_part_of_a_passphrase(tmp_path: Path) -> None:
    """Notepad puts one before the first line."""
    file, store = tmp_path / "passphrase.txt", key_file(tmp_path)
    file.write_bytes(b"\xef\xbb\xbf" + PASSPHRASE.encode() + b"\r\n")
    card = saved(personalized_card(), tmp_path / "one.card")
    words = ("read", card, "--keys", store, "--passphrase-file", file)
    assert "passphrase" not in rhcard(*words, passphrase=None).err


def test_without_a_terminal_the_passphrase_must_come_from_somewhere(tmp_path: Path) -> None:
    done = rhcard("keys", "new", "--out", tmp_path / "k", passphrase=None)
    assert done.code == 9
    assert "RHCARD_PASSPHRASE" in done.err
    assert not (tmp_path / "k").exists()


def test_a_passphrase_file_is_its_first_line(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes("密码 with blanks \r\nsecond line\n".encode())
    assert rhcard("keys", "new", "--out", tmp_path / "k", "--passphrase-file", secret).code == 0
    KeyStore.open(tmp_path / "k", "密码 with blanks ")


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe\n"])
def test_a_passphrase_file_that_holds_none_is_a_key_problem(
    tmp_path: Path, content: bytes | None
) -> None:
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_bytes(content)
    done = rhcard("keys", "new", "--out", tmp_path / "k", "--passphrase-file", secret)
    assert done.code == 9
    assert str(secret) in done.err


def test_a_wrong_passphrase_is_9_and_is_not_shown(tmp_path: Path) -> None:
    keys = key_file(tmp_path)
    card = saved(blank_card(), tmp_path / "x.card")
    done = rhcard("read", card, "--keys", keys, passphrase="hunter2hunter2")
    assert done.code == 9
    assert "hunter2" not in done.out + done.err


@pytest.mark.parametrize(
    ("second", "then"), [(PASSPHRASE, None), ("a slip", b"\x04")], ids=["alike", "different"]
)
def test_the_prompt_hides_the_passphrase_and_asks_twice(
    tmp_path: Path, second: str, then: bytes | None
) -> None:
    """On a terminal of its own. After two that differ it asks again, and we hang up."""
    master, slave = pty.openpty()
    path = tmp_path / "k"
    process = subprocess.Popen(
        [sys.executable, "-c", "from personalize.cli import main; main()", "keys", "new",
         "--out", str(path)],
        cwd=ROOT, env={k: v for k, v in os.environ.items() if k != "RHCARD_PASSPHRASE"},
        stdin=slave, stdout=subprocess.PIPE, stderr=slave, text=True, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    shown = until(master, "Passphrase for the new key store: ", PASSPHRASE)
    shown += until(master, "Repeat for confirmation: ", second)
    if then is not None:
        shown += until(master, "Passphrase for the new key store: ", "")
        os.write(master, then)
    out, _ = process.communicate(timeout=30)
    os.close(master)
    assert PASSPHRASE not in shown
    assert path.exists() is (then is None)
    assert process.returncode == (0 if then is None else 130)
    assert bool(out) is path.exists()


def until(terminal: int, prompt: str, answer: str) -> str:
    """Read what is shown up to a prompt, and answer it."""
    shown = ""
    while not shown.endswith(prompt):
        shown += os.read(terminal, 1000).decode()
    os.write(terminal, answer.encode() + b"\n" if answer else b"")
    return shown


@pytest.mark.parametrize("protocol", [1, 2])
def test_the_protocol_may_be_chosen(tmp_path: Path, protocol: int) -> None:
    made = rhcard("keys", "new", "--out", tmp_path / "k", "--protocol", protocol, "--json").json
    assert made["protocol"] == protocol
    opened = KeyStore.open(tmp_path / "k", PASSPHRASE)
    assert (opened.terminal_keys.protocol, opened.spec.text) == (protocol, f"{protocol}.0")
