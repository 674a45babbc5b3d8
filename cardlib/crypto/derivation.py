"""Keys from keys: diversification, the counter KDF, key check values, the version-1 fold."""

from ..errors import FormatError
from .block import BLOCK_SIZE, BlockCipher, Cipher


def diversify(parent: BlockCipher, data8: bytes) -> bytes:
    """A 16-byte key from a key and 8 bytes: E_K(D ‖ not D) (PBOC 3.0 part 7's form for SM4)."""
    if len(data8) != 8:
        raise FormatError("diversification data has 8 bytes")
    return parent.encrypt_ecb(data8 + bytes(octet ^ 0xFF for octet in data8))


def counter_mode(prf: BlockCipher, fixed: bytes, bits: int) -> bytes:
    """SP 800-108r1 4.1: PRF CMAC over [i]32 ‖ fixed input data; `bits` is a multiple of 8."""
    size = bits // 8
    blocks = -(-size // BLOCK_SIZE)
    return b"".join(prf.cmac(i.to_bytes(4, "big") + fixed) for i in range(1, blocks + 1))[:size]


def counter_kdf(prf: BlockCipher, label: bytes, context: bytes, bits: int) -> bytes:
    """SP 800-108r1 4.1 in counter mode: PRF CMAC, [i]32 ‖ label ‖ 00 ‖ context ‖ [L]32.

    `bits` is the length of the result, a multiple of 8.
    """
    return counter_mode(prf, label + b"\0" + context + bits.to_bytes(4, "big"), bits)


def key_check_value(cipher: Cipher, key: bytes) -> bytes:
    """A key's check value, 3 bytes, as `BlockCipher.check_value`."""
    return BlockCipher(cipher, key).check_value


def fold(block: bytes) -> bytes:
    """The two halves of a block xored: the version-1 authentication cryptogram, 8 bytes."""
    left, right = int.from_bytes(block[:8], "big"), int.from_bytes(block[8:16], "big")
    return (left ^ right).to_bytes(8, "big")


def static_keys(root: BlockCipher, chip: bytes) -> tuple[bytes, bytes, bytes]:
    """A chip's static Key-ENC, Key-MAC, Key-DEK, 16 bytes each, from a transport or issuer root.

    SP 800-108 counter KDF with labels "ENC", "MAC", "DEK" and the 8-byte chip serial as context.
    """
    enc, mac, dek = (counter_kdf(root, label, chip, 128) for label in (b"ENC", b"MAC", b"DEK"))
    return enc, mac, dek
