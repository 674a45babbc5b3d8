"""The root keys of one version: what is made with them, and that they are never shown."""

import hashlib
import hmac
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from cardlib.crypto import Cipher, key_check_value
from cardlib.errors import CardKeyError, FormatError
from cardlib.keys import Purpose, RootKeys
from cardlib.keys.roots import new_roots, public_test_roots
from cardlib.keys.store import KeyStore
from tests.programs import openssl

CHIP = bytes.fromhex("5248430000000001")
SEALERS = KeyStore(new_roots()), KeyStore(new_roots())


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
