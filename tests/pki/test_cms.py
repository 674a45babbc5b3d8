"""Signed and enveloped data (RFC 5652, 5083, 5753): openssl reads them, no changed byte passes."""

import hashlib
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from cardlib.errors import FormatError
from cardlib.pki import SignatureRefused, enveloped_data, signed_data
from cardlib.pki.p256 import (
    PUBLIC_LENGTH,
    new_private_key,
    point_of,
    private_key,
    private_key_from,
    public_key,
)
from cardlib.pki.self_issued import LocalSigner, parsed

CONTENT = b"what is signed " * 20
PRIVATE, OTHER = new_private_key(), new_private_key()
PUBLIC = point_of(private_key(PRIVATE))
TIME = datetime(2026, 11, 28, 4, 5, 6, tzinfo=UTC)
SIGNER = LocalSigner(PRIVATE, "data preparation", 2026)


def openssl(*words: object) -> bytes:
    command = ["openssl", *map(str, words)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_signed_data_says_what_when_and_who() -> None:
    found = signed_data.opened(signed_data.sign(CONTENT, SIGNER, TIME))
    assert (found.content, found.time) == (CONTENT, TIME)
    assert (found.signer.name, found.signer.point) == ("data preparation", PUBLIC)


@pytest.mark.parametrize("year", [2026, 2049, 2050, 2080])
def test_openssl_verifies_signed_data_of_any_year(year: int, tmp_path: Path) -> None:
    time = TIME.replace(year=year)
    signer = LocalSigner(PRIVATE, "data preparation", year)
    raw = signed_data.sign(CONTENT, signer, time)
    assert signed_data.opened(raw).time == time
    (tmp_path / "data.cms").write_bytes(raw)
    certificate = x509.load_der_x509_certificate(signer.certificate)
    (tmp_path / "ca.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    shown = openssl(
        "cms", "-verify", "-inform", "DER", "-in", tmp_path / "data.cms", "-binary", "-CAfile",
        tmp_path / "ca.pem", "-purpose", "any", "-attime", int(time.timestamp()),
    )  # fmt: skip
    assert shown == CONTENT


def test_no_changed_byte_of_signed_data_passes() -> None:
    raw = signed_data.sign(CONTENT, SIGNER, TIME)
    for at in range(len(raw)):
        for bit in (at % 8, (at + 5) % 8):
            changed = bytearray(raw)
            changed[at] ^= 1 << bit
            with pytest.raises(SignatureRefused):
                signed_data.opened(bytes(changed))


def test_unused_bits_of_a_certificates_signature_do_not_pass() -> None:
    """They are told by one byte, and one signature in two ends with a bit 0."""
    der = b""
    while not der or der[-1] & 1:
        der = LocalSigner(PRIVATE, "data preparation", 2026).certificate
    at = len(der) - len(x509.load_der_x509_certificate(der).signature) - 1
    assert parsed(der).der == der and der[at] == 0
    with pytest.raises(SignatureRefused):
        parsed(der[:at] + b"\1" + der[at + 1 :])


def test_what_another_has_signed_has_his_certificate() -> None:
    """His certificate in our signed data, or ours in his: neither passes."""
    ours, his = SIGNER.certificate, b""
    raw = signed_data.sign(CONTENT, SIGNER, TIME)
    while len(his) != len(ours):
        his = LocalSigner(OTHER, "data preparation", 2026).certificate
    with pytest.raises(SignatureRefused):
        signed_data.opened(raw.replace(ours, his))


def test_the_certificate_is_of_two_calendar_years() -> None:
    found = parsed(SIGNER.certificate)
    assert (found.begins, found.ends) == (
        datetime(2026, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    assert parsed(LocalSigner(PRIVATE, "data preparation", 2026).certificate).tbs == found.tbs
    assert parsed(LocalSigner(PRIVATE, "data preparation", 2027).certificate).tbs != found.tbs
    found.check_time(TIME)
    with pytest.raises(SignatureRefused, match="expired on 2028-01-01"):
        found.check_time(TIME.replace(year=2028))
    with pytest.raises(SignatureRefused, match="valid from 2026-01-01"):
        found.check_time(TIME.replace(year=2025))


def certificate_of(key: "ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey", issuer: str) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "somebody")])
    by = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)])
    builder = x509.CertificateBuilder(by, name, key.public_key(), 1, TIME, TIME.replace(year=2027))
    return builder.sign(key, SHA256()).public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    "certificate",
    [
        certificate_of(rsa.generate_private_key(65537, 2048), "somebody"),
        certificate_of(ec.generate_private_key(ec.SECP384R1()), "somebody"),
        certificate_of(ec.generate_private_key(ec.SECP256R1()), "somebody"),
        certificate_of(ec.generate_private_key(ec.SECP256R1()), "somebody else"),
        b"",
        b"\x30\x00",
    ],
    ids=["RSA", "P-384", "for no signatures", "not by itself", "nothing", "empty"],
)
def test_a_certificate_that_is_none_of_a_signer_is_refused(certificate: bytes) -> None:
    with pytest.raises(SignatureRefused):
        parsed(certificate)


# --- enveloped data -----------------------------------------------------------------------


def test_who_has_the_private_key_opens_what_is_enveloped() -> None:
    raw = enveloped_data.enveloped(b"a key", PUBLIC)
    assert enveloped_data.opened(raw, PRIVATE) == b"a key"
    assert enveloped_data.enveloped(b"a key", PUBLIC) != raw
    with pytest.raises(FormatError, match="not for this key"):
        enveloped_data.opened(raw, OTHER)


def test_openssl_decrypts_what_is_enveloped(tmp_path: Path) -> None:
    (tmp_path / "data.cms").write_bytes(enveloped_data.enveloped(CONTENT, PUBLIC))
    pem = private_key(PRIVATE).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    shown = openssl(
        "cms", "-decrypt", "-inform", "DER", "-in", tmp_path / "data.cms", "-inkey",
        tmp_path / "key.pem", "-binary",
    )  # fmt: skip
    assert shown == CONTENT


def test_no_changed_byte_of_enveloped_data_passes() -> None:
    raw = enveloped_data.enveloped(b"a key", PUBLIC)
    for at in range(len(raw)):
        for bit in range(8):
            changed = bytearray(raw)
            changed[at] ^= 1 << bit
            with pytest.raises(FormatError):
                enveloped_data.opened(bytes(changed), PRIVATE)


@pytest.mark.parametrize("raw", [b"", b"\x30\x80", bytes(100), b"\x30\x03\x02\x01\x01"])
def test_what_is_no_cms_is_refused(raw: bytes) -> None:
    with pytest.raises(FormatError):
        enveloped_data.opened(raw, PRIVATE)
    with pytest.raises(SignatureRefused):
        signed_data.opened(raw)


# --- keys as bytes ------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [bytes(32), b"\xff" * 32, bytes(31), b""], ids=range(4))
def test_a_number_that_is_no_private_key_is_refused(raw: bytes) -> None:
    with pytest.raises(FormatError):
        private_key(raw)


@pytest.mark.parametrize(
    "point",
    [b"\4" + bytes(64), PUBLIC[:-1], b"\2" + PUBLIC[1:33], b""],
    ids=["not on the curve", "cut", "compressed", "nothing"],
)
def test_a_point_that_is_not_on_the_curve_is_refused(point: bytes) -> None:
    with pytest.raises(FormatError):
        public_key(point)


def test_a_derived_key_is_always_one() -> None:
    for seed in (bytes(64), b"\xff" * 64, hashlib.sha512(b"seed").digest()):
        assert len(point_of(private_key(private_key_from(seed)))) == PUBLIC_LENGTH


def test_what_is_for_a_certificate_is_not_for_a_sites_key() -> None:
    """Both name their recipient in a way of its own; the same key opens one of them only."""
    certificate = x509.load_der_x509_certificate(SIGNER.certificate)
    raw = enveloped_data.enveloped_to(certificate, CONTENT)
    with pytest.raises(FormatError):
        enveloped_data.opened(raw, PRIVATE)
