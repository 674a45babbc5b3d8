"""Signed data of one signer: CMS SignedData with its content (RFC 5652 5), ECDSA P-256, SHA-256.

The signed attributes are content type, message digest and signing time. The signer's certificate
is in it. There is one encoding of it, DER: every other one is refused.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime

from asn1crypto import algos, cms, core, x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from . import SignatureRefused, Signer
from .p256 import public_key
from .self_issued import SignerCertificate, parsed

_DAMAGED = "it is damaged, or is no signed data of this program"


@dataclass(frozen=True, slots=True)
class SignedContent:
    """Signed data whose signature is right. Whether its signer may sign it is another question."""

    content: bytes = field(repr=False)
    signer: SignerCertificate
    time: datetime


def sign(content: bytes, signer: Signer, time: datetime | None = None) -> bytes:
    """Sign content; return CMS SignedData, DER. `time` is now, unless another is given."""
    at = (time or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0)
    attributes = _attributes(content, at)
    signature = signer.sign(attributes.dump())
    return _encoded(content, signer.certificate, attributes, signature)


def opened(raw: bytes) -> SignedContent:
    """Check the signature of signed data. Raises SignatureRefused when it is damaged."""
    try:
        content, der, time, signature = _parts(raw)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        raise SignatureRefused(_DAMAGED) from None
    certificate = parsed(der)
    attributes = _attributes(content, time)
    if _encoded(content, der, attributes, signature) != raw:
        raise SignatureRefused(_DAMAGED)
    try:
        key = public_key(certificate.point)
        key.verify(signature, attributes.dump(), ec.ECDSA(SHA256()))
    except InvalidSignature:
        raise SignatureRefused("its signature is wrong: it was changed") from None
    return SignedContent(content, certificate, time)


def _parts(raw: bytes) -> tuple[bytes, bytes, datetime, bytes]:
    found = cms.ContentInfo.load(raw, strict=True)
    if found["content_type"].native != "signed_data":
        raise ValueError
    data = found["content"]
    (certificate,) = data["certificates"]
    (info,) = data["signer_infos"]
    content: bytes = data["encap_content_info"]["content"].native
    times = [each for each in info["signed_attrs"] if each["type"].native == "signing_time"]
    time: datetime = times[0]["values"][0].native
    signature: bytes = info["signature"].native
    return content, certificate.dump(), time, signature


def _attributes(content: bytes, time: datetime) -> cms.CMSAttributes:
    digest = hashlib.sha256(content).digest()
    if time.year < 2050:  # RFC 5652 11.3
        clock = cms.Time({"utc_time": core.UTCTime(time)})
    else:
        clock = cms.Time({"generalized_time": core.GeneralizedTime(time)})
    values = (("content_type", "data"), ("message_digest", digest), ("signing_time", clock))
    attributes = cms.CMSAttributes(
        [cms.CMSAttribute({"type": name, "values": [value]}) for name, value in values]
    )
    return cms.CMSAttributes.load(attributes.dump(force=True), strict=True)


def _encoded(
    content: bytes, certificate: bytes, attributes: cms.CMSAttributes, signature: bytes
) -> bytes:
    digest = algos.DigestAlgorithm({"algorithm": "sha256"})
    whose = x509.Certificate.load(certificate)
    info = cms.SignerInfo(
        {
            "version": "v1",
            "sid": cms.SignerIdentifier(
                {
                    "issuer_and_serial_number": cms.IssuerAndSerialNumber(
                        {"issuer": whose.issuer, "serial_number": whose.serial_number}
                    )
                }
            ),
            "digest_algorithm": digest,
            "signed_attrs": attributes,
            "signature_algorithm": algos.SignedDigestAlgorithm({"algorithm": "sha256_ecdsa"}),
            "signature": signature,
        }
    )
    data = cms.SignedData(
        {
            "version": "v1",
            "digest_algorithms": [digest],
            "encap_content_info": {"content_type": "data", "content": content},
            "certificates": [cms.CertificateChoices({"certificate": whose})],
            "signer_infos": [info],
        }
    )
    return bytes(cms.ContentInfo({"content_type": "signed_data", "content": data}).dump())
