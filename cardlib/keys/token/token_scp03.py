"""A chip's static SCP03 keys that a token derives and keeps (SP 800-108 inside the token)."""

from ...crypto import STATIC_LABELS, BlockCipher, Cipher, kdf_data
from ...errors import CardKeyError
from .. import Scp03Keys, WrappedKey
from ..static_keys import S_ENC, S_MAC, S_RMAC, SoftwareScp03Keys, derive
from .pkcs11 import DerivedKey
from .token_key import TokenKey
from .token_session import TokenSession
from .token_version import CHECK_BLOCK


class TokenScp03Keys:
    """One chip's Key-ENC, Key-MAC and Key-DEK, AES-128, in a token; session keys are in memory."""

    key_length = 16

    def __init__(self, session: TokenSession, root: str, key_version: int, chip: bytes) -> None:
        """Take the label of a transport or issuer root. Raises CardKeyError for a wrong chip."""
        if len(chip) != 8:
            raise CardKeyError(f"a chip serial has 8 bytes, not {len(chip)}")
        self._session, self._root = session, root
        self.key_version, self.chip = key_version, chip
        self._enc, self._mac, self._dek = (
            DerivedKey(root, kdf_data(label, chip), by_counter=True) for label in STATIC_LABELS
        )
        first, second, third = (
            session.encrypt(key, CHECK_BLOCK)[:3] for key in (self._enc, self._mac, self._dek)
        )
        self.key_check_values = (first, second, third)

    def __repr__(self) -> str:
        kcvs = " ".join(kcv.hex().upper() for kcv in self.key_check_values)
        return (
            f"<SCP03 AES-128 keys version {self.key_version:02X} of chip {self.chip.hex().upper()}"
            f" {kcvs} in {self._session!r}>"
        )

    def session_key(self, constant: int, context: bytes) -> BlockCipher:
        """Derive S-ENC (04), S-MAC (06) or S-RMAC (07) for host challenge ‖ card challenge.

        It is made by C_Sign, and is in the memory of this process for one session.
        """
        if constant not in (S_ENC, S_MAC, S_RMAC):
            raise CardKeyError(f"derivation constant {constant:02X}: use 04, 06 or 07")
        parent = TokenKey(self._session, self._enc if constant == S_ENC else self._mac)
        return BlockCipher(Cipher.AES, derive(parent, constant, context, 8 * self.key_length))

    def encrypt_dek(self, data: bytes) -> bytes:
        """Encrypt whole blocks by AES-CBC, IV 0, under the static Key-DEK."""
        return self._session.encrypt_cbc(self._dek, data)

    def wrapped(self, dek: Scp03Keys) -> tuple[WrappedKey, WrappedKey, WrappedKey]:
        """Return the three keys for PUT KEY, encrypted under the Key-DEK that is on the card.

        For this the three keys are in the memory of this process: a token that derives keys which
        never leave it does not wrap them either.
        """
        root = TokenKey(self._session, self._root)
        return SoftwareScp03Keys.from_root(self.key_version, root, self.chip).wrapped(dek)
