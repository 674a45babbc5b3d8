"""The primitives against published vectors and against the openssl command."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardlib.crypto import (
    BLOCK_SIZE,
    BlockCipher,
    Cipher,
    counter_kdf,
    counter_mode,
    diversify,
    fold,
    key_check_value,
    pad,
    static_keys,
    unpad,
)
from cardlib.errors import FormatError
from tests.programs import openssl
from tests.vectors import load

H = bytes.fromhex
BLOCK_VECTORS = [
    pytest.param(cipher, case, id=f"{cipher.name}-{number}")
    for cipher, name in ((Cipher.SM4, "sm4"), (Cipher.AES, "aes"))
    for number, case in enumerate(load(name)["ecb"])
]
KEYS = {Cipher.SM4: (16,), Cipher.AES: (16, 24, 32)}
EVERY_KEY = [(cipher, size) for cipher, sizes in KEYS.items() for size in sizes]


def some_key(cipher: Cipher, size: int) -> bytes:
    return hashlib.sha256(f"{cipher.name} {size}".encode()).digest()[:size]


@pytest.mark.parametrize(("cipher", "case"), BLOCK_VECTORS)
def test_ecb_gives_the_published_blocks(cipher: Cipher, case: dict[str, str]) -> None:
    block = BlockCipher(cipher, H(case["key"]))
    assert block.encrypt_ecb(H(case["plain"])).hex() == case["sealed"]
    assert block.decrypt_ecb(H(case["sealed"])).hex() == case["plain"]


@pytest.mark.parametrize("case", load("sm4")["cbc"])
def test_sm4_cbc_gives_the_published_blocks(case: dict[str, str]) -> None:
    block = BlockCipher(Cipher.SM4, H(case["key"]))
    sealed = block.encrypt_cbc(H(case["plain"]), H(case["iv"]))
    assert sealed.hex() == case["sealed"]
    assert block.decrypt_cbc(sealed, H(case["iv"])) == H(case["plain"])


@pytest.mark.parametrize("case", load("cmac")["cases"])
def test_cmac_gives_the_published_macs(case: dict[str, str]) -> None:
    assert BlockCipher(Cipher.AES, H(case["key"])).cmac(H(case["message"])).hex() == case["mac"]


@pytest.mark.parametrize("case", load("kbkdf_cmac")["cases"], ids=lambda case: case["id"])
def test_counter_mode_gives_the_published_keys(case: dict[str, Any]) -> None:
    prf = BlockCipher(Cipher.AES, H(case["key"]))
    assert counter_mode(prf, H(case["fixed"]), case["bits"]).hex() == case["output"]


@pytest.mark.parametrize(("cipher", "size"), EVERY_KEY)
@pytest.mark.parametrize("length", [1, 15, 16, 17, 239])
def test_modes_agree_with_openssl(cipher: Cipher, size: int, length: int) -> None:
    key, message = some_key(cipher, size), bytes(range(length))
    block, blocks, iv = BlockCipher(cipher, key), pad(message), bytes(range(16))
    name = cipher.name
    assert block.encrypt_ecb(blocks) == openssl.ecb(name, key, blocks)
    assert block.encrypt_cbc(blocks, iv) == openssl.cbc(name, key, blocks, iv)
    assert block.cbc_mac(blocks) == openssl.cbc(name, key, blocks)[-16:]
    assert block.cmac(message) == openssl.cmac(name, key, message)


@pytest.mark.parametrize(("cipher", "size"), EVERY_KEY)
@pytest.mark.parametrize("length", [16, 24, 32])
def test_the_counter_kdf_agrees_with_openssl(cipher: Cipher, size: int, length: int) -> None:
    key, context = some_key(cipher, size), bytes(range(8))
    ours = counter_kdf(BlockCipher(cipher, key), b"RHC2-SENC", context, 8 * length)
    assert ours == openssl.kbkdf(cipher.name, key, b"RHC2-SENC", context, length)


def test_static_keys_are_the_kdf_over_the_chip_serial() -> None:
    root, chip = some_key(Cipher.AES, 16), H("0102030405060708")
    keys = static_keys(BlockCipher(Cipher.AES, root), chip)
    labels = (b"ENC", b"MAC", b"DEK")
    assert keys == tuple(openssl.kbkdf("AES", root, label, chip, 16) for label in labels)


@pytest.mark.parametrize("cipher", Cipher)
def test_diversification_agrees_with_openssl(cipher: Cipher) -> None:
    key, data = some_key(cipher, 16), H("3431303030303030")
    complement = H("CBCECFCFCFCFCFCF")
    assert complement == bytes(octet ^ 0xFF for octet in data)
    expected = openssl.ecb(cipher.name, key, data + complement)
    assert diversify(BlockCipher(cipher, key), data) == expected


@pytest.mark.parametrize(("cipher", "size"), EVERY_KEY)
def test_check_values_are_of_zeros_for_sm4_and_of_ones_for_aes(cipher: Cipher, size: int) -> None:
    key = some_key(cipher, size)
    block = bytes(16) if cipher is Cipher.SM4 else b"\x01" * 16
    assert key_check_value(cipher, key) == openssl.ecb(cipher.name, key, block)[:3]


def test_recorded_cards_have_these_check_values() -> None:
    """The check values that the recording of the real card names (tests/vectors/scp03.json)."""
    session = load("scp03")["sessions"][0]
    keys = [H(session[name]) for name in ("key_enc", "key_mac", "key_dek")]
    values = [key_check_value(Cipher.AES, key).hex() for key in keys]
    assert values == ["c35280", "013808", "840de5"]


def test_fold_xors_the_halves() -> None:
    assert fold(H("00FF00FF00FF00FF" + "0F0F0F0F0F0F0F0F")) == H("0FF00FF00FF00FF0")


@given(st.binary(max_size=64))
def test_padding_comes_off_again(data: bytes) -> None:
    padded = pad(data)
    assert len(padded) % BLOCK_SIZE == 0 and len(data) < len(padded) <= len(data) + BLOCK_SIZE
    assert unpad(padded) == data


@pytest.mark.parametrize(
    "padded", ["", "00" * 16, "80" + "00" * 16, "81" + "00" * 15, "80" * 15, "80" + "00" * 31]
)
def test_wrong_padding_is_refused(padded: str) -> None:
    with pytest.raises(FormatError):
        unpad(H(padded))


@pytest.mark.parametrize(("cipher", "size"), [(Cipher.SM4, 24), (Cipher.AES, 20), (Cipher.AES, 0)])
def test_keys_of_another_length_are_refused(cipher: Cipher, size: int) -> None:
    with pytest.raises(FormatError):
        BlockCipher(cipher, bytes(size))


def test_a_part_of_a_block_is_refused() -> None:
    block = BlockCipher(Cipher.AES, bytes(16))
    for method in (block.encrypt_ecb, block.decrypt_ecb, block.encrypt_cbc, block.decrypt_cbc):
        with pytest.raises(FormatError):
            method(bytes(15))


def test_a_block_cipher_does_not_show_its_key() -> None:
    key = some_key(Cipher.AES, 16)
    assert key.hex() not in repr(BlockCipher(Cipher.AES, key)).lower()
