"""The key store's file: what opens it, what does not, and what it never does."""

import hashlib
import json
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from cardlib.crypto import Cipher
from cardlib.errors import CardKeyError
from cardlib.keys.roots import Roots, new_roots, next_roots, public_test_roots
from cardlib.keys.store import KeyStore, passphrase
from cardlib.keys.store.store_file import (
    create,
    kept_beside,
    open_with_passphrase,
    read_header,
)
from cardlib.keys.store.store_header import DamagedStore, NewerStore
from cardlib.keys.store.store_seal import WrongPassphrase, header_of, new_store, sealed_file
from tests import ROOT

CHIP, REGION = bytes.fromhex("5248430000000001"), b"41000000"
PASSPHRASE = "correct horse 电池"
FORMAT_1 = Path(__file__).parent / "key_store_format_1.json"
"""Made by `KeyStore.create(…, PASSPHRASE, test=True)` of release 0.5, with its scrypt of 2**17."""
ROOTS = new_roots()
PEOPLE = {name: X25519PrivateKey.generate() for name in ("anna", "bruno", "chen")}
CUSTODIANS = [(name, key.public_key().public_bytes_raw()) for name, key in PEOPLE.items()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bureau.keys"


def checksummed(entry: dict[str, Any]) -> bytes:
    """The file of changed members, with the checksum that somebody puts in who knows how."""
    rest = {name: value for name, value in entry.items() if name != "checksum"}
    plain = json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()
    return json.dumps({**rest, "checksum": hashlib.sha256(plain).hexdigest()}).encode()


def changed(path: Path, **members: Any) -> None:
    """Change members of the file on purpose; those of the scrypt parameters there."""
    entry = json.loads(path.read_bytes())
    kdf = entry["wraps"][0].get("kdf", {})
    for name, value in members.items():
        (kdf if name in kdf else entry)[name] = value
    path.write_bytes(checksummed(entry))


# --- made and opened ---------------------------------------------------------------------


def test_what_was_created_opens_again(path: Path) -> None:
    created = create(path, ROOTS, passphrase=PASSPHRASE).newest
    opened = open_with_passphrase(path, PASSPHRASE).newest
    assert opened.identity == created.identity == KeyStore(ROOTS).identity
    one, two = (s.terminal_keys.for_card(CHIP, REGION) for s in (created, opened))
    assert one.key_check_value("RK1_DF01") == two.key_check_value("RK1_DF01")
    assert opened.transport_keys(CHIP).key_check_values == (
        created.transport_keys(CHIP).key_check_values
    )
    assert not opened.is_test


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize("protocol", [1, 2])
def test_protocol_and_cipher_are_kept(path: Path, protocol: int, cipher: Cipher) -> None:
    KeyStore.create(path, PASSPHRASE, protocol=protocol, cipher=cipher)
    keys = KeyStore.open(path, PASSPHRASE).terminal_keys
    assert (keys.protocol, keys.cipher, keys.version) == (protocol, cipher, 1)
    store = open_with_passphrase(path, PASSPHRASE)
    assert (store.protocol, store.cipher) == (protocol, cipher)


def test_the_defaults_of_scrypt_are_the_ones_decided() -> None:
    """In a process of its own: this one has the scrypt of tests."""
    code = "from cardlib.keys.store import passphrase; print(passphrase.SCRYPT)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "{'n': 131072, 'r': 8, 'p': 1}\n"


@pytest.mark.parametrize("weaker", [{"n": 2**10}, {"n": 2**16}, {"r": 4}])
def test_a_store_whose_passphrase_is_easier_to_guess_is_not_opened(
    path: Path, monkeypatch: pytest.MonkeyPatch, weaker: dict[str, int]
) -> None:
    with monkeypatch.context() as patch:
        for name, value in weaker.items():
            patch.setitem(passphrase.SCRYPT, name, value)
        create(path, ROOTS, passphrase=PASSPHRASE)
    monkeypatch.setitem(passphrase.SCRYPT, "n", 2**17)
    with pytest.raises(CardKeyError, match=r"too weakly.*n = 131072"):
        open_with_passphrase(path, PASSPHRASE)


def test_a_file_of_before_opens_and_keeps_its_identity() -> None:
    assert read_header(FORMAT_1).format == 1
    store = open_with_passphrase(FORMAT_1, PASSPHRASE)
    assert store.newest.identity == "5e3a9afa8a51e00e5d4af557daf87d11"
    assert store.roots(1) == public_test_roots() and store.is_test
    with pytest.raises(CardKeyError, match="wrong passphrase, or damaged"):
        open_with_passphrase(FORMAT_1, "wrong")


def test_a_file_of_before_is_written_in_the_new_format_when_it_is_changed(path: Path) -> None:
    path.write_bytes(FORMAT_1.read_bytes())
    store = open_with_passphrase(path, PASSPHRASE)
    store.with_version(next_roots(store.roots(1))).replace(path)
    assert kept_beside(path).read_bytes() == FORMAT_1.read_bytes()
    again = open_with_passphrase(path, PASSPHRASE)
    assert list(again.versions) == [1, 2] and read_header(path).format == 2
    assert again.versions[1].identity == "5e3a9afa8a51e00e5d4af557daf87d11"


# --- the file ----------------------------------------------------------------------------


@pytest.mark.parametrize("opener", [{"passphrase": PASSPHRASE}, {"custodians": CUSTODIANS}])
def test_the_file_is_for_its_owner_and_holds_no_key_in_clear(
    path: Path, opener: dict[str, Any]
) -> None:
    roots = public_test_roots()
    store = create(path, roots, **opener)
    store.with_version(next_roots(roots)).replace(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_bytes().lower()
    for each in store.versions:
        roots = store.roots(each)
        for key in (*roots.card.values(), roots.transport, roots.issuer, roots.cvk, roots.secret):
            assert key not in text and key.hex().encode() not in text
    assert {file.name for file in path.parent.iterdir()} == {path.name, f"{path.name}.old"}


def test_two_files_of_the_same_keys_share_nothing(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    first = KeyStore.create(one, PASSPHRASE, test=True)
    second = KeyStore.create(two, PASSPHRASE, test=True)
    assert first.identity == second.identity
    a, b = (json.loads(path.read_bytes()) for path in (one, two))
    for name in ("sealed", "nonce", "store"):
        assert a[name] != b[name]
    for name in ("nonce", "wrapped", "check", "kdf"):
        assert a["wraps"][0][name] != b["wraps"][0][name]


def test_each_writing_has_a_new_nonce(path: Path) -> None:
    store = create(path, ROOTS, passphrase=PASSPHRASE)
    nonces = {json.loads(path.read_bytes())["nonce"]}
    for _ in range(3):
        store.replace(path)
        nonces.add(json.loads(path.read_bytes())["nonce"])
    assert len(nonces) == 4


def test_a_file_that_exists_is_never_overwritten(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(CardKeyError, match="not overwritten"):
        create(path, ROOTS, passphrase=PASSPHRASE)
    assert path.read_text() == "precious"
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CardKeyError, match="No such file"):
        create(tmp_path / "none" / "bureau.keys", ROOTS, passphrase=PASSPHRASE)
    for reading in (read_header, lambda path: open_with_passphrase(path, PASSPHRASE)):
        with pytest.raises(CardKeyError, match="No such file"):
            reading(tmp_path / "none")


@pytest.mark.parametrize("wrong", ["correct horse", "correct horse 电池 ", "x"])
def test_a_wrong_passphrase_opens_nothing_and_is_no_damage(path: Path, wrong: str) -> None:
    create(path, ROOTS, passphrase=PASSPHRASE)
    with pytest.raises(WrongPassphrase, match=r"wrong passphrase\. The file itself is not damaged"):
        open_with_passphrase(path, wrong)
    with pytest.raises(CardKeyError, match="the passphrase is empty"):
        open_with_passphrase(path, "")


def test_a_store_has_a_passphrase_or_custodians(path: Path) -> None:
    for opener in ({}, {"passphrase": PASSPHRASE, "custodians": CUSTODIANS}, {"passphrase": ""}):
        with pytest.raises(CardKeyError):
            create(path, ROOTS, **opener)
        assert not path.exists()


# --- damage ------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", "[" * 60_000, "\0\xff", "1",
                                     '{"format": "rhcard key store 1"}', '{"format": 1}',
                                     '{"format": "rhcard key store 2"}'])  # fmt: skip
def test_what_is_no_key_store_is_said(path: Path, content: str) -> None:
    path.write_text(content, encoding="latin-1")
    with pytest.raises(DamagedStore, match="not a key store"):
        open_with_passphrase(path, PASSPHRASE)


def test_a_file_that_is_too_large_is_said(path: Path) -> None:
    path.write_text("x" * 300_000)
    with pytest.raises(CardKeyError, match="too large: 262,144 bytes are the most"):
        open_with_passphrase(path, PASSPHRASE)


def test_a_newer_format_is_said_and_a_bit_error_is_not_taken_for_one(path: Path) -> None:
    create(path, ROOTS, passphrase=PASSPHRASE)
    raw = path.read_bytes()
    changed(path, format="rhcard key store 3", more=["something"])
    with pytest.raises(NewerStore, match="has format 3, and this rhcard knows 1 and 2"):
        read_header(path)
    path.write_bytes(raw.replace(b"key store 2", b"key store 3"))
    with pytest.raises(DamagedStore):
        read_header(path)


@pytest.mark.parametrize("opener", [{"passphrase": PASSPHRASE}, {"custodians": CUSTODIANS}])
def test_damage_of_any_byte_is_told_without_a_passphrase(opener: dict[str, Any]) -> None:
    """Every byte, one bit flipped: the file is damaged, or the byte was only white space."""
    raw = sealed_file(new_store(ROOTS, **opener))
    whole = header_of(raw, "it")
    for position in range(len(raw)):
        flipped = bytearray(raw)
        flipped[position] ^= 1 << position % 8
        with suppress(DamagedStore):
            assert header_of(bytes(flipped), "it") == whole
            assert raw[position : position + 1].isspace()


@pytest.mark.parametrize("share_left", [0.0, 0.01, 0.3, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_off_is_damaged(path: Path, share_left: float) -> None:
    create(path, ROOTS, passphrase=PASSPHRASE)
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share_left)])
    for passphrase_ in (PASSPHRASE, "wrong"):
        with pytest.raises(DamagedStore):
            open_with_passphrase(path, passphrase_)


@pytest.mark.parametrize("members", [
    {"created": None}, {"created": "2020-01-01T00:00:00Z"}, {"protocol": 1}, {"cipher": "AES"},
    {"nonce": "00" * 12}, {"sealed": "00" * 99}, {"versions": []}, {"note": "added"},
])  # fmt: skip
def test_every_member_of_the_file_is_authenticated(path: Path, members: dict[str, Any]) -> None:
    create(path, ROOTS, passphrase=PASSPHRASE)
    changed(path, **members)
    with pytest.raises(DamagedStore):
        open_with_passphrase(path, PASSPHRASE)


@pytest.mark.parametrize("change", [
    lambda entry: entry["versions"][0].update(identity="00" * 16),
    lambda entry: entry["versions"][0].update(retired=True),
    lambda entry: entry["versions"][0]["check_values"].update(cvk="000000"),
    lambda entry: entry["wraps"][0].update(wrapped="00" * 48),
    lambda entry: entry["wraps"][0].update(nonce="00" * 12),
    lambda entry: entry["wraps"].append(entry["wraps"][0]),
    lambda entry: entry.update(sealed=f"{int(entry['sealed'], 16) ^ 1:0{len(entry['sealed'])}x}"),
])  # fmt: skip
def test_a_change_on_purpose_is_found_when_the_store_is_opened(
    path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    create(path, ROOTS, passphrase=PASSPHRASE)
    entry = json.loads(path.read_bytes())
    change(entry)
    path.write_bytes(checksummed(entry))
    with pytest.raises(DamagedStore):
        open_with_passphrase(path, PASSPHRASE)


@pytest.mark.parametrize("members", [
    {"n": 2**30}, {"r": 2**20}, {"p": 10**6}, {"n": 1000}, {"n": 2}, {"n": -1024}, {"r": 0},
    {"p": 0}, {"n": "x"}, {"n": 2**10 + 0.5}, {"salt": 5}, {"n": None}, {"name": "pbkdf2"},
])  # fmt: skip
def test_work_that_a_file_may_ask_for_has_limits(
    path: Path, members: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    create(path, ROOTS, passphrase=PASSPHRASE)
    changed(path, **members)

    def scrypt(*arguments: Any, **options: Any) -> bytes:
        raise AssertionError("scrypt was called")

    monkeypatch.setattr(hashlib, "scrypt", scrypt)
    with pytest.raises(CardKeyError):
        open_with_passphrase(path, PASSPHRASE)


# --- test keys ---------------------------------------------------------------------------


def test_a_test_store_says_so(path: Path) -> None:
    created = KeyStore.create(path, PASSPHRASE, test=True)
    assert created.is_test and open_with_passphrase(path, PASSPHRASE).is_test
    assert "published test keys" in repr(created)


def test_a_published_transport_root_beside_own_roots_is_refused(path: Path) -> None:
    def with_public_transport(roots: Roots) -> Roots:
        return replace(roots, transport=public_test_roots().transport)

    with pytest.raises(CardKeyError, match="published transport root and other roots of its own"):
        create(path, with_public_transport(ROOTS), passphrase=PASSPHRASE)
    assert not path.exists()
    store = create(path, ROOTS, passphrase=PASSPHRASE)
    with pytest.raises(CardKeyError, match="published"):
        store.with_version(with_public_transport(next_roots(ROOTS)))
