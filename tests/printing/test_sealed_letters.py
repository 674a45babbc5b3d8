"""What is sealed for a certificate is opened by openssl with its key, and by nothing else."""

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from cardlib.errors import CardKeyError
from personalize.printing.sealed_letters import check_recipient, read_certificate, sealed_to

DATA = "黄玉晨,047932\r\n".encode() * 100
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
DAY = timedelta(days=1)
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
MAKERS: dict[str, Callable[[], Key]] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "RSA of 1,024 bits": lambda: rsa.generate_private_key(65537, 1024),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}
NOTHING = dict.fromkeys(
    (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    ),
    False,
)  # fmt: skip


@cache
def key_of(kind: str) -> Key:
    """A key of a kind, made once."""
    return MAKERS[kind]()


def certificate(
    kind: str,
    *usages: str,
    ca: bool | None = None,
    begins: datetime = NOW - DAY,
    ends: datetime = NOW + DAY,
) -> x509.Certificate:
    """A certificate that its own key signed, with the key usages that are named, if any is."""
    key = key_of(kind)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Printer")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
    if usages:
        usage = x509.KeyUsage(**{**NOTHING, **dict.fromkeys(usages, True)})
        builder = builder.add_extension(usage, critical=True)
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm)


def opened(sealed: bytes, key: Key, own: x509.Certificate, folder: Path) -> bytes | None:
    """What `openssl cms -decrypt` makes of it with a key; None if it refuses."""
    pem = serialization.Encoding.PEM
    (folder / "own.pem").write_bytes(own.public_bytes(pem))
    clear = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(pem, form, clear))
    (folder / "sealed.der").write_bytes(sealed)
    done = subprocess.run(
        ["openssl", "cms", "-decrypt", "-inform", "DER", "-in", folder / "sealed.der",
         "-recip", folder / "own.pem", "-inkey", folder / "key.pem"],
        check=False, capture_output=True, timeout=60,
    )  # fmt: skip
    return done.stdout if done.returncode == 0 else None


@pytest.mark.parametrize("kind", ["RSA", "P-256"])
@pytest.mark.parametrize("data", [DATA, b""], ids=["text", "empty"])
def test_openssl_opens_it(kind: str, data: bytes, tmp_path: Path) -> None:
    own = certificate(kind)
    sealed = sealed_to(own, data, NOW)
    assert DATA[:20] not in sealed
    assert opened(sealed, key_of(kind), own, tmp_path) == data


@pytest.mark.parametrize("kind", ["RSA", "P-256"])
def test_a_changed_byte_is_refused(kind: str, tmp_path: Path) -> None:
    own = certificate(kind)
    sealed = bytearray(sealed_to(own, DATA, NOW))
    sealed[-30] ^= 1
    assert opened(bytes(sealed), key_of(kind), own, tmp_path) is None


def test_another_key_does_not_open_it(tmp_path: Path) -> None:
    own = certificate("P-256")
    sealed = sealed_to(own, DATA, NOW)
    assert opened(sealed, MAKERS["P-256"](), own, tmp_path) is None


def test_two_seals_of_the_same_data_differ_in_key_and_nonce() -> None:
    own = certificate("P-256")
    first, second = (sealed_to(own, DATA, NOW) for _ in range(2))
    assert first != second
    assert first[-116:-16] != second[-116:-16]


def refusal(own: x509.Certificate) -> str:
    with pytest.raises(CardKeyError) as raised:
        sealed_to(own, DATA, NOW)
    return str(raised.value)


def test_a_certificate_out_of_its_time_is_refused() -> None:
    assert "has expired on 2026-11-27" in refusal(
        certificate("P-256", begins=NOW - 9 * DAY, ends=NOW - DAY)
    )
    assert "is valid from 2026-11-29 on" in refusal(
        certificate("P-256", begins=NOW + DAY, ends=NOW + 9 * DAY)
    )


@pytest.mark.parametrize(
    ("kind", "usages", "ca"),
    [
        ("P-256", (), True),
        ("P-256", ("key_cert_sign", "crl_sign"), True),
        ("P-256", ("digital_signature",), None),
        ("P-256", ("key_encipherment",), None),
        ("RSA", ("key_agreement",), None),
        ("RSA", ("digital_signature",), False),
    ],
)
def test_a_certificate_that_is_not_to_encrypt_for_is_refused(
    kind: str, usages: tuple[str, ...], ca: bool | None
) -> None:
    assert "is not to encrypt for" in refusal(certificate(kind, *usages, ca=ca))


@pytest.mark.parametrize(
    ("kind", "usages", "ca"),
    [
        ("P-256", ("key_agreement",), None),
        ("RSA", ("key_encipherment",), False),
        ("RSA", ("key_encipherment", "key_cert_sign"), True),
    ],
)
def test_a_certificate_that_says_it_is_to_encrypt_for_is_taken(
    kind: str, usages: tuple[str, ...], ca: bool | None
) -> None:
    check_recipient(certificate(kind, *usages, ca=ca), NOW)


@pytest.mark.parametrize("kind", ["P-384", "RSA of 1,024 bits", "Ed25519"])
def test_a_key_of_another_kind_is_refused(kind: str) -> None:
    assert "has a key of another kind: use P-256, or RSA of 2048 bits" in refusal(certificate(kind))


def test_a_certificate_is_read_as_pem_and_as_der() -> None:
    own = certificate("P-256")
    for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER):
        assert read_certificate(own.public_bytes(encoding)) == own


@pytest.mark.parametrize(
    "raw", [b"", b"-----BEGIN CERTIFICATE-----\nAA==\n", b"\x30\x03\x02\x01\x00"]
)
def test_what_is_no_certificate_is_refused(raw: bytes) -> None:
    with pytest.raises(CardKeyError, match=r"no X\.509 certificate"):
        read_certificate(raw)
