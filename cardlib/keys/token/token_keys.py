"""Root keys in a token, used where they are: PKCS#11, AES only.

Diversification and CMACs are made inside. What leaves the token: the keys of a card, its static
SCP03 keys, and the keys that seal records (docs/explanation/keys-in-a-token.md).
"""

import hmac
from collections.abc import Callable
from functools import cached_property

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ...crypto import BlockCipher, Cipher, diversification_block, diversify
from ...errors import CardKeyError
from ...facts import ISSUER_KEY_VERSION, TRANSPORT_KEY_VERSION, ChipSerial, Pin, Region, SpecVersion
from ...layout import KEY_BY_NAME
from ...layout.load import Grouping
from ...pki import Signer
from .. import Purpose, Scp03Keys
from ..root_work import (
    card_groupings,
    preparation_signer,
    purpose_info,
    sealed,
    security_code,
    unsealed,
)
from ..software import SoftwareCardKeys, check_use
from ..static_keys import SoftwareScp03Keys
from .pkcs11 import DerivedKey
from .token_key import TokenKey
from .token_scp03 import TokenScp03Keys
from .token_session import TokenSession
from .token_version import CVK, ISSUER, TRANSPORT, TokenVersion, holds_test_keys


class TokenKeySet:
    """The root keys of card keys in a token, as a `KeySet`."""

    def __init__(self, session: TokenSession, version: TokenVersion) -> None:
        self.protocol, self.cipher, self.version = version.protocol, Cipher.AES, version.number
        self._session, self._version = session, version
        two_levels = next(name for name, key in KEY_BY_NAME.items() if key.levels == 2)
        self._derives = session.may_derive(version.label(two_levels))

    def __repr__(self) -> str:
        return f"<key set AES protocol {self.protocol} v{self.version} in {self._session!r}>"

    @property
    def names(self) -> frozenset[str]:
        """The names of the keys in this set: all 30."""
        return frozenset(KEY_BY_NAME)

    def fitting(self, protocol: int, cipher: Cipher, version: int) -> "TokenKeySet":
        """Return this set. Raises CardKeyError when it is of another use."""
        check_use(self, protocol, cipher, version)
        return self

    def for_card(self, chip: bytes, region: bytes) -> SoftwareCardKeys:
        """Return the keys of the card with this chip serial and region factor, 8 bytes each."""
        if len(chip) != 8 or len(region) != 8:
            raise CardKeyError("chip serial and region factor must have 8 bytes each")
        return SoftwareCardKeys(self, self, chip, region)

    def of_card(self, chip: bytes, region: bytes) -> Callable[[str], bytes]:
        """Return what derives a card's keys by name, 16 bytes each, for `SoftwareCardKeys` only."""
        return lambda name: self._card_key(name, chip, region)

    def _card_key(self, name: str, chip: bytes, region: bytes) -> bytes:
        if name not in KEY_BY_NAME:
            raise CardKeyError(f"{name} is needed, but this key set does not hold it")
        label = self._version.label(name)
        root = TokenKey(self._session, label)
        if KEY_BY_NAME[name].levels == 1:
            return diversify(root, chip)
        if self._derives:
            inside = DerivedKey(label, diversification_block(region))
            return diversify(TokenKey(self._session, inside), chip)
        # The region's key comes out of the token for a moment: it is not kept.
        return diversify(BlockCipher(Cipher.AES, diversify(root, region)), chip)


class TokenKeys:
    """One version of the root keys in a token, as `RootKeys`. It never shows them."""

    def __init__(self, session: TokenSession, version: TokenVersion) -> None:
        """Take an open token and a version that `found_versions` found there."""
        self._session, self._version = session, version
        self.identity, self.key_version = version.identity, version.number
        self.spec, self.cipher = SpecVersion.of_protocol(version.protocol), Cipher.AES
        self.is_test = version.is_test or holds_test_keys(session, version)
        self.terminal_keys = TokenKeySet(session, version)
        self._cvk = TokenKey(session, version.label(CVK))
        self._derive = {
            name for name in (TRANSPORT, ISSUER) if session.may_derive(version.label(name))
        }
        self._sealing: dict[Purpose, AESGCM] = {}
        self._holders: bytes | None = None

    def __repr__(self) -> str:
        test = " with published test keys" if self.is_test else ""
        return f"<keys {self.identity}{test} in {self._session!r}>"

    def transport_keys(self, chip: ChipSerial) -> Scp03Keys:
        """Return a chip's transport keys, version FF (card specification 6)."""
        return self._static(TRANSPORT_KEY_VERSION, TRANSPORT, chip)

    def issuer_keys(self, chip: ChipSerial) -> Scp03Keys:
        """Return a chip's issuer keys, version 01 (card specification 6)."""
        return self._static(ISSUER_KEY_VERSION, ISSUER, chip)

    def groupings(self, chip: ChipSerial, region: Region, pin: Pin) -> tuple[Grouping, ...]:
        """Make a card's groupings 81kk, 8010 and 9010, encrypted under the issuer's Key-DEK."""
        keys = self.terminal_keys.for_card(chip, region)
        return card_groupings(keys, self.issuer_keys(chip), pin)

    def security_code(self, card_number: str, issue_date: str) -> str:
        """Calculate three digits from both fields with the CVK (card specification 2)."""
        return security_code(self._cvk, card_number, issue_date)

    def holder_hash(self, number: str) -> bytes:
        """Return the HMAC-SHA-256 of a number, 32 bytes."""
        if self._holders is None:
            self._holders = self._derived(b"holders")
        return hmac.digest(self._holders, number.encode(), "sha256")

    @cached_property
    def preparation_signer(self) -> Signer:
        """Whoever signs the batches that are prepared with these keys."""
        return preparation_signer(self, self._derived)

    def seal(self, purpose: Purpose, data: bytes, bound: bytes) -> bytes:
        """Encrypt data under the key of a purpose: nonce (12) ‖ ciphertext ‖ tag (16)."""
        return sealed(self._sealing_key(purpose), data, bound)

    def unseal(self, purpose: Purpose, data: bytes, bound: bytes) -> bytes:
        """Decrypt sealed data.

        Raises CardKeyError when it is damaged, or was sealed with other keys or another `bound`.
        """
        return unsealed(self._sealing_key(purpose), purpose, data, bound)

    def _static(self, key_version: int, name: str, chip: bytes) -> Scp03Keys:
        label = self._version.label(name)
        if name in self._derive:
            return TokenScp03Keys(self._session, label, key_version, chip)
        return SoftwareScp03Keys.from_root(key_version, TokenKey(self._session, label), chip)

    def _sealing_key(self, purpose: Purpose) -> AESGCM:
        if purpose not in self._sealing:
            self._sealing[purpose] = AESGCM(self._derived(purpose_info(purpose)))
        return self._sealing[purpose]

    def _derived(self, info: bytes) -> bytes:
        return self._version.derived(self._session, info)
