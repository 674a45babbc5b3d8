"""Seal a file for who may open it: CMS AuthEnvelopedData with AES-256-GCM, for one certificate.

`openssl cms -decrypt` opens it. A certificate is the printer's: RSA (OAEP with SHA-256) or P-256
(ephemeral-static ECDH). It is not checked who issued it: the operator has compared it.
"""

import os
from datetime import UTC, datetime
from typing import Any, ClassVar

from asn1crypto import cms, core, keys
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF

from cardlib.errors import CardKeyError

_AUTH_ENVELOPED = "1.2.840.113549.1.9.16.1.23"
_AES_256_GCM = "2.16.840.1.101.3.4.1.46"
_ECDH_SHA256 = "1.3.132.1.11.1"
"""dhSinglePass-stdDH-sha256kdf-scheme (RFC 5753, 7.1.4)."""
_OAEP_SHA256 = {
    "hash_algorithm": {"algorithm": "sha256"},
    "mask_gen_algorithm": {"algorithm": "mgf1", "parameters": {"algorithm": "sha256"}},
}
"""Parameters of RSAES-OAEP (RFC 4055, 4.1)."""
_KEY, _NONCE, _TAG = 32, 12, 16
_LEAST_RSA = 2048


class _GcmParameters(core.Sequence):  # type: ignore[misc]
    """RFC 5084, 3.2."""

    _fields: ClassVar = [
        ("nonce", core.OctetString),
        ("icv_length", core.Integer, {"default": 12}),
    ]


class _AuthEnvelopedData(core.Sequence):  # type: ignore[misc]
    """RFC 5083, 2.1; without the attributes, which we do not use."""

    _fields: ClassVar = [
        ("version", cms.CMSVersion),
        ("recipient_infos", cms.RecipientInfos),
        ("auth_encrypted_content_info", cms.EncryptedContentInfo),
        ("mac", core.OctetString),
    ]


class _EccSharedInfo(core.Sequence):  # type: ignore[misc]
    """ECC-CMS-SharedInfo (RFC 5753, 7.2)."""

    _fields: ClassVar = [
        ("key_info", cms.KeyEncryptionAlgorithm),
        ("supp_pub_info", core.OctetString, {"explicit": 2}),
    ]


class _ContentInfo(core.Sequence):  # type: ignore[misc]
    """RFC 5652, 3, with the one content that we make."""

    _fields: ClassVar = [
        ("content_type", core.ObjectIdentifier),
        ("content", _AuthEnvelopedData, {"explicit": 0}),
    ]


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
    key, nonce = os.urandom(_KEY), os.urandom(_NONCE)
    sealed = AESGCM(key).encrypt(nonce, data, None)
    content = _AuthEnvelopedData(
        {
            "version": "v0",
            "recipient_infos": [_recipient(certificate, key)],
            "auth_encrypted_content_info": {
                "content_type": "data",
                "content_encryption_algorithm": {
                    "algorithm": _AES_256_GCM,
                    "parameters": _GcmParameters({"nonce": nonce, "icv_length": _TAG}),
                },
                "encrypted_content": sealed[:-_TAG],
            },
            "mac": sealed[-_TAG:],
        }
    )
    return bytes(_ContentInfo({"content_type": _AUTH_ENVELOPED, "content": content}).dump())


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


def _recipient(certificate: x509.Certificate, key: bytes) -> cms.RecipientInfo:
    """Who may open the content, and the content's key for them."""
    parsed = asn1_x509.Certificate.load(certificate.public_bytes(serialization.Encoding.DER))
    who = cms.IssuerAndSerialNumber(
        {"issuer": parsed.issuer, "serial_number": parsed.serial_number}
    )
    public = certificate.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        return cms.RecipientInfo("ktri", _key_transport(public, who, key))
    assert isinstance(public, ec.EllipticCurvePublicKey)
    return cms.RecipientInfo("kari", _key_agreement(public, who, key))


def _key_transport(public: rsa.RSAPublicKey, who: Any, key: bytes) -> cms.KeyTransRecipientInfo:
    """RFC 5652, 6.2.1, with RSAES-OAEP (RFC 3560)."""
    sha256 = hashes.SHA256()
    encrypted = public.encrypt(key, padding.OAEP(padding.MGF1(sha256), sha256, None))
    return cms.KeyTransRecipientInfo(
        {
            "version": "v0",
            "rid": cms.RecipientIdentifier("issuer_and_serial_number", who),
            "key_encryption_algorithm": {"algorithm": "rsaes_oaep", "parameters": _OAEP_SHA256},
            "encrypted_key": encrypted,
        }
    )


def _key_agreement(
    public: ec.EllipticCurvePublicKey, who: Any, key: bytes
) -> cms.KeyAgreeRecipientInfo:
    """RFC 5753, 3.1: an ephemeral key of ours, used once, with the key of the certificate."""
    ephemeral = ec.generate_private_key(public.curve)
    wrap = cms.KeyEncryptionAlgorithm({"algorithm": "aes256_wrap"})
    info = _EccSharedInfo({"key_info": wrap, "supp_pub_info": (8 * _KEY).to_bytes(4, "big")})
    shared = ephemeral.exchange(ec.ECDH(), public)
    wrapping = X963KDF(hashes.SHA256(), _KEY, info.dump()).derive(shared)
    point = ephemeral.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    originator = keys.PublicKeyInfo({"algorithm": {"algorithm": "ec"}, "public_key": point})
    return cms.KeyAgreeRecipientInfo(
        {
            "version": "v3",
            "originator": cms.OriginatorIdentifierOrKey("originator_key", originator),
            "key_encryption_algorithm": {"algorithm": _ECDH_SHA256, "parameters": wrap},
            "recipient_encrypted_keys": [
                {
                    "rid": cms.KeyAgreementRecipientIdentifier("issuer_and_serial_number", who),
                    "encrypted_key": keywrap.aes_key_wrap(wrapping, key),
                }
            ],
        }
    )
