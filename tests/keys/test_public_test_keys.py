"""The public SCP03 keys of a chip: what two outside programs derive, and what the page says."""

import re

import pytest
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFCMAC, CounterLocation, Mode

from cardlib.keys.public_test_keys import public_test_keys
from tests import ROOT
from tests.programs import openssl

PAGE = (ROOT / "docs" / "reference" / "scp03-keys.md").read_text(encoding="utf-8")
H = bytes.fromhex
CHIP = H("5248430000000007")
TRANSPORT_ROOT = H("404142434445464748494A4B4C4D4E4F")
LABELS = {"ENC": b"ENC", "MAC": b"MAC", "DEK": b"DEK"}


def by_openssl(root: bytes, label: bytes, chip: bytes) -> bytes:
    return openssl.kbkdf("AES", root, label, chip, 16)


def by_cryptography(root: bytes, label: bytes, chip: bytes) -> bytes:
    kdf = KBKDFCMAC(
        algorithm=AES, mode=Mode.CounterMode, length=16, rlen=4, llen=4,
        location=CounterLocation.BeforeFixed, label=label, context=chip, fixed=None,
    )  # fmt: skip
    return kdf.derive(root)


def issuer_root(protocol: int, cipher: str) -> bytes:
    """As the page says: the first 16 bytes of a hash of a text."""
    text = f"rhcard public test root {protocol} {cipher} issuer"
    return H(openssl.run("dgst", "-sha256", "-r", stdin=text.encode()).decode().split()[0])[:16]


@pytest.mark.parametrize("derive", [by_openssl, by_cryptography])
def test_every_public_key_set_is_what_an_outside_program_derives(derive) -> None:  # type: ignore[no-untyped-def]
    roots = {"transport": TRANSPORT_ROOT} | {
        f"issuer, {protocol}.0 {cipher}": issuer_root(protocol, cipher)
        for protocol in (1, 2)
        for cipher in ("SM4", "AES")
    }
    expected = {
        name: tuple(derive(root, label, CHIP) for label in LABELS.values())
        for name, root in roots.items()
    }
    assert public_test_keys(CHIP) == expected


@pytest.mark.parametrize("derive", [by_openssl, by_cryptography])
def test_the_worked_example_of_the_page_is_right(derive) -> None:  # type: ignore[no-untyped-def]
    rows = re.findall(r"^\| (ENC|MAC|DEK) \| `([0-9A-F]+)` \| `([0-9A-F]{6})` \|$", PAGE, re.M)
    assert len(rows) == 3
    for name, value, check_value in rows:
        key = derive(TRANSPORT_ROOT, LABELS[name], CHIP)
        assert key.hex().upper() == value
        assert openssl.ecb("AES", key, b"\1" * 16)[:3].hex().upper() == check_value


def test_the_input_of_the_page_s_first_step_is_the_one_that_is_maced() -> None:
    (message,) = re.findall(r"^message +([0-9A-F ]+)$", PAGE, re.M)
    (key,) = re.findall(r"^ENC +([0-9A-F]+)$", PAGE, re.M)
    assert openssl.cmac("AES", TRANSPORT_ROOT, H(message)) == H(key)
