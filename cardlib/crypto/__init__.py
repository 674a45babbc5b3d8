"""Cryptographic primitives that host and emulator share: block cipher, CMAC, key derivation."""

from .block import BLOCK_SIZE, BlockCipher, Cipher, pad, unpad
from .derivation import (
    STATIC_LABELS,
    BlockEncryption,
    Prf,
    counter_kdf,
    counter_mode,
    diversification_block,
    diversify,
    fold,
    kdf_data,
    key_check_value,
    static_keys,
)

__all__ = [
    "BLOCK_SIZE",
    "STATIC_LABELS",
    "BlockCipher",
    "BlockEncryption",
    "Cipher",
    "Prf",
    "counter_kdf",
    "counter_mode",
    "diversification_block",
    "diversify",
    "fold",
    "kdf_data",
    "key_check_value",
    "pad",
    "static_keys",
    "unpad",
]
