"""The key store's file: what opens it, what does not, and what it never does."""

import hashlib
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from cardlib.crypto import Cipher, key_check_value
from cardlib.errors import CardKeyError
from cardlib.keys import store
from cardlib.keys.roots import new_roots, public_test_roots
from cardlib.keys.store import KeyStore
from tests.programs import openssl

CHIP, REGION = bytes.fromhex("5248430000000001"), b"41000000"
PASSPHRASE = "correct horse 电池"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest scrypt that a store may have: what is tested is not how slow it is."""
    monkeypatch.setitem(store.SCRYPT, "n", 2**10)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bureau.keys"


def changed(path: Path, **members: Any) -> None:
    """Rewrite the file with some members replaced; `kdf` members inside `kdf`."""
    entry = json.loads(path.read_bytes())
    for name, value in members.items():
        (entry["kdf"] if name in entry["kdf"] else entry)[name] = value
    path.write_text(json.dumps(entry))


def test_what_was_created_opens_again(path: Path) -> None:
    created = KeyStore.create(path, PASSPHRASE)
    opened = KeyStore.open(path, PASSPHRASE)
    assert opened.identity == created.identity
    one, two = (s.card_keys.for_card(CHIP, REGION) for s in (created, opened))
    assert one.key_check_value("RK1_DF01") == two.key_check_value("RK1_DF01")
    assert opened.transport_keys(CHIP).key_check_values == (
        created.transport_keys(CHIP).key_check_values
    )
    assert not opened.is_test


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize("protocol", [1, 2])
def test_protocol_and_cipher_are_kept(path: Path, protocol: int, cipher: Cipher) -> None:
    KeyStore.create(path, PASSPHRASE, protocol=protocol, cipher=cipher)
    keys = KeyStore.open(path, PASSPHRASE).card_keys
    assert (keys.protocol, keys.cipher, keys.version) == (protocol, cipher, 1)


def test_the_defaults_of_scrypt_are_the_ones_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert store.SCRYPT == {"n": 2**17, "r": 8, "p": 1}


def test_the_file_is_for_its_owner_and_holds_no_key_in_clear(path: Path) -> None:
    KeyStore.create(path, PASSPHRASE, test=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    roots = public_test_roots()
    text = path.read_bytes().lower()
    for key in (*roots.card.values(), roots.transport, roots.issuer, roots.cvk, roots.secret):
        assert key not in text and key.hex().encode() not in text
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_two_files_of_the_same_keys_share_nothing(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    first = KeyStore.create(one, PASSPHRASE, test=True)
    second = KeyStore.create(two, PASSPHRASE, test=True)
    assert first.identity == second.identity
    a, b = (json.loads(path.read_bytes()) for path in (one, two))
    assert a["sealed"] != b["sealed"] and a["nonce"] != b["nonce"]
    assert a["kdf"]["salt"] != b["kdf"]["salt"]


def test_a_file_that_exists_is_never_overwritten(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(CardKeyError, match="not overwritten"):
        KeyStore.create(path, PASSPHRASE)
    assert path.read_text() == "precious"
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CardKeyError, match="No such file"):
        KeyStore.create(tmp_path / "none" / "bureau.keys", PASSPHRASE)
    with pytest.raises(CardKeyError, match="No such file"):
        KeyStore.open(tmp_path / "none", PASSPHRASE)


@pytest.mark.parametrize("wrong", ["", "correct horse", "correct horse 电池 "])
def test_a_wrong_passphrase_opens_nothing(path: Path, wrong: str) -> None:
    KeyStore.create(path, PASSPHRASE)
    with pytest.raises(CardKeyError, match="passphrase"):
        KeyStore.open(path, wrong)


def test_an_empty_passphrase_makes_no_store(path: Path) -> None:
    with pytest.raises(CardKeyError, match="empty"):
        KeyStore.create(path, "")
    assert not path.exists()


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", "x" * 100_000, "[" * 60_000,
                                     '{"format": "rhcard key store 1"}', "\0\xff"])  # fmt: skip
def test_what_is_no_key_store_is_said(path: Path, content: str) -> None:
    path.write_text(content, encoding="latin-1")
    with pytest.raises(CardKeyError, match="not a key store"):
        KeyStore.open(path, PASSPHRASE)


@pytest.mark.parametrize("members", [
    {"n": 2**11}, {"r": 4}, {"p": 2}, {"salt": "00" * 16}, {"nonce": "00" * 12},
    {"cipher": "none"}, {"format": "rhcard key store 2"}, {"note": "added"}, {"sealed": "00" * 99},
])  # fmt: skip
def test_every_member_of_the_file_is_authenticated(path: Path, members: dict[str, Any]) -> None:
    KeyStore.create(path, PASSPHRASE)
    changed(path, **members)
    with pytest.raises(CardKeyError):
        KeyStore.open(path, PASSPHRASE)


def test_every_bit_of_the_sealed_part_counts(path: Path) -> None:
    KeyStore.create(path, PASSPHRASE)
    sealed = json.loads(path.read_bytes())["sealed"]
    for position in (0, len(sealed) // 2, len(sealed) - 1):
        flipped = f"{int(sealed[position], 16) ^ 1:x}"
        changed(path, sealed=sealed[:position] + flipped + sealed[position + 1 :])
        with pytest.raises(CardKeyError, match="damaged"):
            KeyStore.open(path, PASSPHRASE)


@pytest.mark.parametrize("members", [
    {"n": 2**30}, {"r": 2**20}, {"p": 10**6}, {"n": 1000}, {"n": 2}, {"n": -1024}, {"r": 0},
    {"p": 0}, {"n": "x"}, {"n": 2**10 + 0.5}, {"salt": 5}, {"n": None},
])  # fmt: skip
def test_work_that_a_file_may_ask_for_has_limits(
    path: Path, members: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    KeyStore.create(path, PASSPHRASE)
    changed(path, **members)

    def scrypt(*arguments: Any, n: int, **options: Any) -> bytes:
        assert n == 2**10 and members == {"n": 2**10 + 0.5}
        return bytes(32)

    monkeypatch.setattr(hashlib, "scrypt", scrypt)
    with pytest.raises(CardKeyError):
        KeyStore.open(path, PASSPHRASE)


def test_a_test_store_says_so(path: Path) -> None:
    created = KeyStore.create(path, PASSPHRASE, test=True)
    assert created.is_test and KeyStore.open(path, PASSPHRASE).is_test
    assert "public test keys" in repr(created)


def test_transport_keys_are_version_ff_and_issuer_keys_01() -> None:
    keys = KeyStore(new_roots())
    assert keys.transport_keys(CHIP).key_version == 0xFF
    assert keys.issuer_keys(CHIP).key_version == 0x01
    assert keys.transport_keys(CHIP).key_check_values != keys.issuer_keys(CHIP).key_check_values


def test_blank_keys_are_the_transport_keys() -> None:
    keys = KeyStore(public_test_roots())
    values = tuple(key_check_value(Cipher.AES, key) for key in keys.blank_keys(CHIP))
    assert values == keys.transport_keys(CHIP).key_check_values


@pytest.mark.parametrize("cipher", Cipher)
def test_the_security_code_is_as_the_specification_says(cipher: Cipher) -> None:
    roots = public_test_roots(1, cipher)
    number, date = b"110101199001011237", bytes.fromhex("20250102")
    digest = hashlib.sha256(number + date).digest()[:16]
    sealed = openssl.ecb(cipher.name, roots.cvk, digest)
    code = KeyStore(roots).security_code(number, date)
    assert code == f"{int.from_bytes(sealed, 'big') % 1000:03}" and len(code) == 3
    for lengths in ((17, 4), (18, 5)):
        with pytest.raises(CardKeyError):
            KeyStore(roots).security_code(*(bytes(length) for length in lengths))


def test_sealing_keys_differ_by_purpose_and_store() -> None:
    one, two = KeyStore(new_roots()), KeyStore(new_roots())
    keys = {s.sealing_key(p) for s in (one, two) for p in ("batch", "pin")}
    assert len(keys) == 4 and {len(key) for key in keys} == {32}
    assert one.sealing_key("pin") == one.sealing_key("pin")
    with pytest.raises(CardKeyError):
        one.sealing_key("journal")


def test_the_identity_names_the_content_and_gives_nothing_away() -> None:
    roots = new_roots()
    one = KeyStore(roots)
    assert one.identity == KeyStore(roots).identity
    assert one.identity != KeyStore(new_roots()).identity
    assert len(bytes.fromhex(one.identity)) == 16
    assert KeyStore(public_test_roots(1, Cipher.SM4)).identity != (
        KeyStore(public_test_roots(1, Cipher.AES)).identity
    )


def test_a_store_shows_no_key() -> None:
    roots = new_roots()
    keys = KeyStore(roots)
    shown = " ".join(map(repr, (keys, keys.card_keys, keys.issuer_keys(CHIP), vars(keys)))).lower()
    for key in (*roots.card.values(), roots.transport, roots.issuer, roots.cvk, roots.secret):
        assert key.hex() not in shown
