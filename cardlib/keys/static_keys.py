"""Static SCP03 keys in memory, and session keys derived from them (GPC Amendment D 1.2, 4, 6)."""

from functools import cache

from ..crypto import BLOCK_SIZE, BlockCipher, Cipher, Prf, key_check_value, static_keys
from ..errors import CardKeyError
from . import Scp03Keys, WrappedKey

S_ENC, S_MAC, S_RMAC = 0x04, 0x06, 0x07
CARD_CRYPTOGRAM, HOST_CRYPTOGRAM, CARD_CHALLENGE = 0x00, 0x01, 0x02


def derive(prf: Prf, constant: int, context: bytes, bits: int) -> bytes:
    """Derive key or cryptogram bytes: SP 800-108 in counter mode (Amendment D 4.1.5).

    The input is 00*11 ‖ constant ‖ 00 ‖ [bits]16 ‖ [i]8 ‖ context. `bits` is a multiple of 8.
    """
    fixed, size = _fixed(constant, bits), bits // 8
    if size <= BLOCK_SIZE:
        return prf.cmac(fixed + b"\1" + context)[:size]
    return (prf.cmac(fixed + b"\1" + context) + prf.cmac(fixed + b"\2" + context))[:size]


@cache
def _fixed(constant: int, bits: int) -> bytes:
    return bytes(11) + bytes((constant, 0)) + bits.to_bytes(2, "big")


class SoftwareScp03Keys:
    """One chip's Key-ENC, Key-MAC and Key-DEK in memory: AES keys of 16, 24 or 32 bytes.

    Raises CardKeyError when their lengths differ, or the version is not 01 to FF.
    """

    __slots__ = (
        "_dek", "_enc", "_keys", "_mac", "chip", "key_check_values", "key_length", "key_version",
    )  # fmt: skip

    def __init__(
        self, key_version: int, enc: bytes, mac: bytes, dek: bytes, chip: bytes | None = None
    ) -> None:
        if not 1 <= key_version <= 0xFF:
            raise CardKeyError(f"key version {key_version:X} is not 01 to FF")
        if len(enc) not in (16, 24, 32) or not len(enc) == len(mac) == len(dek):
            raise CardKeyError("SCP03 needs three AES keys of one length: 16, 24 or 32 bytes")
        self.key_version, self.key_length, self.chip = key_version, len(enc), chip
        self._keys = (enc, mac, dek)
        self._enc, self._mac, self._dek = (BlockCipher(Cipher.AES, key) for key in self._keys)
        first, second, third = (key_check_value(Cipher.AES, key) for key in self._keys)
        self.key_check_values = (first, second, third)

    @classmethod
    def from_root(cls, key_version: int, root: Prf, chip: bytes) -> "SoftwareScp03Keys":
        """Derive the keys of a chip from a transport or issuer root (card specification 6)."""
        if len(chip) != 8:
            raise CardKeyError(f"a chip serial has 8 bytes, not {len(chip)}")
        return cls(key_version, *static_keys(root, chip), chip)

    def __repr__(self) -> str:
        kcvs = " ".join(kcv.hex().upper() for kcv in self.key_check_values)
        chip = "" if self.chip is None else f" of chip {self.chip.hex().upper()}"
        return f"<SCP03 AES-{8 * self.key_length} keys version {self.key_version:02X}{chip} {kcvs}>"

    def session_key(self, constant: int, context: bytes) -> BlockCipher:
        """Derive S-ENC (04), S-MAC (06) or S-RMAC (07) for host challenge ‖ card challenge."""
        if constant not in (S_ENC, S_MAC, S_RMAC):
            raise CardKeyError(f"derivation constant {constant:02X}: use 04, 06 or 07")
        parent = self._enc if constant == S_ENC else self._mac
        return BlockCipher(Cipher.AES, derive(parent, constant, context, 8 * self.key_length))

    def encrypt_dek(self, data: bytes) -> bytes:
        """Encrypt whole blocks by AES-CBC, IV 0, under the static Key-DEK."""
        if (
            len(data) == BLOCK_SIZE
        ):  # One block under IV 0: ECB is the same, and its context is kept.
            return self._dek.encrypt_ecb(data)
        return self._dek.encrypt_cbc(data)

    def wrapped(self, dek: Scp03Keys) -> tuple[WrappedKey, WrappedKey, WrappedKey]:
        """Return the three keys for PUT KEY, each padded with 00 to whole blocks and encrypted."""
        padding = bytes(-self.key_length % BLOCK_SIZE)
        enc, mac, dek_key = (
            WrappedKey(self.key_length, dek.encrypt_dek(key + padding), kcv)
            for key, kcv in zip(self._keys, self.key_check_values, strict=True)
        )
        return enc, mac, dek_key
