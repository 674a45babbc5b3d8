"""Card keys and root keys in memory (card specification 3)."""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from ..crypto import BlockCipher, Cipher, diversification_block, diversify, key_check_value, pad
from ..errors import CardKeyError
from ..layout import KEY_BY_NAME
from . import KeyUse, Scp03Keys
from .mutual import SoftwareAuthentication

_MOST_REGIONAL = 128
"""Regions whose keys are kept. There are about a hundred first pairs of digits of city codes."""
_INTERNAL_KEY = "IRK_DDF1"
"""The key of INTERNAL AUTHENTICATE (88), which is the same in both protocols."""


class SoftwareProcessKey:
    """A version-1 process key in memory (card specification 3 and 4)."""

    __slots__ = ("_block",)

    def __init__(self, cipher: Cipher, key: bytes) -> None:
        self._block = BlockCipher(cipher, key)

    def __repr__(self) -> str:
        return f"<{self._block.cipher.name} process key>"

    def encrypt(self, blocks: bytes) -> bytes:
        """Encrypt whole 16-byte blocks, each by itself."""
        return self._block.encrypt_ecb(blocks)

    def mac(self, message: bytes) -> bytes:
        """Return the first 4 bytes of the CBC-MAC, IV 0, over the message padded 80 00.. ."""
        return self._block.cbc_mac(pad(message))[:4]


class CardKeySource(Protocol):
    """Root keys by name, wherever they are. Card keys are derived from them."""

    @property
    def names(self) -> frozenset[str]:
        """The names of the keys in this set."""
        ...

    def of_card(self, chip: bytes, region: bytes) -> Callable[[str], bytes]:
        """Return what derives a card's keys by name, 16 bytes each, for `SoftwareCardKeys` only."""
        ...


class _KeysOfRegion(dict[str, Callable[[bytes], bytes]]):
    """The last step of each card key in one region: encrypt the chip's block under its parent.

    The parent is the root (level 1) or its key of the region (level 2). Each is made when it is
    used first.
    """

    def __init__(self, roots: "_RootKeys", region: bytes) -> None:
        super().__init__()
        self._roots, self._region = roots, region

    def __repr__(self) -> str:
        return f"<keys of region {self._region.hex()}>"

    def __missing__(self, name: str) -> Callable[[bytes], bytes]:
        parent = self._roots[name]
        if KEY_BY_NAME[name].levels == 2:
            parent = BlockCipher(self._roots.cipher, diversify(parent, self._region))
        self[name] = encrypt = parent.ecb_encryptor().update
        return encrypt


class _RootKeys:
    """Root keys by name, as ciphers, and the derivation of card keys from them."""

    def __init__(self, cipher: Cipher, roots: Mapping[str, BlockCipher]) -> None:
        self.cipher = cipher
        self._roots = dict(roots)
        self._regional: dict[bytes, _KeysOfRegion] = {}

    def __repr__(self) -> str:
        return f"<root keys {' '.join(self.names)}>"

    @property
    def names(self) -> frozenset[str]:
        """The names of the keys in this set."""
        return frozenset(self._roots)

    def __getitem__(self, name: str) -> BlockCipher:
        try:
            return self._roots[name]
        except KeyError:
            raise CardKeyError(f"{name} is needed, but this key set does not hold it") from None

    def of_card(self, chip: bytes, region: bytes) -> Callable[[str], bytes]:
        """Return what derives a card's keys by name, 16 bytes each, for `SoftwareCardKeys` only."""
        last_steps, block = self._of_region(region), diversification_block(chip)
        return lambda name: last_steps[name](block)

    def _of_region(self, region: bytes) -> _KeysOfRegion:
        found = self._regional.get(region)
        if found is None:
            if len(self._regional) >= _MOST_REGIONAL:
                self._regional.clear()
            found = self._regional[region] = _KeysOfRegion(self, region)
        return found


class SoftwareKeySet:
    """Root keys in memory by key name: all 30, or those that a terminal was given."""

    def __init__(
        self,
        roots: Mapping[str, bytes] | _RootKeys,
        protocol: int,
        cipher: Cipher,
        version: int = 1,
    ) -> None:
        """Take 16-byte roots.

        `protocol` is 1 or 2, `version` 1 to 7. Raises CardKeyError when one of them, a key's name
        or a length is wrong.
        """
        if protocol not in (1, 2) or not 1 <= version <= 7:
            raise CardKeyError("a key set must be for protocol 1 or 2 and have version 1 to 7")
        self.protocol, self.cipher, self.version = protocol, cipher, version
        self._roots = roots if isinstance(roots, _RootKeys) else _root_keys(cipher, roots)

    def __repr__(self) -> str:
        keys = " ".join(
            f"{name}={self._roots[name].check_value.hex().upper()}" for name in sorted(self.names)
        )
        return f"<key set {self.cipher.name} protocol {self.protocol} v{self.version} {keys}>"

    @property
    def names(self) -> frozenset[str]:
        """The names of the keys in this set."""
        return self._roots.names

    def only(self, names: Iterable[str]) -> "SoftwareKeySet":
        """Return a set with only these keys. Raises CardKeyError when one is not in this set."""
        some = _RootKeys(self.cipher, {name: self._roots[name] for name in names})
        return SoftwareKeySet(some, self.protocol, self.cipher, self.version)

    def fitting(self, protocol: int, cipher: Cipher, version: int) -> "SoftwareKeySet":
        """Return this set. Raises CardKeyError when it is of another use."""
        check_use(self, protocol, cipher, version)
        return self

    def for_card(self, chip: bytes, region: bytes) -> "SoftwareCardKeys":
        """Return the keys of the card with this chip serial and region factor, 8 bytes each."""
        if len(chip) != 8 or len(region) != 8:
            raise CardKeyError("chip serial and region factor must have 8 bytes each")
        return SoftwareCardKeys(self, self._roots, chip, region)


def check_use(keys: KeyUse, protocol: int, cipher: Cipher, version: int) -> None:
    """Check what a set of keys is for. Raises CardKeyError when it is another use."""
    if (protocol, cipher, version) != (keys.protocol, keys.cipher, keys.version):
        raise CardKeyError(
            f"the keys are for protocol {keys.protocol}, {keys.cipher.name}, version {keys.version}"
        )


def _root_keys(cipher: Cipher, roots: Mapping[str, bytes]) -> _RootKeys:
    if unknown := roots.keys() - KEY_BY_NAME.keys():
        raise CardKeyError(f"{min(unknown)} is not a key of the card")
    if any(len(root) != 16 for root in roots.values()):
        raise CardKeyError("root keys must have 16 bytes")
    return _RootKeys(cipher, {name: BlockCipher(cipher, root) for name, root in roots.items()})


class SoftwareCardKeys:
    """The keys of one card in memory. Each is derived when it is used."""

    __slots__ = ("_blocks", "_chip", "_key", "_roots", "cipher", "protocol", "version")

    def __init__(self, use: KeyUse, roots: CardKeySource, chip: bytes, region: bytes) -> None:
        self.protocol, self.cipher, self.version = use.protocol, use.cipher, use.version
        self._roots, self._chip = roots, chip
        self._key = roots.of_card(chip, region)
        self._blocks: dict[str, BlockCipher] = {}

    def __repr__(self) -> str:
        names = sorted(self._roots.names)
        keys = " ".join(f"{n}={self.key_check_value(n).hex().upper()}" for n in names)
        return f"<card keys {self.cipher.name} v{self.version} chip {self._chip.hex()} {keys}>"

    def process_key(self, name: str, challenge: bytes) -> SoftwareProcessKey:
        """Return the process key of a card key for an 8-byte challenge (card specification 3)."""
        if self.protocol != 1 and name != _INTERNAL_KEY:
            raise CardKeyError(f"{name} has no process key: it is for protocol {self.protocol}")
        block = self._blocks.get(name)
        if block is None:
            block = BlockCipher(self.cipher, self._key(name))
            self._blocks[name] = block
        return SoftwareProcessKey(self.cipher, diversify(block, challenge))

    def authentication(self, name: str, rnd_ic: bytes, binding: bytes) -> SoftwareAuthentication:
        """Begin a version-2 authentication (card specification 5)."""
        if self.protocol != 2:
            raise CardKeyError(
                f"{name} cannot authenticate by version 2: it is for protocol {self.protocol}"
            )
        return SoftwareAuthentication(self.cipher, self._key(name), rnd_ic, binding)

    def key_check_value(self, name: str) -> bytes:
        """Return a card key's check value, 3 bytes (card specification 3)."""
        return key_check_value(self.cipher, self._key(name))

    def grouping(self, name: str, dek: Scp03Keys) -> bytes:
        """Return the value of a key's DGI 81kk, 21 bytes (card specification 6)."""
        key = self._key(name)
        check_value = key_check_value(self.cipher, key)
        return bytes((self.version, self.cipher)) + dek.encrypt_dek(key) + check_value
