"""Certificates, and data that is signed or enveloped by public keys (X.509, CMS).

All keys are of P-256. Who holds a private key shows it to nobody: it signs, or agrees on a key.
"""

from typing import Protocol

from ..errors import CardError


class SignatureRefused(CardError):
    """What was signed is damaged, or was signed with a certificate that is not good for it."""


class Signer(Protocol):
    """Whoever signs with a private key of P-256, and has a certificate for it."""

    @property
    def certificate(self) -> bytes:
        """The X.509 certificate, DER."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Sign by ECDSA with SHA-256; return ECDSA-Sig-Value, DER (RFC 5758 3.2)."""
        ...
