"""Cryptographic primitives that host and emulator share: block cipher, CMAC, key derivation."""

from .block import BLOCK_SIZE, BlockCipher, Cipher, pad, unpad
from .derivation import (
    counter_kdf,
    counter_mode,
    diversify,
    fold,
    key_check_value,
    static_keys,
    with_complement,
)

__all__ = [
    "BLOCK_SIZE",
    "BlockCipher",
    "Cipher",
    "counter_kdf",
    "counter_mode",
    "diversify",
    "fold",
    "key_check_value",
    "pad",
    "static_keys",
    "unpad",
    "with_complement",
]
