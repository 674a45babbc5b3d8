"""Data for one recipient: CMS AuthEnvelopedData (RFC 5083), AES-256-GCM (RFC 5084).

The content key is agreed by ECDH on P-256 with a new key of the sender (RFC 5753 3.1): scheme
dhSinglePass-stdDH-sha256kdf, key wrap id-aes256-wrap (RFC 3394). The recipient is named by the
identifier of its public key. For a certificate it is named by issuer and serial number; if its key
is RSA, the content key is encrypted by RSAES-OAEP with SHA-256 (RFC 3560).
"""

import secrets

from asn1crypto import cms, core
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_wrap,
)
from cryptography.hazmat.primitives.serialization import Encoding

from ..errors import FormatError
from .p256 import CURVE, key_name, new_private_key, point_of, private_key, public_key

_ECDH = "1.3.132.1.11.1"
_AES256_WRAP = "2.16.840.1.101.3.4.1.45"
_AES256_GCM = "2.16.840.1.101.3.4.1.46"
_EC_PUBLIC_KEY = "1.2.840.10045.2.1"
_OAEP_SHA256 = {
    "hash_algorithm": {"algorithm": "sha256"},
    "mask_gen_algorithm": {"algorithm": "mgf1", "parameters": {"algorithm": "sha256"}},
}
"""Parameters of RSAES-OAEP (RFC 4055 4.1)."""
_KEY, _NONCE, _TAG = 32, 12, 16
_CLOSED = "it is not for this key, or is damaged"


class _AlgorithmIdentifier(core.Sequence):  # type: ignore[misc]
    """An algorithm by its object identifier, with parameters of any kind (RFC 5280 4.1.1.2)."""

    _fields = [  # noqa: RUF012
        ("algorithm", core.ObjectIdentifier),
        ("parameters", core.Any, {"optional": True}),
    ]


class _SharedInfo(core.Sequence):  # type: ignore[misc]
    """ECC-CMS-SharedInfo (RFC 5753 7.2)."""

    _fields = [  # noqa: RUF012
        ("key_info", _AlgorithmIdentifier),
        ("entity_u_info", core.OctetString, {"explicit": 0, "optional": True}),
        ("supp_pub_info", core.OctetString, {"explicit": 2}),
    ]


class _GcmParameters(core.Sequence):  # type: ignore[misc]
    """GCMParameters (RFC 5084 3.2)."""

    _fields = [  # noqa: RUF012
        ("nonce", core.OctetString),
        ("length", core.Integer, {"default": 12}),
    ]


class _OriginatorPublicKey(core.Sequence):  # type: ignore[misc]
    """OriginatorPublicKey (RFC 5753 3.1.1): without parameters, as the curve is the recipient's."""

    _fields = [  # noqa: RUF012
        ("algorithm", _AlgorithmIdentifier),
        ("public_key", core.OctetBitString),
    ]


class _Originator(core.Choice):  # type: ignore[misc]
    """OriginatorIdentifierOrKey (RFC 5652 6.2.2): always the sender's new key."""

    _alternatives = [("key", _OriginatorPublicKey, {"implicit": 1})]  # noqa: RUF012


class _RecipientKeyIdentifier(core.Sequence):  # type: ignore[misc]
    """RecipientKeyIdentifier (RFC 5652 6.2.2)."""

    _fields = [("name", core.OctetString)]  # noqa: RUF012


class _Recipient(core.Choice):  # type: ignore[misc]
    """KeyAgreeRecipientIdentifier (RFC 5652 6.2.2)."""

    _alternatives = [  # noqa: RUF012
        ("certificate", cms.IssuerAndSerialNumber),
        ("key", _RecipientKeyIdentifier, {"implicit": 0}),
    ]


class _EncryptedKey(core.Sequence):  # type: ignore[misc]
    """RecipientEncryptedKey (RFC 5652 6.2.2)."""

    _fields = [("recipient", _Recipient), ("encrypted", core.OctetString)]  # noqa: RUF012


class _EncryptedKeys(core.SequenceOf):  # type: ignore[misc]
    _child_spec = _EncryptedKey


class _KeyAgreement(core.Sequence):  # type: ignore[misc]
    """KeyAgreeRecipientInfo (RFC 5652 6.2.2), version 3."""

    _fields = [  # noqa: RUF012
        ("version", core.Integer),
        ("originator", _Originator, {"explicit": 0}),
        ("algorithm", _AlgorithmIdentifier),
        ("keys", _EncryptedKeys),
    ]


class _RecipientInfo(core.Choice):  # type: ignore[misc]
    """RecipientInfo (RFC 5652 6.2): by key transport or key agreement."""

    _alternatives = [  # noqa: RUF012
        ("transport", cms.KeyTransRecipientInfo),
        ("agreement", _KeyAgreement, {"implicit": 1}),
    ]


class _RecipientInfos(core.SetOf):  # type: ignore[misc]
    _child_spec = _RecipientInfo


class _EncryptedContent(core.Sequence):  # type: ignore[misc]
    """EncryptedContentInfo (RFC 5652 6.1)."""

    _fields = [  # noqa: RUF012
        ("type", core.ObjectIdentifier),
        ("algorithm", _AlgorithmIdentifier),
        ("content", core.OctetString, {"implicit": 0}),
    ]


class _AuthEnvelopedData(core.Sequence):  # type: ignore[misc]
    """AuthEnvelopedData (RFC 5083 2.1), version 0, without attributes."""

    _fields = [  # noqa: RUF012
        ("version", core.Integer),
        ("recipients", _RecipientInfos),
        ("content", _EncryptedContent),
        ("mac", core.OctetString),
    ]


class _ContentInfo(core.Sequence):  # type: ignore[misc]
    """ContentInfo (RFC 5652 3)."""

    _fields = [  # noqa: RUF012
        ("type", core.ObjectIdentifier),
        ("content", _AuthEnvelopedData, {"explicit": 0}),
    ]


_TYPE = "1.2.840.113549.1.9.16.1.23"
_DATA = "1.2.840.113549.1.7.1"


def enveloped(content: bytes, recipient: bytes) -> bytes:
    """Encrypt content for a public key, 04 ‖ X ‖ Y; return CMS AuthEnvelopedData, DER.

    Raises FormatError when it is no public key of P-256.
    """
    key = secrets.token_bytes(_KEY)
    sender, wrapped = _agreed(public_key(recipient), key)
    who = _Recipient({"key": {"name": key_name(recipient)}})
    return _sealed(_agreement(sender, who, wrapped), key, content)


def enveloped_to(certificate: x509.Certificate, content: bytes) -> bytes:
    """Encrypt content for the holder of a certificate; return CMS AuthEnvelopedData, DER.

    Its key is RSA or of P-256. Raises FormatError for another one. Nothing else of it is checked.
    """
    parsed = asn1_x509.Certificate.load(certificate.public_bytes(Encoding.DER))
    who = cms.IssuerAndSerialNumber(
        {"issuer": parsed.issuer, "serial_number": parsed.serial_number}
    )
    public, key = certificate.public_key(), secrets.token_bytes(_KEY)
    if isinstance(public, rsa.RSAPublicKey):
        return _sealed(_transport(public, who, key), key, content)
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name != CURVE.name:
        raise FormatError("the certificate's key is neither RSA nor of P-256")
    sender, wrapped = _agreed(public, key)
    return _sealed(_agreement(sender, _Recipient({"certificate": who}), wrapped), key, content)


def opened(raw: bytes, private: bytes) -> bytes:
    """Decrypt what was enveloped for a private key, 32 bytes.

    Raises FormatError when it is for another key, or is damaged.
    """
    ours = private_key(private)
    try:
        sender, name, wrapped, nonce, sealed = _parts(raw)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise FormatError(_CLOSED) from None
    right_form = _encoded(sender, name, wrapped, nonce, sealed) == raw
    if not right_form or name != key_name(point_of(ours)):
        raise FormatError(_CLOSED)
    try:
        key = aes_key_unwrap(_wrapping_key(ours, public_key(sender)), wrapped)
        return AESGCM(key).decrypt(nonce, sealed, None)
    except (InvalidUnwrap, InvalidTag, ValueError):
        raise FormatError(_CLOSED) from None


def _wrapping_key(ours: ec.EllipticCurvePrivateKey, theirs: ec.EllipticCurvePublicKey) -> bytes:
    info = _SharedInfo(
        {
            "key_info": {"algorithm": _AES256_WRAP},
            "supp_pub_info": (8 * _KEY).to_bytes(4, "big"),
        }
    ).dump()
    return X963KDF(SHA256(), _KEY, info).derive(ours.exchange(ec.ECDH(), theirs))


def _agreed(theirs: ec.EllipticCurvePublicKey, key: bytes) -> tuple[bytes, bytes]:
    """The sender's new public key, and the content key wrapped for the recipient."""
    ours = private_key(new_private_key())
    return point_of(ours), aes_key_wrap(_wrapping_key(ours, theirs), key)


def _parts(raw: bytes) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    data = _ContentInfo.load(raw, strict=True)["content"]
    (recipient,) = data["recipients"]
    agreement = recipient.chosen
    (encrypted,) = agreement["keys"]
    if encrypted["recipient"].name != "key":
        raise FormatError(_CLOSED)
    found = data["content"]
    nonce = found["algorithm"]["parameters"].parse(_GcmParameters)["nonce"].native
    return (
        agreement["originator"].chosen["public_key"].native,
        encrypted["recipient"].chosen["name"].native,
        encrypted["encrypted"].native,
        nonce,
        found["content"].native + data["mac"].native,
    )


def _encoded(sender: bytes, name: bytes, wrapped: bytes, nonce: bytes, sealed: bytes) -> bytes:
    who = _Recipient({"key": {"name": name}})
    return _content_info(_agreement(sender, who, wrapped), nonce, sealed)


def _agreement(sender: bytes, who: _Recipient, wrapped: bytes) -> _RecipientInfo:
    agreement = _KeyAgreement(
        {
            "version": 3,
            "originator": _Originator(
                {"key": {"algorithm": {"algorithm": _EC_PUBLIC_KEY}, "public_key": sender}}
            ),
            "algorithm": {
                "algorithm": _ECDH,
                "parameters": core.Any(_AlgorithmIdentifier({"algorithm": _AES256_WRAP})),
            },
            "keys": [{"recipient": who, "encrypted": wrapped}],
        }
    )
    return _RecipientInfo({"agreement": agreement})


def _transport(
    public: rsa.RSAPublicKey, who: cms.IssuerAndSerialNumber, key: bytes
) -> _RecipientInfo:
    """RFC 5652 6.2.1, with RSAES-OAEP (RFC 3560)."""
    encrypted = public.encrypt(key, padding.OAEP(padding.MGF1(SHA256()), SHA256(), None))
    transport = cms.KeyTransRecipientInfo(
        {
            "version": "v0",
            "rid": cms.RecipientIdentifier("issuer_and_serial_number", who),
            "key_encryption_algorithm": {"algorithm": "rsaes_oaep", "parameters": _OAEP_SHA256},
            "encrypted_key": encrypted,
        }
    )
    return _RecipientInfo({"transport": transport})


def _sealed(recipient: _RecipientInfo, key: bytes, content: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE)
    return _content_info(recipient, nonce, AESGCM(key).encrypt(nonce, content, None))


def _content_info(recipient: _RecipientInfo, nonce: bytes, sealed: bytes) -> bytes:
    content = {
        "type": _DATA,
        "algorithm": {
            "algorithm": _AES256_GCM,
            "parameters": core.Any(_GcmParameters({"nonce": nonce, "length": _TAG})),
        },
        "content": sealed[:-_TAG],
    }
    data = _AuthEnvelopedData(
        {"version": 0, "recipients": [recipient], "content": content, "mac": sealed[-_TAG:]}
    )
    return bytes(_ContentInfo({"type": _TYPE, "content": data}).dump())
