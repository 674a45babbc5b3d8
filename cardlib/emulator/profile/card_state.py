"""The card's persistent state: which values are at which memory address.

Header, PIN, keys and key sets end in a checksum (CRC-16, CCITT polynomial) that the card checks at
power-on.
"""

from binascii import crc_hqx
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from ...crypto import BlockCipher, Cipher
from ...layout import FILES, KEYS, KeySpec, Structure
from ..chip.memory import PAGE_SIZE, Memory
from .card_options import OPTIONS_SIZE


class LifeCycle(IntEnum):
    """The card's life cycle (card specification 7)."""

    BLANK = 0
    PERSONALIZED = 1
    ACTIVE = 2
    BLOCKED = 3
    TERMINATED = 4


KEY_TRIES = 15
"""The first value of every key's try counter (card specification 3)."""

_CHIP, LIFE_CYCLE_ADDRESS, _PROTOCOL, _BLOCKED = 0, 8, 9, 20
_SEQUENCE_COUNTER, _HEADER_SIZE = 24, 28
NODE_STATES = 64
"""One life cycle byte (ISO/IEC 7816-4 table 14) for each node of the profile, by its index."""
_PIN, _PIN_SIZE = PAGE_SIZE, 10
_CARD_KEYS, _CARD_KEY_SLOT, _CARD_KEY_SIZE = 2 * PAGE_SIZE, 32, 19
_NO_KEY, _CIPHERS = 0xFF, frozenset(map(int, Cipher))
_KEY_SETS, _KEY_SET_SLOT, _KEY_SET_SIZE, KEY_SET_SLOTS = 8 * PAGE_SIZE, 128, 99, 4
_OPTIONS = 7 * PAGE_SIZE
DATA_OBJECTS, DATA_OBJECTS_SIZE = 12 * PAGE_SIZE, 4 * PAGE_SIZE
FILE_AREA = 16 * PAGE_SIZE
DYNAMIC_AREA = 0x1000 * PAGE_SIZE
CHECKSUM_SIZE = 2


def _file_addresses() -> tuple[dict[str, int], int]:
    addresses, address = {}, FILE_AREA
    for file in FILES:
        addresses[file.path] = address
        size = file.size + (2 if file.structure is Structure.CYCLIC else 0)
        address += -(-size // PAGE_SIZE) * PAGE_SIZE
    return addresses, address


FILE_ADDRESS, FILE_AREA_END = _file_addresses()
"""The address of each file of the profile. A cyclic file begins with its count and newest slot."""


@dataclass(frozen=True, slots=True, repr=False)
class StoredKey:
    """One card key as stored on the card, with its remaining tries."""

    version: int
    cipher: Cipher
    key: bytes
    tries: int

    def block_cipher(self) -> BlockCipher:
        """Return the key as a cipher."""
        return BlockCipher(self.cipher, self.key)


@dataclass(frozen=True, slots=True, repr=False)
class StoredKeySet:
    """Static SCP03 keys of the issuer security domain, each of 16, 24 or 32 bytes."""

    version: int
    enc: bytes
    mac: bytes
    dek: bytes
    tries: int


@dataclass(frozen=True, slots=True, repr=False)
class StoredPin:
    """The PIN: its digits as an ISO 9564-1 format 2 block, limit and remaining tries."""

    block: bytes
    limit: int
    remaining: int


def with_checksum(raw: bytes) -> bytes:
    """Append the CRC-16 of the bytes to them."""
    return raw + crc_hqx(raw, 0xFFFF).to_bytes(2, "big")


class StoredState:
    """The card's persistent state with types. Each change belongs to the running command."""

    __slots__ = ("memory",)

    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    @property
    def chip(self) -> bytes:
        """The chip serial, 8 bytes."""
        return self.memory.read(_CHIP, 8)

    @chip.setter
    def chip(self, value: bytes) -> None:
        self._write_header(_CHIP, value)

    @property
    def life_cycle(self) -> int:
        """The life cycle, a `LifeCycle` value on a card that is not damaged."""
        return self.memory.byte(LIFE_CYCLE_ADDRESS)

    @life_cycle.setter
    def life_cycle(self, value: int) -> None:
        self._write_header(LIFE_CYCLE_ADDRESS, bytes((value,)))

    @property
    def is_personalized(self) -> bool:
        """Whether the card was ever personalized; a blank card can be terminated, too."""
        return self.memory.byte(_PROTOCOL) != 0xFF

    @property
    def profile(self) -> tuple[int, int, int, bytes]:
        """Spec (0x10 or 0x20), cipher (1 or 2), key version and region factor (8 bytes)."""
        raw = self.memory.read(_PROTOCOL, 11)
        return raw[0], raw[1], raw[2], raw[3:]

    @profile.setter
    def profile(self, value: tuple[int, int, int, bytes]) -> None:
        self._write_header(_PROTOCOL, bytes(value[:3]) + value[3])

    @property
    def blocked_directories(self) -> int:
        """The blocked DFs: bit n-1 is set when DF0n is blocked."""
        return self.memory.byte(_BLOCKED)

    @blocked_directories.setter
    def blocked_directories(self, mask: int) -> None:
        self._write_header(_BLOCKED, bytes((mask,)))

    @property
    def sequence_counter(self) -> int:
        """The SCP03 sequence counter, 3 bytes on the card (Amendment D 6.2.2.1)."""
        return int.from_bytes(self.memory.read(_SEQUENCE_COUNTER, 3), "big")

    @sequence_counter.setter
    def sequence_counter(self, value: int) -> None:
        self._write_header(_SEQUENCE_COUNTER, value.to_bytes(3, "big"))

    @property
    def options(self) -> bytes:
        """The card's options as `CardOptions.encode` makes them, then FF: 16 bytes."""
        return self.memory.read(_OPTIONS, OPTIONS_SIZE)

    @options.setter
    def options(self, value: bytes) -> None:
        self.memory.write(_OPTIONS, value)

    @property
    def pin(self) -> StoredPin | None:
        """The PIN, or None if the card has none."""
        raw = self.memory.read(_PIN, _PIN_SIZE)
        return None if raw[8] == 0xFF else StoredPin(raw[:8], raw[8], raw[9])

    @pin.setter
    def pin(self, pin: StoredPin) -> None:
        self.memory.write(_PIN, with_checksum(pin.block + bytes((pin.limit, pin.remaining))))

    def card_key(self, spec: KeySpec) -> StoredKey | None:
        """Return one of the 30 card keys, or None before personalization."""
        raw = self.memory.read(_key_address(spec), _CARD_KEY_SIZE)
        if raw[0] == _NO_KEY:
            return None
        return StoredKey(raw[0], Cipher(raw[1]), raw[3:19], raw[2])

    def set_card_key(self, spec: KeySpec, key: StoredKey) -> None:
        """Store one of the 30 card keys with its try counter."""
        raw = bytes((key.version, key.cipher, key.tries)) + key.key
        self.memory.write(_key_address(spec), with_checksum(raw))

    def set_key_tries(self, spec: KeySpec, tries: int) -> None:
        """Store the remaining tries of one card key."""
        raw = self.memory.read(_key_address(spec), _CARD_KEY_SIZE)
        self.memory.write(_key_address(spec), with_checksum(raw[:2] + bytes((tries,)) + raw[3:]))

    @property
    def key_sets(self) -> dict[int, StoredKeySet]:
        """The security domain's key sets by version, in the order they were first stored."""
        found = {}
        for slot in range(KEY_SET_SLOTS):
            raw = self.memory.read(_KEY_SETS + slot * _KEY_SET_SLOT, _KEY_SET_SIZE)
            if raw[1] in (16, 24, 32):
                enc, mac, dek = (raw[3 + 32 * i : 3 + 32 * i + raw[1]] for i in range(3))
                found[raw[0]] = StoredKeySet(raw[0], enc, mac, dek, raw[2])
        return found

    @key_sets.setter
    def key_sets(self, sets: dict[int, StoredKeySet]) -> None:
        for slot in range(KEY_SET_SLOTS):
            raw = b""
            if slot < len(sets):
                item = list(sets.values())[slot]
                keys = b"".join(key.ljust(32, b"\xff") for key in (item.enc, item.mac, item.dek))
                raw = with_checksum(bytes((item.version, len(item.enc), item.tries)) + keys)
            address = _KEY_SETS + slot * _KEY_SET_SLOT
            self.memory.write(address, raw.ljust(_KEY_SET_SLOT, b"\xff"))

    def damaged_parts(self) -> Iterator[str]:
        """Name every part that does not match its checksum, and every key of no known cipher."""
        if not self._is_whole(0, _HEADER_SIZE, may_be_blank=False):
            yield "the checksum of the card's header is wrong"
        if not self._is_whole(_PIN, _PIN_SIZE):
            yield "the checksum of the PIN is wrong"
        for key in KEYS:
            if not self._is_whole(_key_address(key), _CARD_KEY_SIZE):
                yield f"the checksum of {key.name} is wrong"
            version, cipher = self.memory.read(_key_address(key), 2)
            if version != _NO_KEY and cipher not in _CIPHERS:
                yield f"the cipher of {key.name} is not valid"
        for slot in range(KEY_SET_SLOTS):
            if not self._is_whole(_KEY_SETS + slot * _KEY_SET_SLOT, _KEY_SET_SIZE):
                yield f"the checksum of key set {slot + 1} is wrong"

    def _is_whole(self, address: int, size: int, *, may_be_blank: bool = True) -> bool:
        raw = self.memory.read(address, size + CHECKSUM_SIZE)
        return raw == with_checksum(raw[:size]) or (may_be_blank and not raw.strip(b"\xff"))

    def _write_header(self, address: int, data: bytes) -> None:
        self.memory.write(address, data)
        header = self.memory.read(0, _HEADER_SIZE)
        self.memory.write(0, with_checksum(header))


def _key_address(spec: KeySpec) -> int:
    return _KEY_ADDRESS[spec.name]


_KEY_ADDRESS = {key.name: _CARD_KEYS + n * _CARD_KEY_SLOT for n, key in enumerate(KEYS)}
