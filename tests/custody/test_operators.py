"""Operators: standard keys from one seed, a private file that only a passphrase opens."""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from cardlib.errors import CardKeyError
from personalize.custody.operators import Operator, new_operator, open_operator, public_record
from personalize.custody.register import OperatorRegister, read_register, write_register
from personalize.custody.roles import Role
from tests import DATA
from tests.custody.people import DAY, files, person, register

ANN, BOB = person("ann"), person("bob", Role.AUDITOR)
VECTORS = json.loads((DATA.parent / "vectors" / "custody.json").read_text())


def by_hand(raw: bytes, passphrase: str) -> bytes:
    """The seed of an operator's file, opened as the documentation says, without our code."""
    entry = json.loads(raw)
    kdf, sealed = entry["kdf"], bytes.fromhex(entry.pop("sealed"))
    secret = hashlib.scrypt(
        passphrase.encode(), salt=bytes.fromhex(kdf["salt"]), n=kdf["n"], r=kdf["r"], p=kdf["p"],
        dklen=32, maxmem=2**28,
    )  # fmt: skip
    both = HKDF(SHA256(), 48, b"rhcard operator", b"passphrase").derive(secret)
    assert both[32:].hex() == entry["check"]
    bound = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()
    return AESGCM(both[:32]).decrypt(bytes.fromhex(entry["nonce"]), sealed, bound)


@pytest.mark.parametrize("vector", VECTORS["ed25519"]["vectors"])
def test_signatures_are_those_of_rfc_8032(vector: dict[str, str]) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(vector["secret"]))
    message, public = bytes.fromhex(vector["message"]), key.public_key().public_bytes_raw()
    assert (public.hex(), key.sign(message).hex()) == (vector["public"], vector["signature"])
    operator = replace(ANN.key.operator, signing=public)
    operator.verify(bytes.fromhex(vector["signature"]), message)
    with pytest.raises(CardKeyError):
        operator.verify(bytes.fromhex(vector["signature"]), message + b"x")


def test_agreements_are_those_of_rfc_7748() -> None:
    vector = VECTORS["x25519"]["vectors"][0]
    alice = X25519PrivateKey.from_private_bytes(bytes.fromhex(vector["alice"]))
    key = replace(ANN.key, _wrapping=alice)
    assert key.exchange(bytes.fromhex(vector["bob_public"])).hex() == vector["shared"]


@pytest.mark.parametrize("vector", VECTORS["hkdf"]["vectors"])
def test_derivations_are_those_of_rfc_5869(vector: dict[str, Any]) -> None:
    salt, info = bytes.fromhex(vector["salt"]), bytes.fromhex(vector["info"])
    derived = HKDF(SHA256(), vector["length"], salt, info).derive(bytes.fromhex(vector["ikm"]))
    assert derived.hex() == vector["okm"]


def test_a_file_opens_by_its_documented_form_and_gives_the_public_keys() -> None:
    seed = by_hand(ANN.file, ANN.passphrase)
    signing, wrapping = (
        HKDF(SHA256(), 32, b"rhcard operator", info).derive(seed) for info in (b"sign", b"wrap")
    )
    record = ANN.key.operator
    ours = Ed25519PrivateKey.from_private_bytes(signing).public_key().public_bytes_raw()
    theirs = X25519PrivateKey.from_private_bytes(wrapping).public_key().public_bytes_raw()
    assert (len(seed), ours, theirs) == (32, record.signing, record.wrapping)


def test_what_was_made_opens_again_and_signs_alike() -> None:
    opened = open_operator(ANN.file, ANN.passphrase, "ann")
    assert opened.operator == ANN.key.operator == public_record(ANN.file, "ann")
    assert opened.sign(b"x") == ANN.key.sign(b"x")
    opened.operator.verify(opened.sign(b"x"), b"x")


def test_two_people_of_one_name_and_passphrase_have_different_keys() -> None:
    one, two = (new_operator("dan", [Role.STATION], "passphrase", DAY) for _ in range(2))
    assert one[0].operator.signing != two[0].operator.signing
    assert json.loads(one[1])["kdf"]["salt"] != json.loads(two[1])["kdf"]["salt"]


def test_a_wrong_passphrase_is_told_from_damage() -> None:
    with pytest.raises(CardKeyError, match=r"ann\.json: this is not the passphrase of ann"):
        open_operator(ANN.file, "wrong", "ann.json")
    with pytest.raises(CardKeyError, match="is empty"):
        open_operator(ANN.file, "", "ann.json")


@pytest.mark.parametrize("member", ["name", "roles", "sign_key", "wrap_key", "created", "retired"])
def test_a_record_that_was_changed_does_not_open(member: str) -> None:
    entry = json.loads(ANN.file)
    changed = {"name": "eve", "roles": ["auditor"], "created": "2020-01-01"}
    entry["operator"][member] = changed.get(member, "00" * 32 if member != "retired" else None)
    if member == "retired":
        entry["operator"][member] = "2026-01-01"
    with pytest.raises(CardKeyError, match="damaged"):
        open_operator(json.dumps(entry).encode(), ANN.passphrase, "ann.json")


@given(st.integers(0, len(ANN.file) - 1), st.integers(0, 255))
def test_no_changed_byte_opens_as_something_else(place: int, value: int) -> None:
    raw = bytearray(ANN.file)
    raw[place] = value
    try:
        opened = open_operator(bytes(raw), ANN.passphrase, "ann.json")
    except CardKeyError:
        return
    assert opened.operator == ANN.key.operator


@given(st.binary(max_size=200))
def test_any_bytes_are_an_operator_or_an_error(raw: bytes) -> None:
    with pytest.raises(CardKeyError):
        open_operator(raw, "passphrase", "x")
    with pytest.raises(CardKeyError):
        public_record(raw, "x")


def test_a_file_with_weak_scrypt_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    from cardlib.keys.store import passphrase

    monkeypatch.setitem(passphrase.SCRYPT, "n", 2**17)
    with pytest.raises(CardKeyError, match="too weakly"):
        open_operator(ANN.file, ANN.passphrase, "ann.json")


@pytest.mark.parametrize("name", ["", "Ann", "a b", "a" * 33, "ann\n", "änn", "../ann"])
def test_a_name_is_small_letters_digits_and_hyphens(name: str) -> None:
    with pytest.raises(CardKeyError, match="small letters"):
        new_operator(name, [Role.CUSTODIAN], "passphrase", DAY)


def test_an_operator_has_a_role() -> None:
    with pytest.raises(CardKeyError, match="give a role"):
        new_operator("ann", [], "passphrase", DAY)


def test_what_is_sealed_for_one_opens_for_nobody_else() -> None:
    sealed = ANN.key.operator.seal(b"component", b"bound")
    assert ANN.key.unseal(sealed, b"bound") == b"component"
    for key, text, bound in (
        (BOB.key, sealed, b"bound"),
        (ANN.key, sealed, b"other"),
        (ANN.key, sealed[:-1], b"bound"),
        (ANN.key, bytes(32) + sealed[32:], b"bound"),
        (ANN.key, b"", b"bound"),
    ):
        with pytest.raises(CardKeyError, match="not sealed for"):
            key.unseal(text, bound)


def test_what_is_sealed_opens_by_its_documented_form() -> None:
    seed = by_hand(ANN.file, ANN.passphrase)
    private = X25519PrivateKey.from_private_bytes(
        HKDF(SHA256(), 32, b"rhcard operator", b"wrap").derive(seed)
    )
    sealed = ANN.key.operator.seal(b"component", b"bound")
    shared = private.exchange(X25519PublicKey.from_public_bytes(sealed[:32]))
    info = b"rhcard sealed for an operator" + sealed[:32] + ANN.key.operator.wrapping
    key = HKDF(SHA256(), 32, b"rhcard operator", info).derive(shared)
    assert AESGCM(key).decrypt(bytes(12), sealed[32:], b"bound") == b"component"


def test_neither_key_nor_file_shows_a_secret() -> None:
    seed = by_hand(ANN.file, ANN.passphrase)
    assert "PrivateKey" not in repr(ANN.key)
    for secret in (seed.hex(), ANN.passphrase):
        assert secret not in repr(ANN.key) and secret.encode() not in ANN.file


# --- the register ------------------------------------------------------------------------------


def test_the_register_is_kept_with_its_retirements(tmp_path: Path) -> None:
    path = files(tmp_path, [ANN, BOB])
    write_register(path, read_register(path).without("bob", DAY))
    registry = read_register(path, guarded=True)
    assert registry.of("ann") == ANN.key.operator
    with pytest.raises(CardKeyError, match="bob was retired on 2026-11-27"):
        registry.of("bob")
    with pytest.raises(CardKeyError, match="no operator 'eve'"):
        registry.of("eve")
    assert os.listdir(tmp_path) and not [f for f in os.listdir(tmp_path) if "unfinished" in f]


def test_a_name_is_never_given_twice_not_even_after_retirement() -> None:
    registry = register([ANN, BOB]).without("bob", DAY)
    with pytest.raises(CardKeyError, match="never given twice"):
        registry.with_new(person("bob").key.operator)


def test_two_names_never_share_a_key(tmp_path: Path) -> None:
    twin = replace(ANN.key.operator, name="twin")
    with pytest.raises(CardKeyError, match="same key"):
        register([ANN]).with_new(twin)
    half = replace(BOB.key.operator, wrapping=ANN.key.operator.wrapping)
    with pytest.raises(CardKeyError, match="same key"):
        register([ANN]).with_new(half)


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646])
def test_the_agent_takes_no_register_that_others_may_write(tmp_path: Path, mode: int) -> None:
    path = files(tmp_path, [ANN])
    path.chmod(mode)
    read_register(path)
    with pytest.raises(CardKeyError, match="other users may write"):
        read_register(path, guarded=True)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "rhcard operators 2", "operators": []}',
             '{"format": "rhcard operators 1", "operators": [{}]}']
)  # fmt: skip
def test_a_damaged_register_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "operators.json"
    path.write_text(text)
    with pytest.raises(CardKeyError, match="not a register of operators"):
        read_register(path)
    with pytest.raises(CardKeyError, match="No such file"):
        read_register(tmp_path / "none")


def test_a_register_with_one_name_twice_is_refused(tmp_path: Path) -> None:
    path = files(tmp_path, [ANN])
    entry = json.loads(path.read_text())
    entry["operators"].append({**person("dan").key.operator.as_dict(), "name": "ann"})
    path.write_text(json.dumps(entry))
    with pytest.raises(CardKeyError, match="same name"):
        read_register(path)


def test_an_empty_register_has_nobody() -> None:
    assert list(OperatorRegister()) == []


@given(st.dictionaries(st.text(max_size=8), st.none() | st.integers() | st.text(), max_size=6))
def test_any_members_are_a_record_or_an_error(entry: dict[str, Any]) -> None:
    with pytest.raises(CardKeyError):
        Operator.from_dict(entry)
