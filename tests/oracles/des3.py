"""The 3DES suite of ICAO 9303-11 9.8.6, for its published examples only: no card of ours has it."""

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, modes

from cardlib.messaging.iso import Suite

ZERO_IV = bytes(8)


def single_des(key8: bytes) -> TripleDES:
    """DES, spelt as the triple with three equal keys."""
    return TripleDES(key8 * 3)


def block(algorithm: TripleDES, data: bytes, *, decrypt: bool = False) -> bytes:
    cipher = Cipher(algorithm, modes.ECB())
    context: CipherContext = cipher.decryptor() if decrypt else cipher.encryptor()
    return context.update(data)


def des3_suite(enc: bytes, mac: bytes, counter_start: int) -> Suite:
    """CBC under IV 0 whatever the counter says, and the retail MAC (ISO/IEC 9797-1 algorithm 3)."""
    encryption = TripleDES(enc + enc[:8])
    left, right = single_des(mac[:8]), single_des(mac[8:])

    def encrypt(_counter: int, padded: bytes) -> bytes:
        return Cipher(encryption, modes.CBC(ZERO_IV)).encryptor().update(padded)

    def decrypt(_counter: int, blocks: bytes) -> bytes:
        return Cipher(encryption, modes.CBC(ZERO_IV)).decryptor().update(blocks)

    def retail_mac(message: bytes) -> bytes:
        chained = Cipher(left, modes.CBC(ZERO_IV)).encryptor().update(message)[-8:]
        return block(left, block(right, chained, decrypt=True))

    return Suite(8, counter_start, encrypt, decrypt, retail_mac)
