"""The block cipher of a card (SM4 or AES) and its modes, built on the package `cryptography`."""

from enum import IntEnum

from cryptography.hazmat.primitives.ciphers import Cipher as _Cipher
from cryptography.hazmat.primitives.ciphers import CipherContext, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from ..errors import FormatError

BLOCK_SIZE = 16
_ZERO_IV = bytes(BLOCK_SIZE)


class Cipher(IntEnum):
    """A block cipher by its code on the card (FCI C1 and DGI 81kk)."""

    SM4 = 1
    AES = 2


_KEY_LENGTHS = {Cipher.SM4: (16,), Cipher.AES: (16, 24, 32)}


class BlockCipher:
    """A block cipher with its key: SM4 (GB/T 32907) or AES (FIPS 197). The key is never shown.

    Contexts are kept where the mode allows it, because making one costs more than using it.
    """

    __slots__ = ("_algorithm", "_cmac", "_ecb", "cipher")

    def __init__(self, cipher: Cipher, key: bytes) -> None:
        """Take a key of 16 bytes (SM4) or 16, 24, 32 (AES). Raises FormatError otherwise."""
        if len(key) not in _KEY_LENGTHS[cipher]:
            fit = " or ".join(map(str, _KEY_LENGTHS[cipher]))
            raise FormatError(f"the key has {len(key)} bytes; {cipher.name} needs {fit}")
        self.cipher = cipher
        make = algorithms.SM4 if cipher is Cipher.SM4 else algorithms.AES
        self._algorithm: algorithms.SM4 | algorithms.AES = make(key)
        self._ecb: CipherContext | None = None
        self._cmac: CMAC | None = None

    def __repr__(self) -> str:
        return f"<{self.cipher.name} key>"

    @property
    def check_value(self) -> bytes:
        """The key check value: 3 bytes of E_K(00*16) for SM4, of E_K(01*16) for AES.

        GlobalPlatform Card Amendment D 4.1.6 for AES; card specification 3 for SM4.
        """
        filler = b"\x00" if self.cipher is Cipher.SM4 else b"\x01"
        return self.encrypt_ecb(filler * BLOCK_SIZE)[:3]

    def encrypt_ecb(self, blocks: bytes) -> bytes:
        """Encrypt whole blocks, each by itself (SP 800-38A 6.1)."""
        _whole_blocks(blocks)
        return (self._ecb or self.ecb_encryptor()).update(blocks)

    def ecb_encryptor(self) -> CipherContext:
        """Return the one ECB encryption context that is kept. Give it whole blocks only."""
        if self._ecb is None:
            self._ecb = _Cipher(self._algorithm, modes.ECB()).encryptor()
        return self._ecb

    def decrypt_ecb(self, blocks: bytes) -> bytes:
        """Decrypt whole blocks, each by itself (SP 800-38A 6.1)."""
        _whole_blocks(blocks)
        return _Cipher(self._algorithm, modes.ECB()).decryptor().update(blocks)

    def cbc_encryptor(self, iv: bytes = _ZERO_IV) -> CipherContext:
        """Return a CBC encryption context; it need not be finalized (SP 800-38A 6.2)."""
        return _Cipher(self._algorithm, modes.CBC(iv)).encryptor()

    def cbc_decryptor(self, iv: bytes = _ZERO_IV) -> CipherContext:
        """Return a CBC decryption context; it need not be finalized (SP 800-38A 6.2)."""
        return _Cipher(self._algorithm, modes.CBC(iv)).decryptor()

    def encrypt_cbc(self, blocks: bytes, iv: bytes = _ZERO_IV) -> bytes:
        """Encrypt whole blocks under a 16-byte IV (SP 800-38A 6.2)."""
        _whole_blocks(blocks)
        return self.cbc_encryptor(iv).update(blocks)

    def decrypt_cbc(self, blocks: bytes, iv: bytes = _ZERO_IV) -> bytes:
        """Decrypt whole blocks under a 16-byte IV (SP 800-38A 6.2)."""
        _whole_blocks(blocks)
        return self.cbc_decryptor(iv).update(blocks)

    def cbc_mac(self, blocks: bytes, iv: bytes = _ZERO_IV) -> bytes:
        """Return the last CBC block over whole blocks, 16 bytes (ISO/IEC 9797-1 algorithm 1)."""
        return self.encrypt_cbc(blocks, iv)[-BLOCK_SIZE:]

    def keyed_cmac(self) -> CMAC:
        """Return a new CMAC context under this key (SP 800-38B 6.2)."""
        if self._cmac is None:
            self._cmac = CMAC(self._algorithm)
        return self._cmac.copy()

    def cmac(self, message: bytes) -> bytes:
        """Return the CMAC of a message, 16 bytes (SP 800-38B 6.2, RFC 4493)."""
        context = self.keyed_cmac()
        context.update(message)
        return context.finalize()


def pad(data: bytes) -> bytes:
    """Append 80 and the fewest 00 that fill a block (ISO/IEC 9797-1 method 2)."""
    return data + b"\x80" + bytes(-(len(data) + 1) % BLOCK_SIZE)


def unpad(data: bytes) -> bytes:
    """Remove what `pad` appended. Raises FormatError when the padding is wrong."""
    stripped = data.rstrip(b"\0")
    if len(data) % BLOCK_SIZE or not stripped.endswith(b"\x80") or len(data) - len(stripped) > 15:
        raise FormatError("the padding is not 80 00..")
    return stripped[:-1]


def _whole_blocks(data: bytes) -> None:
    if len(data) % BLOCK_SIZE:
        raise FormatError(f"{len(data)} bytes are not whole {BLOCK_SIZE}-byte blocks")
