"""The SAM's persistent state: which values are at which memory address.

Chip serial, life cycle, PIN and SCP03 key sets are where a card has them (`profile.card_state`).
Each part ends in a checksum that the SAM checks at power-on.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ...crypto import BlockCipher, Cipher
from ...facts import SpecVersion
from ...layout import KEYS
from ...layout.sam_data import KEY_BY_SAM_ID, MEANINGS_OF_0, NO_LIMIT, PIN_FORMS
from ..chip.memory import PAGE_SIZE, Memory
from ..profile.card_state import CHECKSUM_SIZE, StoredState, with_checksum

_MARK_ADDRESS, _MARK = 6 * PAGE_SIZE, b"SAM 1"
"""A page that a card never writes."""
_USE, _USE_SIZE = 16 * PAGE_SIZE, 10
_KEYS, _VERSION_SIZE, _KEY_SLOT, _KEY_SIZE = 20 * PAGE_SIZE, 4 * PAGE_SIZE, 32, 18
_VERSIONS = range(1, 8)
_EMPTY = 0xFF


def is_sam(memory: Memory) -> bool:
    """Whether this is the memory of a SAM; a card has nothing at this place."""
    return memory.read(_MARK_ADDRESS, len(_MARK)) == _MARK


@dataclass(frozen=True, slots=True, repr=False)
class RootKey:
    """One root key of a SAM, 16 bytes, with what it is for."""

    spec: int
    cipher: Cipher
    key: bytes

    def block_cipher(self) -> BlockCipher:
        """Return the key as a cipher."""
        return BlockCipher(self.cipher, self.key)


@dataclass(frozen=True, slots=True)
class Use:
    """How often a SAM may authenticate and has done so, and the settings of its profile."""

    limit: int
    used: int
    pin_form: int
    meaning_of_0: int

    @property
    def left(self) -> int:
        """The authentications that are left; `NO_LIMIT` without a limit."""
        return NO_LIMIT if self.limit == NO_LIMIT else max(0, self.limit - self.used)


class SamState(StoredState):
    """The SAM's persistent state with types. Each change belongs to the running command."""

    __slots__ = ()

    def mark(self) -> None:
        """Say in memory that this is a SAM."""
        self.memory.write(_MARK_ADDRESS, _MARK)

    @property
    def use(self) -> Use:
        """The usage counter and the settings; of a SAM that was loaded."""
        raw = self.memory.read(_USE, _USE_SIZE)
        limit, used = int.from_bytes(raw[:4], "big"), int.from_bytes(raw[4:8], "big")
        return Use(limit, used, raw[8], raw[9])

    @use.setter
    def use(self, use: Use) -> None:
        raw = use.limit.to_bytes(4, "big") + use.used.to_bytes(4, "big")
        raw += bytes((use.pin_form, use.meaning_of_0))
        self.memory.write(_USE, with_checksum(raw))

    def root(self, version: int, key_id: int) -> RootKey | None:
        """Return a root key, or None if the SAM does not hold it."""
        raw = self.memory.read(_key_address(version, key_id), _KEY_SIZE)
        return None if raw[0] == _EMPTY else RootKey(raw[0], Cipher(raw[1]), raw[2:])

    def set_root(self, version: int, key_id: int, key: RootKey) -> None:
        """Store a root key."""
        raw = with_checksum(bytes((key.spec, key.cipher)) + key.key)
        self.memory.write(_key_address(version, key_id), raw)

    def erase_roots(self) -> None:
        """Erase all root keys."""
        self.memory.erase(_KEYS, len(_VERSIONS) * _VERSION_SIZE)

    def held(self) -> dict[int, dict[int, RootKey]]:
        """Return the root keys by version and SAM key id; only versions that have keys."""
        found = {
            version: {
                key_id: key
                for key_id in KEY_BY_SAM_ID
                if (key := self.root(version, key_id)) is not None
            }
            for version in _VERSIONS
        }
        return {version: keys for version, keys in found.items() if keys}

    def damaged_parts(self) -> Iterator[str]:
        """Name every part that does not match its checksum or cannot have been written."""
        yield from super().damaged_parts()
        if not self._matches(_USE, _USE_SIZE):
            yield "the checksum of the usage counter is wrong"
        elif self.is_personalized:
            use = self.use
            settings = use.pin_form in PIN_FORMS.values(), use.meaning_of_0 in _MEANINGS
            if not all(settings):
                yield "the SAM's settings are not valid"
        for version in _VERSIONS:
            for key in KEYS:
                yield from self._damaged_root(version, key.sam_key_id, key.name)

    @property
    def is_personalized(self) -> bool:
        """Whether the SAM was loaded."""
        return self.memory.byte(_USE + 8) != _EMPTY

    def _damaged_root(self, version: int, key_id: int, name: str) -> Iterator[str]:
        address = _key_address(version, key_id)
        if not self._matches(address, _KEY_SIZE):
            yield f"the checksum of {name}, version {version}, is wrong"
            return
        spec, cipher = self.memory.read(address, 2)
        if spec != _EMPTY and (spec not in _SPECS or cipher not in _CIPHERS):
            yield f"the specification or cipher of {name}, version {version}, is not valid"

    def _matches(self, address: int, size: int) -> bool:
        raw = self.memory.read(address, size + CHECKSUM_SIZE)
        return raw == with_checksum(raw[:size]) or not raw.strip(b"\xff")


_MEANINGS = frozenset(MEANINGS_OF_0.values())
_SPECS, _CIPHERS = frozenset(map(int, SpecVersion)), frozenset(map(int, Cipher))


def _key_address(version: int, key_id: int) -> int:
    return _KEYS + (version - 1) * _VERSION_SIZE + key_id * _KEY_SLOT
