"""The root keys of one version in memory: what uses them never sees them.

`store_file` reads and writes their file.
"""

import hmac
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ...crypto import BlockCipher, Cipher, key_check_value, static_keys
from ...errors import CardKeyError
from ...facts import ISSUER_KEY_VERSION, TRANSPORT_KEY_VERSION, Pin, Region, SpecVersion
from ...layout.load import Grouping
from ...pki import Signer
from .. import Purpose, Scp03Keys, WrappedKey
from ..root_work import (
    card_groupings,
    preparation_signer,
    purpose_info,
    sealed,
    security_code,
    unsealed,
)
from ..roots import Roots, new_roots, public_test_roots
from ..software import SoftwareKeySet
from ..static_keys import SoftwareScp03Keys
from .store_seal import new_store, opened_by_passphrase, read_store, write_new_store


class KeyStore:
    """`RootKeys` of one version in memory. It never shows them."""

    def __init__(self, roots: Roots) -> None:
        self._roots = roots
        self.spec, self.cipher = SpecVersion.of_protocol(roots.protocol), roots.cipher
        self.key_version, self.is_test = roots.version, roots.is_test
        self.terminal_keys = SoftwareKeySet(roots.card, roots.protocol, roots.cipher, roots.version)
        self._transport = BlockCipher(Cipher.AES, roots.transport)
        self._issuer = BlockCipher(Cipher.AES, roots.issuer)
        self._cvk = BlockCipher(roots.cipher, roots.cvk)
        self._sealing = {p: AESGCM(roots.derived(purpose_info(p))) for p in Purpose}
        self._holders = roots.derived(b"holders")
        self.identity = roots.identity

    def __repr__(self) -> str:
        return f"<key store {self.identity}{' with published test keys' if self.is_test else ''}>"

    @classmethod
    def create(
        cls,
        path: Path,
        passphrase: str,
        test: bool = False,
        protocol: int = 2,
        cipher: Cipher = Cipher.SM4,
    ) -> "KeyStore":
        """Make a store with random roots (`test`: the public ones) and write its file, mode 0600.

        Raises CardKeyError when the passphrase is empty or the file exists.
        """
        roots = (public_test_roots if test else new_roots)(protocol, cipher)
        write_new_store(path, new_store(roots, passphrase=passphrase))
        return cls(roots)

    @classmethod
    def open(cls, path: Path, passphrase: str) -> "KeyStore":
        """Open the newest version in a store's file that is not retired (see `store_file`).

        Raises CardKeyError when the passphrase is wrong, the file is damaged or not a key store, or
        its scrypt parameters are weaker than `SCRYPT`.
        """
        opened = opened_by_passphrase(read_store(path), passphrase, f"key store {path}")
        return cls(opened.roots[opened.newest])

    def transport_keys(self, chip: bytes) -> SoftwareScp03Keys:
        """Return a chip's transport keys, version FF (card specification 6)."""
        return SoftwareScp03Keys.from_root(TRANSPORT_KEY_VERSION, self._transport, chip)

    def issuer_keys(self, chip: bytes) -> SoftwareScp03Keys:
        """Return a chip's issuer keys, version 01 (card specification 6)."""
        return SoftwareScp03Keys.from_root(ISSUER_KEY_VERSION, self._issuer, chip)

    def groupings(self, chip: bytes, region: Region, pin: Pin) -> tuple[Grouping, ...]:
        """Make a card's groupings 81kk, 8010 and 9010, encrypted under the issuer's Key-DEK."""
        keys = self.terminal_keys.for_card(chip, region)
        return card_groupings(keys, self.issuer_keys(chip), pin)

    def wrapped_root(self, name: str, dek: Scp03Keys) -> WrappedKey:
        """Return a root key under the Key-DEK of the SAM that it is for (card specification 3).

        This is not a part of `Issuer`: an agent or a token never gives a root key.
        """
        if name not in self._roots.card:
            raise CardKeyError(f"{name} is not a key of the card")
        root = self._roots.card[name]
        check_value = key_check_value(self.cipher, root)
        return WrappedKey(len(root), dek.encrypt_dek(root), check_value)

    def blank_keys(self, chip: bytes) -> tuple[bytes, bytes, bytes]:
        """Return a chip's transport keys ENC, MAC, DEK in clear, to make blank software cards.

        This is not a part of `RootKeys`: nothing else shows the bytes of a key.
        """
        return static_keys(self._transport, chip)

    def security_code(self, card_number: str, issue_date: str) -> str:
        """Calculate three digits from both fields with the CVK (card specification 2)."""
        return security_code(self._cvk, card_number, issue_date)

    def holder_hash(self, number: str) -> bytes:
        """Return the HMAC-SHA-256 of a number, 32 bytes."""
        return hmac.digest(self._holders, number.encode(), "sha256")

    @cached_property
    def preparation_signer(self) -> Signer:
        """Whoever signs the batches that are prepared with these keys."""
        return preparation_signer(self, self._roots.derived)

    def seal(self, purpose: Purpose, data: bytes, bound: bytes) -> bytes:
        """Encrypt data under the key of a purpose: nonce (12) ‖ ciphertext ‖ tag (16)."""
        return sealed(self._sealing[purpose], data, bound)

    def unseal(self, purpose: Purpose, data: bytes, bound: bytes) -> bytes:
        """Decrypt sealed data.

        Raises CardKeyError when it is damaged, or was sealed with other keys or another `bound`.
        """
        return unsealed(self._sealing[purpose], purpose, data, bound)
