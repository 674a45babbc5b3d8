"""The key store's file: what opens it, what does not, and what it never does."""

import hashlib
import hmac
import json
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from cardlib.crypto import Cipher, key_check_value
from cardlib.errors import CardKeyError, FormatError
from cardlib.keys import Purpose, RootKeys, store
from cardlib.keys.roots import new_roots, public_test_roots
from cardlib.keys.store import KeyStore
from tests import ROOT
from tests.programs import openssl

CHIP, REGION = bytes.fromhex("5248430000000001"), b"41000000"
PASSPHRASE = "correct horse 电池"
SEALERS = KeyStore(new_roots()), KeyStore(new_roots())


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


def test_the_defaults_of_scrypt_are_the_ones_decided() -> None:
    """In a process of its own: this one has the scrypt of tests."""
    code = "from cardlib.keys import store; print(store.SCRYPT)"
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
            patch.setitem(store.SCRYPT, name, value)
        KeyStore.create(path, PASSPHRASE)
    monkeypatch.setitem(store.SCRYPT, "n", 2**17)
    with pytest.raises(CardKeyError, match=r"too weakly.*n = 131072"):
        KeyStore.open(path, PASSPHRASE)


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


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", "[" * 60_000,
                                     '{"format": "rhcard key store 1"}', "\0\xff"])  # fmt: skip
def test_what_is_no_key_store_is_said(path: Path, content: str) -> None:
    path.write_text(content, encoding="latin-1")
    with pytest.raises(CardKeyError, match="not a key store"):
        KeyStore.open(path, PASSPHRASE)


def test_a_file_that_is_too_large_is_said(path: Path) -> None:
    path.write_text("x" * 100_000)
    with pytest.raises(CardKeyError, match="too large: 65,536 bytes are the most"):
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
    assert "published test keys" in repr(created)


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
    code = KeyStore(roots).security_code("110101199001011237", "20250102")
    assert code == f"{int.from_bytes(sealed, 'big') % 1000:03}" and len(code) == 3
    for number_text, date_text in (("1" * 19, "20250102"), ("1", "2025010")):
        with pytest.raises(FormatError):
            KeyStore(roots).security_code(number_text, date_text)
    short = hashlib.sha256(b"E65381318" + bytes(9) + date).digest()[:16]
    expected = int.from_bytes(openssl.ecb(cipher.name, roots.cvk, short), "big") % 1000
    assert KeyStore(roots).security_code("E65381318", "20250102") == f"{expected:03}"


@given(st.sampled_from(Purpose), st.binary(max_size=100), st.binary(max_size=100))
def test_what_is_sealed_comes_back_for_its_purpose_alone(
    purpose: Purpose, data: bytes, bound: bytes
) -> None:
    one, two = SEALERS
    sealed = one.seal(purpose, data, bound)
    assert len(sealed) == 12 + len(data) + 16
    assert one.unseal(purpose, sealed, bound) == data
    other = next(each for each in Purpose if each is not purpose)
    for keys, use, raw, place in (
        (two, purpose, sealed, bound),
        (one, other, sealed, bound),
        (one, purpose, sealed, bound + b"1"),
        (one, purpose, sealed[:-1] + bytes((sealed[-1] ^ 1,)), bound),
        (one, purpose, bytes((sealed[0] ^ 1,)) + sealed[1:], bound),
        (one, purpose, sealed[:-1], bound),
        (one, purpose, sealed[:27], bound),
        (one, purpose, b"", bound),
    ):
        with pytest.raises(CardKeyError, match="not sealed for this"):
            keys.unseal(use, raw, place)


def test_a_sealed_text_never_looks_the_same_twice() -> None:
    assert len({SEALERS[0].seal(Purpose.PIN, b"135790", b"") for _ in range(100)}) == 100


def test_sealing_is_aes_256_gcm_under_a_key_derived_for_the_purpose() -> None:
    """HKDF (RFC 5869) and the mode by the words of the standards, from outside the store."""
    roots = public_test_roots()
    extracted = hmac.digest(b"rhcard key store", roots.secret, "sha256")
    key = hmac.digest(extracted, b"sealing batch" + b"\x01", "sha256")
    sealed = KeyStore(roots).seal(Purpose.BATCH, b"data", b"bound")
    assert AESGCM(key).decrypt(sealed[:12], sealed[12:], b"bound") == b"data"


def test_a_holder_is_told_again_by_the_same_keys_alone() -> None:
    roots = public_test_roots()
    extracted = hmac.digest(b"rhcard key store", roots.secret, "sha256")
    key = hmac.digest(extracted, b"holders" + b"\x01", "sha256")
    keys = KeyStore(roots)
    assert keys.holder_hash("E65381318") == hmac.digest(key, b"E65381318", "sha256")
    assert keys.holder_hash("E65381318") != KeyStore(new_roots()).holder_hash("E65381318")


def test_the_identity_names_the_content_and_gives_nothing_away() -> None:
    roots = new_roots()
    one = KeyStore(roots)
    assert one.identity == KeyStore(roots).identity
    assert one.identity != KeyStore(new_roots()).identity
    assert len(bytes.fromhex(one.identity)) == 16
    assert KeyStore(public_test_roots(1, Cipher.SM4)).identity != (
        KeyStore(public_test_roots(1, Cipher.AES)).identity
    )


def test_a_store_is_an_issuer_and_shows_it_no_key_of_blanks() -> None:
    issuer: RootKeys = KeyStore(new_roots(1))
    assert (issuer.spec.text, issuer.key_version, issuer.cipher) == ("1.0", 1, Cipher.SM4)
    assert issuer.terminal_keys.version == issuer.key_version
    assert not hasattr(RootKeys, "blank_keys")


def test_a_new_version_of_the_roots_has_another_identity() -> None:
    roots = new_roots()
    assert KeyStore(replace(roots, version=2)).identity != KeyStore(roots).identity


def test_a_store_shows_no_key() -> None:
    roots = new_roots()
    keys = KeyStore(roots)
    shown = " ".join(
        map(repr, (keys, keys.terminal_keys, keys.issuer_keys(CHIP), vars(keys)))
    ).lower()
    for key in (*roots.card.values(), roots.transport, roots.issuer, roots.cvk, roots.secret):
        assert key.hex() not in shown
