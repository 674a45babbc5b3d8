"""Templates of key diversification: published values, the openssl program, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardlib.crypto import BlockCipher, Cipher, static_keys
from cardlib.errors import CardKeyError, FormatError
from cardlib.facts import ChipSerial
from cardlib.keys.diversification import (
    TEMPLATES,
    Function,
    diversified,
    diversified_keys,
    read_template,
)
from tests.programs import openssl
from tests.vectors import load

H = bytes.fromhex
CHIP = ChipSerial(H("5248430000000001"))
ROOT = H("404142434445464748494A4B4C4D4E4F")
DATA = H("00010203040506070809")
VECTORS = load("diversification")


def check_value(cipher: str, key: bytes) -> str:
    """By the openssl program."""
    if cipher == "aes":
        return openssl.ecb("AES", key, b"\1" * 16)[:3].hex().upper()
    return openssl.des3(key, bytes(8))[:3].hex().upper()


@pytest.mark.parametrize(
    "case", VECTORS["check_values"], ids=lambda case: f"{case['template']}-{len(case['root'])}"
)
def test_the_keys_have_the_published_check_values(case) -> None:  # type: ignore[no-untyped-def]
    keys = diversified(read_template(case["template"]), H(case["root"]), CHIP, H(case["data"]))
    assert [check_value(case["cipher"], key) for key in keys] == case["values"]


@pytest.mark.parametrize("case", VECTORS["enc_keys"], ids=lambda case: case["template"])
def test_a_published_key_of_256_bits_is_derived(case) -> None:  # type: ignore[no-untyped-def]
    keys = diversified(read_template(case["template"]), H(case["root"]), CHIP, H(case["data"]))
    assert keys[0] == H(case["key"])


@pytest.mark.parametrize(("name", "block"), [
    ("emv", "040506070809F0kk0405060708090Fkk"),
    ("visa2", "000104050607F0kk0001040506070Fkk"),
    ("visa", "000102030809F0kk0001020308090Fkk"),
])  # fmt: skip
def test_the_schemes_of_payment_cards_are_one_block_of_triple_des(name: str, block: str) -> None:
    inputs = [H(block.replace("kk", f"{number:02}")) for number in (1, 2, 3)]
    assert diversified(read_template(name), ROOT, CHIP, DATA) == tuple(
        openssl.des3(ROOT, each) for each in inputs
    )


def test_our_own_scheme_is_that_of_the_card_specification() -> None:
    keys = diversified(read_template("rhcard"), ROOT, CHIP)
    assert keys == static_keys(BlockCipher(Cipher.AES, ROOT), CHIP)
    assert keys == tuple(
        openssl.kbkdf("AES", ROOT, label, CHIP, 16) for label in (b"ENC", b"MAC", b"DEK")
    )


def test_without_data_it_is_what_our_cards_answer() -> None:
    scheme = read_template("kdf3")
    assert diversified(scheme, ROOT, CHIP) == diversified(scheme, ROOT, CHIP, CHIP + bytes(2))


def test_an_aes_block_is_a_scheme_too() -> None:
    keys = diversified(read_template("AES(chip number 00 label FFFF 00)"), ROOT, CHIP)
    assert keys[1] == openssl.ecb("AES", ROOT, CHIP + H("02004D4143FFFF00"))


def test_the_keys_open_like_any_others_and_are_not_shown() -> None:
    scheme = read_template("kdf3")
    keys = diversified_keys(scheme, 0xFF, ROOT, CHIP)
    plain = diversified(scheme, ROOT, CHIP)
    assert (keys.key_version, keys.chip) == (0xFF, CHIP)
    assert list(keys.key_check_values) == [H(check_value("aes", key)) for key in plain]
    assert not any(key.hex() in repr(keys).lower() for key in plain)


@pytest.mark.parametrize(("text", "why"), [
    ("kdf4", "write one of rhcard, kdf3, emv"),
    ("CMAC", "is not a template"),
    ("SHA256(chip number)", "CMAC, AES, DES3"),
    ("CMAC(counter1 number chip", "is not a template"),
    ("CMAC(counter1 number chip serial)", "'serial' is not a word"),
    ("CMAC(counter1 number chip 0)", "'0' is not a word"),
    ("CMAC(counter1 number data[4..3])", "bytes 0 to 9"),
    ("CMAC(counter1 number data[10])", "not a word"),
    ("CMAC(counter1 number 00)", "all chips would have the same keys"),
    ("CMAC(counter1 chip)", "the three keys would be equal"),
    ("CMAC(number chip)", "one counter"),
    ("CMAC(counter1 counter4 number chip)", "one counter"),
    ("AES(chip number 00 counter1 00 label 00)", "for CMAC only"),
    ("DES3(chip number 00 label bits2 FF)", "for CMAC only"),
    ("AES(chip number)", "the input has 9 bytes; AES needs 16 or 32"),
    ("DES3(data data number label 00000000000000)", "DES3 needs 16"),
])  # fmt: skip
def test_what_is_no_template_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(FormatError) as refused:
        read_template(text)
    assert why in str(refused.value)


@pytest.mark.parametrize(("text", "size"), [
    ("AES(chip number 00 label FFFF 00)", 32), ("emv", 32), ("rhcard", 8),
])  # fmt: skip
def test_a_root_that_does_not_fit_is_refused(text: str, size: int) -> None:
    with pytest.raises(CardKeyError, match="needs a root of"):
        diversified(read_template(text), bytes(size), CHIP)


def test_data_of_another_length_is_refused() -> None:
    with pytest.raises(CardKeyError, match="10 bytes, not 9"):
        diversified(read_template("kdf3"), ROOT, CHIP, bytes(9))


@given(st.text(alphabet="CMACAESD3() chipdatalbenumrcouit0149.[]F", max_size=40))
def test_any_text_is_a_template_or_a_named_fault(text: str) -> None:
    try:
        scheme = read_template(text)
    except FormatError:
        return
    root = bytes(scheme.size) if scheme.function is Function.AES else ROOT
    assert len(set(diversified(scheme, root, CHIP))) == 3


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_named_template_gives_three_keys_of_its_own_for_each_chip(name: str) -> None:
    scheme, other = read_template(name), ChipSerial(CHIP[::-1])
    assert len({*diversified(scheme, ROOT, CHIP), *diversified(scheme, ROOT, other)}) == 6
    assert TEMPLATES[name].source
    assert diversified(read_template(TEMPLATES[name].text), ROOT, CHIP) == diversified(
        scheme, ROOT, CHIP
    )
