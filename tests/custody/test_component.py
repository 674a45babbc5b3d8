"""Components: their text survives a printer and a scanner, and a slip in it is found."""

import hashlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardlib.crypto import Cipher
from cardlib.errors import CardKeyError
from personalize.custody.ceremony import split
from personalize.custody.component import (
    EXCHANGE,
    SET,
    SET_SIZE,
    SINGLE_KEYS,
    Component,
    check_value,
    check_values,
    cipher_of,
    joined,
    parts,
    sizes_of,
    xor,
)
from tests.programs import openssl

QR_ALPHANUMERIC = set(string.digits + string.ascii_uppercase + " $%*+-./:")
"""ISO/IEC 18004, table 5: a QR code holds these in 5.5 bits each."""
WHATS = st.sampled_from(["transport", "issuer", "cvk", "RK1_DF02", SET, EXCHANGE])


@st.composite
def components(draw: st.DrawFn) -> Component:
    what, cipher = draw(WHATS), draw(st.sampled_from(Cipher))
    size = draw(st.sampled_from(sizes_of(what, cipher)))
    of = draw(st.integers(2, 3))
    value = draw(st.binary(min_size=size, max_size=size).filter(any))
    return Component(what, cipher, draw(st.integers(1, of)), of, value)


@given(components())
def test_what_was_written_reads_the_same(component: Component) -> None:
    text = component.text()
    assert set(text) <= QR_ALPHANUMERIC
    assert Component.from_text(text) == component
    assert Component.from_text(f"  {text.lower()}\r\n") == component


@given(components(), st.data())
def test_one_wrong_character_is_found(component: Component, data: st.DataObject) -> None:
    text = component.text()
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from(sorted(QR_ALPHANUMERIC - {text[place]})))
    with pytest.raises(CardKeyError):
        Component.from_text(text[:place] + other + text[place + 1 :])


@given(components(), st.data())
def test_two_exchanged_characters_are_found(component: Component, data: st.DataObject) -> None:
    text = component.text()
    place = data.draw(st.integers(0, len(text) - 2))
    swapped = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    if swapped != text:
        with pytest.raises(CardKeyError):
            Component.from_text(swapped)


@given(st.text(max_size=80))
def test_any_text_is_a_component_or_an_error(text: str) -> None:
    with pytest.raises(CardKeyError):
        Component.from_text(text)


def test_a_set_fits_one_qr_code_of_middle_size() -> None:
    """ISO/IEC 18004, table 7: version 23 with correction level M takes 970 such characters."""
    assert len(Component(SET, Cipher.SM4, 1, 2, b"x" * SET_SIZE).text()) <= 970


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize("what", ["transport", "RK1_DF02", "cvk", "exchange"])
def test_a_key_s_check_value_is_what_openssl_encrypts(what: str, cipher: Cipher) -> None:
    """Of 00*16 for SM4, of 01*16 for AES and for keys of a CMAC (card specification 3, 6)."""
    key = bytes(range(16))
    name = cipher_of(what, cipher).name
    block = bytes(16) if name == "SM4" and what != "exchange" else b"\1" * 16
    assert check_value(what, cipher, key) == openssl.ecb(name, key, block)[:3].hex().upper()


def test_a_set_s_check_value_is_of_sha_256() -> None:
    value = bytes(range(256)) * 2 + bytes(SET_SIZE - 512)
    by_hand = hashlib.sha256(b"rhcard set SM4" + value).hexdigest()[:20].upper()
    assert check_value(SET, Cipher.SM4, value) == by_hand
    assert check_value(SET, Cipher.AES, value) != by_hand
    shown = check_values(SET, Cipher.SM4, value)
    assert shown.keys() == {SET, *SINGLE_KEYS}
    assert shown["transport"] == check_value("transport", Cipher.SM4, value[480:496])


def test_a_set_comes_apart_and_together() -> None:
    value = b"".join(bytes([number]) * 16 for number in range(33)) + bytes(range(32))
    apart = parts(value)
    assert len(apart) == 34 and apart["secret"] == bytes(range(32))
    assert apart["transport"] == bytes([30]) * 16 and apart["cvk"] == bytes([32]) * 16
    assert joined(apart) == value


@pytest.mark.parametrize(
    ("what", "cipher", "number", "of", "size"),
    [
        ("transport", Cipher.AES, 1, 2, 15),
        ("transport", Cipher.AES, 1, 2, 32),
        ("exchange", Cipher.SM4, 1, 2, 32),
        ("set", Cipher.SM4, 1, 2, 16),
        ("transport", Cipher.AES, 3, 2, 16),
        ("transport", Cipher.AES, 0, 2, 16),
        ("transport", Cipher.AES, 1, 1, 16),
        ("transport", Cipher.AES, 1, 4, 16),
        ("secret", Cipher.AES, 1, 2, 32),
    ],
)
def test_a_component_of_another_shape_is_none(
    what: str, cipher: Cipher, number: int, of: int, size: int
) -> None:
    with pytest.raises(CardKeyError):
        Component(what, cipher, number, of, b"x" * size)


def test_zeros_hide_nothing() -> None:
    with pytest.raises(CardKeyError, match="all zeros"):
        Component("transport", Cipher.AES, 1, 2, bytes(16))


def test_a_component_is_not_shown() -> None:
    component = Component("transport", Cipher.AES, 1, 2, b"secret component")
    assert "secret" not in repr(component) and component.value.hex() not in repr(component)


@given(st.binary(min_size=16, max_size=16).filter(any), st.lists(
    st.binary(min_size=16, max_size=16).filter(any), min_size=1, max_size=2))  # fmt: skip
def test_the_xor_of_all_components_is_the_key(key: bytes, randoms: list[bytes]) -> None:
    last = key
    for each in randoms:
        last = xor(last, each)
    if not any(last):
        return
    made = split("transport", Cipher.AES, key, randoms)
    assert [each.number for each in made] == list(range(1, len(randoms) + 2))
    total = made[0].value
    for component in made[1:]:
        total = xor(total, component.value)
    assert total == key
