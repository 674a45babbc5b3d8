"""Root keys in a token, used where they are: PKCS#11, AES only.

Diversification and CMACs are made inside. What leaves the token: the keys of a card, its static
SCP03 keys, and the keys that seal records (docs/explanation/keys-in-a-token.md).
"""

import hmac

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..crypto import Cipher, diversify
from ..errors import CardKeyError
from ..facts import ISSUER_KEY_VERSION, TRANSPORT_KEY_VERSION, ChipSerial, Pin, Region, SpecVersion
from ..layout import KEY_BY_NAME
from ..layout.load import Grouping
from . import Purpose
from .pkcs11 import AES_ECB_DERIVE
from .root_work import card_groupings, purpose_info, sealed, security_code, unsealed
from .software import SoftwareCardKeys, check_use
from .static_keys import SoftwareScp03Keys
from .token_session import TokenSession
from .token_version import CVK, ISSUER, TRANSPORT, TokenVersion, holds_test_keys


class TokenKey:
    """One root key in a token. It encrypts blocks and makes CMACs; its bytes stay there."""

    __slots__ = ("_label", "_session")

    def __init__(self, session: TokenSession, label: str) -> None:
        self._session, self._label = session, label

    def __repr__(self) -> str:
        return f"<token key {self._label}>"

    def encrypt_ecb(self, blocks: bytes) -> bytes:
        """Encrypt whole 16-byte blocks, each by itself (SP 800-38A 6.1)."""
        return self._session.encrypt(self._label, blocks)

    def cmac(self, message: bytes) -> bytes:
        """Return the CMAC of a message, 16 bytes (SP 800-38B 6.2)."""
        return self._session.cmac(self._label, message)

    def below(self, data8: bytes) -> "TokenKeyBelow":
        """Return the key that is diversified from this one with 8 bytes. It stays in the token."""
        return TokenKeyBelow(self._session, self._label, data8)


class TokenKeyBelow:
    """A key that the token derives from a root key, such as that of a region, and keeps."""

    __slots__ = ("_data8", "_label", "_session")

    def __init__(self, session: TokenSession, label: str, data8: bytes) -> None:
        self._session, self._label, self._data8 = session, label, data8

    def encrypt_ecb(self, blocks: bytes) -> bytes:
        """Encrypt whole 16-byte blocks, each by itself (SP 800-38A 6.1)."""
        inverse = bytes(octet ^ 0xFF for octet in self._data8)
        return self._session.encrypt_below(self._label, self._data8 + inverse, blocks)


class TokenKeySet:
    """The root keys of card keys in a token, as a `KeySet`."""

    def __init__(self, session: TokenSession, version: TokenVersion) -> None:
        self.protocol, self.cipher, self.version = version.protocol, Cipher.AES, version.number
        self._session = session
        self._keys = {name: TokenKey(session, version.label(name)) for name in KEY_BY_NAME}
        self._derives = AES_ECB_DERIVE in session.mechanisms

    def __repr__(self) -> str:
        return f"<key set AES protocol {self.protocol} v{self.version} in {self._session!r}>"

    @property
    def names(self) -> frozenset[str]:
        """The names of the keys in this set: all 30."""
        return frozenset(self._keys)

    def fitting(self, protocol: int, cipher: Cipher, version: int) -> "TokenKeySet":
        """Return this set. Raises CardKeyError when it is of another use."""
        check_use(self, protocol, cipher, version)
        return self

    def for_card(self, chip: bytes, region: bytes) -> SoftwareCardKeys:
        """Return the keys of the card with this chip serial and region factor, 8 bytes each."""
        if len(chip) != 8 or len(region) != 8:
            raise CardKeyError("chip serial and region factor must have 8 bytes each")
        return SoftwareCardKeys(self, self, chip, region)

    def card_key(self, name: str, chip: bytes, region: bytes) -> bytes:
        """Derive the 16 bytes of one card key, for `SoftwareCardKeys` only."""
        try:
            root = self._keys[name]
        except KeyError:
            raise CardKeyError(f"{name} is needed, but this key set does not hold it") from None
        if KEY_BY_NAME[name].levels == 1:
            return diversify(root, chip)
        return diversify(root.below(region), chip)


class TokenKeys:
    """One version of the root keys in a token, as `RootKeys`. It never shows them."""

    def __init__(self, session: TokenSession, version: TokenVersion) -> None:
        """Take an open token and a version that `found_versions` found there."""
        self._session, self._version = session, version
        self.identity, self.key_version = version.identity, version.number
        self.spec, self.cipher = SpecVersion.of_protocol(version.protocol), Cipher.AES
        self.is_test = version.is_test or holds_test_keys(session, version)
        self.terminal_keys = TokenKeySet(session, version)
        self._transport, self._issuer, self._cvk = (
            TokenKey(session, version.label(name)) for name in (TRANSPORT, ISSUER, CVK)
        )
        self._sealing: dict[Purpose, AESGCM] = {}
        self._holders: bytes | None = None

    def __repr__(self) -> str:
        test = " with published test keys" if self.is_test else ""
        return f"<keys {self.identity}{test} in {self._session!r}>"

    def transport_keys(self, chip: ChipSerial) -> SoftwareScp03Keys:
        """Return a chip's transport keys, version FF (card specification 6)."""
        return SoftwareScp03Keys.from_root(TRANSPORT_KEY_VERSION, self._transport, chip)

    def issuer_keys(self, chip: ChipSerial) -> SoftwareScp03Keys:
        """Return a chip's issuer keys, version 01 (card specification 6)."""
        return SoftwareScp03Keys.from_root(ISSUER_KEY_VERSION, self._issuer, chip)

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

    def seal(self, purpose: Purpose, data: bytes, bound: bytes) -> bytes:
        """Encrypt data under the key of a purpose: nonce (12) ‖ ciphertext ‖ tag (16)."""
        return sealed(self._sealing_key(purpose), data, bound)

    def unseal(self, purpose: Purpose, data: bytes, bound: bytes) -> bytes:
        """Decrypt sealed data.

        Raises CardKeyError when it is damaged, or was sealed with other keys or another `bound`.
        """
        return unsealed(self._sealing_key(purpose), purpose, data, bound)

    def _sealing_key(self, purpose: Purpose) -> AESGCM:
        if purpose not in self._sealing:
            self._sealing[purpose] = AESGCM(self._derived(purpose_info(purpose)))
        return self._sealing[purpose]

    def _derived(self, info: bytes) -> bytes:
        return self._version.derived(self._session, info)
