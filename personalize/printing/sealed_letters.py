"""Seal a file for who may open it: CMS AuthEnvelopedData with AES-256-GCM, for one certificate.

`openssl cms -decrypt` opens it. A certificate is the printer's: RSA (OAEP with SHA-256) or P-256
(ephemeral-static ECDH). It is not checked who issued it: the operator has compared it.
"""

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from cardlib.errors import CardKeyError
from cardlib.pki.enveloped_data import enveloped_to

_LEAST_RSA = 2048


def read_certificate(raw: bytes) -> x509.Certificate:
    """Read an X.509 certificate, PEM or DER; CardKeyError when it is none."""
    try:
        if raw.lstrip().startswith(b"-----"):
            return x509.load_pem_x509_certificate(raw)
        return x509.load_der_x509_certificate(raw)
    except ValueError:
        raise CardKeyError("it is no X.509 certificate (PEM or DER)") from None


def check_recipient(certificate: x509.Certificate, now: datetime | None = None) -> None:
    """Raise CardKeyError when nothing may be sealed for a certificate.

    That is when it is expired or not yet valid at `now` (aware; by default now), when it is only to
    sign or only a CA's, or when its key is neither P-256 nor RSA of 2,048 bits or more.
    """
    now = now or datetime.now(UTC)
    name = certificate.subject.rfc4514_string()
    if now < certificate.not_valid_before_utc:
        begins = f"{certificate.not_valid_before_utc:%Y-%m-%d}"
        raise CardKeyError(f"certificate {name} is valid from {begins} on, and not yet now")
    if now > certificate.not_valid_after_utc:
        ended = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
        raise CardKeyError(f"certificate {name} has expired on {ended}: ask for the new one")
    if not _may_receive(certificate):
        raise CardKeyError(
            f"certificate {name} is not to encrypt for (its key usage, or it is a CA's): ask for"
            " one with key usage keyEncipherment (RSA) or keyAgreement (P-256)"
        )
    if not _is_known_kind(certificate.public_key()):
        raise CardKeyError(
            f"certificate {name} has a key of another kind: use P-256, or RSA of {_LEAST_RSA} bits"
            " or more"
        )


def sealed_to(certificate: x509.Certificate, data: bytes, now: datetime | None = None) -> bytes:
    """Seal data for the holder of a certificate: a ContentInfo in DER.

    CardKeyError as `check_recipient` says.
    """
    check_recipient(certificate, now)
    return enveloped_to(certificate, data)


def _may_receive(certificate: x509.Certificate) -> bool:
    """Whether the certificate says that keys may be sent to its holder; a CA's must say so."""
    extensions = certificate.extensions
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        try:
            return not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except x509.ExtensionNotFound:
            return True
    if isinstance(certificate.public_key(), rsa.RSAPublicKey):
        return usage.key_encipherment
    return usage.key_agreement


def _is_known_kind(key: object) -> bool:
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size >= _LEAST_RSA
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
