"""Derive keys from keys: diversification, the counter KDF, check values, the version-1 fold."""

from typing import Protocol

from ..errors import FormatError
from .block import BLOCK_SIZE, BlockCipher, Cipher

STATIC_LABELS = (b"ENC", b"MAC", b"DEK")
"""The labels of the counter KDF for a chip's static SCP03 keys (card specification 6)."""


class BlockEncryption(Protocol):
    """A key that encrypts blocks: a `BlockCipher`, or a key in a token."""

    def encrypt_ecb(self, blocks: bytes) -> bytes:
        """Encrypt whole 16-byte blocks, each by itself (SP 800-38A 6.1)."""
        ...


class Prf(Protocol):
    """A key that makes CMACs: a `BlockCipher`, or a key in a token."""

    def cmac(self, message: bytes) -> bytes:
        """Return the CMAC of a message, 16 bytes (SP 800-38B 6.2, RFC 4493)."""
        ...


def diversify(parent: BlockEncryption, data8: bytes) -> bytes:
    """Derive a 16-byte key from a key and 8 bytes D: E_K(D ‖ not D) (card specification 3)."""
    return parent.encrypt_ecb(diversification_block(data8))


def diversification_block(data8: bytes) -> bytes:
    """Return the block that `diversify` encrypts: D ‖ not D, 16 bytes (card specification 3)."""
    if len(data8) != 8:
        raise FormatError(f"diversification data must have 8 bytes, not {len(data8)}")
    return data8 + (int.from_bytes(data8, "big") ^ 0xFFFFFFFFFFFFFFFF).to_bytes(8, "big")


def counter_mode(prf: Prf, fixed: bytes, bits: int) -> bytes:
    """Return CMAC over [i]32 ‖ fixed, for i from 1 (SP 800-108r1 4.1). `bits`: a multiple of 8."""
    size = bits // 8
    blocks = -(-size // BLOCK_SIZE)
    return b"".join(prf.cmac(i.to_bytes(4, "big") + fixed) for i in range(1, blocks + 1))[:size]


def counter_kdf(prf: Prf, label: bytes, context: bytes, bits: int) -> bytes:
    """Derive a key in counter mode: CMAC over [i]32 ‖ label ‖ 00 ‖ context ‖ [L]32.

    `bits` (L) is the length of the result, a multiple of 8 (SP 800-108r1 4.1).
    """
    return counter_mode(prf, kdf_data(label, context) + bits.to_bytes(4, "big"), bits)


def kdf_data(label: bytes, context: bytes) -> bytes:
    """Return what stands between counter and length in the counter KDF: label ‖ 00 ‖ context."""
    return label + b"\0" + context


def key_check_value(cipher: Cipher, key: bytes) -> bytes:
    """Return a key's check value, 3 bytes, as `BlockCipher.check_value` does."""
    return BlockCipher(cipher, key).check_value


def fold(block: bytes) -> bytes:
    """Xor the halves of a block: the version-1 cryptogram, 8 bytes (card specification 4)."""
    left, right = int.from_bytes(block[:8], "big"), int.from_bytes(block[8:16], "big")
    return (left ^ right).to_bytes(8, "big")


def static_keys(root: Prf, chip: bytes) -> tuple[bytes, bytes, bytes]:
    """Derive a chip's Key-ENC, Key-MAC, Key-DEK, 16 bytes each, from a transport or issuer root.

    The counter KDF takes the labels "ENC", "MAC", "DEK" and the 8-byte chip serial as context
    (card specification 6).
    """
    enc, mac, dek = (counter_kdf(root, label, chip, 128) for label in STATIC_LABELS)
    return enc, mac, dek
