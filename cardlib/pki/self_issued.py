"""Certificates that their own key has signed: a signer says its name and how long it signs."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from asn1crypto.x509 import Certificate
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from . import SignatureRefused
from .p256 import key_name, point_of, private_key

_YEARS = 2
_DAMAGE = (
    ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.InvalidVersion,
    x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType,
)  # fmt: skip
"""What reading a damaged certificate can raise."""


@dataclass(frozen=True, slots=True)
class SignerCertificate:
    """What a signer's certificate says. `tbs` is all that is signed in it."""

    der: bytes = field(repr=False)
    name: str
    point: bytes = field(repr=False)
    tbs: bytes = field(repr=False)
    begins: datetime
    ends: datetime

    def check_time(self, at: datetime) -> None:
        """Raise SignatureRefused when the certificate has expired, or is not yet valid, then."""
        if at > self.ends:
            raise SignatureRefused(
                f"the certificate {self.name} expired on {self.ends:%Y-%m-%d}: its signature is"
                f" not taken on {at:%Y-%m-%d}"
            )
        if at < self.begins:
            raise SignatureRefused(
                f"the certificate {self.name} is valid from {self.begins:%Y-%m-%d} on: its"
                f" signature is not taken on {at:%Y-%m-%d}. Is the clock right?"
            )


class LocalSigner:
    """A `Signer` whose key is in this process.

    Its certificate is valid from the first day of a calendar year to the last of the next one, so
    that it is the same whenever it is made in that year.
    """

    def __init__(self, private: bytes, name: str, year: int | None = None) -> None:
        """Take a private key, 32 bytes, the name in the certificate, and its first year."""
        self._key, self.name = private_key(private), name
        self._year = year or datetime.now(UTC).year
        self._certificate: bytes | None = None

    def __repr__(self) -> str:
        return f"<signer {self.name}>"

    @property
    def point(self) -> bytes:
        """The public key, 04 ‖ X ‖ Y."""
        return point_of(self._key)

    @property
    def certificate(self) -> bytes:
        """The X.509 certificate, DER."""
        if self._certificate is None:
            self._certificate = _certificate(self._key, self.name, self._year)
        return self._certificate

    def sign(self, message: bytes) -> bytes:
        """Sign by ECDSA with SHA-256; return ECDSA-Sig-Value, DER."""
        return self._key.sign(message, ec.ECDSA(SHA256()))


def parsed(der: bytes) -> SignerCertificate:
    """Read a self-issued certificate of P-256 and check its signature.

    Raises SignatureRefused when it is none, or is damaged.
    """
    try:
        if Certificate.load(der, strict=True).serial_number <= 0:
            raise ValueError  # RFC 5280 4.1.2.2
        found = x509.load_der_x509_certificate(der)
        public = found.public_key()
        if not isinstance(public, ec.EllipticCurvePublicKey) or found.issuer != found.subject:
            raise ValueError
        found.verify_directly_issued_by(found)
        signature = bytes((0x03, len(found.signature) + 1, 0)) + found.signature
        if not der.endswith(signature):  # the readers of a BIT STRING pass over its unused bits
            raise ValueError
        (name,) = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        usage = found.extensions.get_extension_for_class(x509.KeyUsage).value
    except _DAMAGE:
        raise SignatureRefused("the certificate is damaged, or is none of a signer") from None
    if public.curve.name != "secp256r1" or not usage.digital_signature:
        raise SignatureRefused("the certificate is not for signatures of P-256")
    return SignerCertificate(
        der=der,
        name=str(name.value),
        point=point_of(public),
        tbs=found.tbs_certificate_bytes,
        begins=found.not_valid_before_utc,
        ends=found.not_valid_after_utc,
    )


def _certificate(key: ec.EllipticCurvePrivateKey, name: str, year: int) -> bytes:
    point = point_of(key)
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    identifier = x509.SubjectKeyIdentifier(key_name(point))
    serial = int.from_bytes(key_name(point + year.to_bytes(2, "big"))[:16], "big") >> 1
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=False, crl_sign=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    builder = (
        x509.CertificateBuilder()
        .subject_name(named)
        .issuer_name(named)
        .public_key(key.public_key())
        .serial_number(serial or 1)
        .not_valid_before(datetime(year, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(year + _YEARS, 1, 1, tzinfo=UTC).replace(microsecond=0))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
    )
    return builder.sign(key, SHA256()).public_bytes(Encoding.DER)
