"""Static SCP03 keys in memory: derivation from a root, session keys, wrapping for PUT KEY."""

import pytest

from cardlib.crypto import BlockCipher, Cipher
from cardlib.errors import CardKeyError
from cardlib.keys.static_keys import S_ENC, S_MAC, S_RMAC, SoftwareScp03Keys, derive
from tests.oracles import scp03 as reference_scp03
from tests.programs import openssl

CHIP = bytes.fromhex("5248430000000001")
ROOT = bytes.fromhex("404142434445464748494A4B4C4D4E4F")
CONTEXT = bytes(range(16))


def keys_of(length: int) -> tuple[bytes, bytes, bytes]:
    return bytes(range(length)), bytes(range(1, length + 1)), bytes(range(2, length + 2))


@pytest.mark.parametrize("length", [16, 24, 32])
@pytest.mark.parametrize("bits", [64, 128, 192, 256])
def test_derivation_agrees_with_the_reference(length: int, bits: int) -> None:
    key = bytes(range(length))
    ours = derive(BlockCipher(Cipher.AES, key), 0x06, CONTEXT, bits)
    assert ours == reference_scp03.derive(key, 0x06, CONTEXT, bits // 8)


@pytest.mark.parametrize("length", [16, 24, 32])
def test_session_keys_are_as_long_as_the_static_ones(length: int) -> None:
    enc, mac, dek = keys_of(length)
    keys = SoftwareScp03Keys(0x30, enc, mac, dek)
    assert (keys.key_version, keys.key_length) == (0x30, length)
    for constant, parent in ((S_ENC, enc), (S_MAC, mac), (S_RMAC, mac)):
        expected = reference_scp03.derive(parent, constant, CONTEXT, length)
        ours = keys.session_key(constant, CONTEXT)
        assert ours.encrypt_ecb(CONTEXT) == openssl.ecb("AES", expected, CONTEXT)


def test_no_other_constant_makes_a_session_key() -> None:
    keys = SoftwareScp03Keys(1, *keys_of(16))
    for constant in (0, 1, 2, 5, 8):
        with pytest.raises(CardKeyError):
            keys.session_key(constant, CONTEXT)


@pytest.mark.parametrize("length", [16, 24, 32])
@pytest.mark.parametrize("dek_length", [16, 24, 32])
def test_keys_are_wrapped_padded_with_zeros(length: int, dek_length: int) -> None:
    plain, dek = keys_of(length), bytes(range(dek_length))
    old = SoftwareScp03Keys(0xFF, dek, dek, dek)
    wrapped = SoftwareScp03Keys(0x01, *plain).wrapped(old)
    for key, one in zip(plain, wrapped, strict=True):
        padded = key + bytes(-length % 16)
        assert one.length == length
        assert one.encrypted == openssl.cbc("AES", dek, padded)
        assert one.check_value == openssl.ecb("AES", key, b"\1" * 16)[:3]


def test_a_chip_has_its_own_keys_from_the_root() -> None:
    keys = SoftwareScp03Keys.from_root(0xFF, BlockCipher(Cipher.AES, ROOT), CHIP)
    expected = [openssl.kbkdf("AES", ROOT, label, CHIP, 16) for label in (b"ENC", b"MAC", b"DEK")]
    values = [openssl.ecb("AES", key, b"\1" * 16)[:3] for key in expected]
    assert list(keys.key_check_values) == values
    assert keys.encrypt_dek(bytes(32)) == openssl.cbc("AES", expected[2], bytes(32))
    shown = repr(keys).lower()
    assert "version ff" in shown and all(value.hex() in shown for value in values)
    assert not any(key.hex() in shown for key in expected)
    with pytest.raises(CardKeyError):
        SoftwareScp03Keys.from_root(0xFF, BlockCipher(Cipher.AES, ROOT), CHIP[:7])
