"""Key blocks: opened by what is not ours, and never opened after a change."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardlib.crypto import Cipher
from cardlib.errors import CardKeyError
from personalize.custody.component import SINGLE_KEYS
from personalize.custody.key_blocks import unwrapped, wrapped
from tests import DATA
from tests.programs import openssl

KEY, EXCHANGE = bytes(range(16)), bytes(range(100, 116))
VECTOR: dict[str, Any] = json.loads((DATA.parent / "vectors" / "custody.json").read_text())["tr31"]
_DERIVATION = {16: "00020080", 24: "000300C0", 32: "00040100"}


def opened_by_openssl(block: str, exchange: bytes) -> bytes:
    """A TR-31 key block, version D, opened as the standard says (5.3.3) with openssl alone."""
    size = len(exchange)
    enc, mac = (
        b"".join(
            openssl.cmac("AES", exchange, bytes.fromhex(f"{count:02x}{use}00{_DERIVATION[size]}"))
            for count in (1, 2)
        )[:size]
        for use in ("0000", "0001")
    )
    raw, tag = bytes.fromhex(block[:-32][_header_length(block) :]), bytes.fromhex(block[-32:])
    plain = openssl.run(
        "enc", "-d", f"-aes-{8 * size}-cbc", "-nopad", "-K", enc.hex(), "-iv", tag.hex(), stdin=raw
    )
    assert openssl.cmac("AES", mac, block[: _header_length(block)].encode() + plain) == tag
    return plain[2 : 2 + int.from_bytes(plain[:2], "big") // 8]


def _header_length(block: str) -> int:
    """16 characters, and the optional blocks: id (2), length (2, hex), content."""
    end = 16
    for _ in range(int(block[12:14])):
        end += int(block[end + 2 : end + 4], 16)
    return end


def test_the_opener_of_this_test_opens_the_standard_s_example() -> None:
    key = opened_by_openssl(VECTOR["block"], bytes.fromhex(VECTOR["kbpk"]))
    assert key.hex() == VECTOR["key"]


@pytest.mark.parametrize("size", [16, 24, 32])
@pytest.mark.parametrize(
    ("what", "usage"), [("transport", "E5AX"), ("issuer", "E5AX"), ("cvk", "C0AC"),
                        ("RK1_DF02", "E6AX")]
)  # fmt: skip
def test_an_aes_key_goes_in_a_tr_31_block_of_version_d(what: str, usage: str, size: int) -> None:
    exchange = bytes(range(50, 50 + size))
    block = wrapped(what, Cipher.AES, 3, KEY, exchange)
    assert block.text[0] == "D" and int(block.text[1:5]) == len(block.text)
    assert block.text[5:12] == f"{usage}03N"
    assert f"LB{4 + len(what):02X}{what}" in block.text
    assert opened_by_openssl(block.text, exchange) == KEY
    assert KEY.hex() not in block.text.lower()


def test_a_transport_root_of_an_sm4_store_is_aes_all_the_same() -> None:
    block = wrapped("transport", Cipher.SM4, 1, KEY, EXCHANGE)
    assert opened_by_openssl(block.text, EXCHANGE) == KEY


def test_an_sm4_key_s_block_opens_by_its_documented_form_with_openssl() -> None:
    block = wrapped("RK1_DF02", Cipher.SM4, 2, KEY, EXCHANGE)
    head, _, body = block.text.rpartition(":")
    raw = base64.b32decode(body + "====")
    enc, mac = (
        openssl.kbkdf("SM4", EXCHANGE, label, b"", 16) for label in (b"RHCB ENC", b"RHCB MAC")
    )
    key = openssl.run(
        "enc", "-d", "-sm4-cbc", "-nopad", "-K", enc.hex(), "-iv", raw[:16].hex(), stdin=raw[16:]
    )
    assert key == KEY
    assert openssl.cmac("SM4", mac, f"{head}:".encode() + key) == raw[:16]
    assert block.check_value == openssl.ecb("SM4", KEY, bytes(16))[:3].hex().upper()
    assert head == f"RHCB1:RK1-DF02:SM4:2:{block.check_value}"


@given(st.sampled_from(SINGLE_KEYS[:30]), st.integers(1, 7),
       st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))  # fmt: skip
def test_our_block_opens_again(what: str, version: int, key: bytes, exchange: bytes) -> None:
    block = wrapped(what, Cipher.SM4, version, key, exchange)
    assert unwrapped(block.text, exchange) == (what, version, key)


@given(st.data())
def test_a_changed_block_does_not_open(data: st.DataObject) -> None:
    text = wrapped("RK1_DF02", Cipher.SM4, 2, KEY, EXCHANGE).text
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from(sorted(set("ABCD2345:-") - {text[place]})))
    with pytest.raises(CardKeyError):
        unwrapped(text[:place] + other + text[place + 1 :], EXCHANGE)
    with pytest.raises(CardKeyError, match="another exchange key"):
        unwrapped(text, KEY)


@pytest.mark.parametrize("what", ["set", "exchange", "secret", "RK9"])
def test_only_single_keys_are_wrapped(what: str) -> None:
    with pytest.raises(CardKeyError):
        wrapped(what, Cipher.SM4, 1, KEY, EXCHANGE)
