"""Keys of P-256 as bytes: private ones as a number of 32 bytes, public ones as 04 ‖ X ‖ Y."""

import hashlib
import secrets

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ..errors import FormatError

CURVE = ec.SECP256R1()
PUBLIC_LENGTH = 65
PRIVATE_LENGTH = 32
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def new_private_key() -> bytes:
    """Make a private key with the operating system's generator, 32 bytes."""
    return (secrets.randbelow(_ORDER - 1) + 1).to_bytes(PRIVATE_LENGTH, "big")


def private_key_from(seed: bytes) -> bytes:
    """Derive a private key, 32 bytes, from 64 secret random bytes (FIPS 186-5 A.2.1)."""
    return (int.from_bytes(seed, "big") % (_ORDER - 1) + 1).to_bytes(PRIVATE_LENGTH, "big")


def private_key(raw: bytes) -> ec.EllipticCurvePrivateKey:
    """Return the private key of 32 bytes. Raises FormatError when they are none."""
    number = int.from_bytes(raw, "big")
    if len(raw) != PRIVATE_LENGTH or not 0 < number < _ORDER:
        raise FormatError("not a private key of P-256")
    return ec.derive_private_key(number, CURVE)


def public_key(point: bytes) -> ec.EllipticCurvePublicKey:
    """Return the public key of 04 ‖ X ‖ Y. Raises FormatError when it is none of the curve."""
    try:
        if len(point) != PUBLIC_LENGTH:
            raise ValueError
        return ec.EllipticCurvePublicKey.from_encoded_point(CURVE, point)
    except ValueError:
        raise FormatError("not a public key of P-256") from None


def point_of(key: ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) -> bytes:
    """Return the public key, 04 ‖ X ‖ Y, of either."""
    public = key if isinstance(key, ec.EllipticCurvePublicKey) else key.public_key()
    return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def key_name(point: bytes) -> bytes:
    """Return a public key's identifier: 20 bytes of the SHA-256 of it (RFC 7093 2, method 1)."""
    return hashlib.sha256(point).digest()[:20]
