"""What the card keeps through a power cut, by name: an address map over its memory."""

from dataclasses import dataclass
from enum import IntEnum

from ..crypto import BlockCipher, Cipher
from ..layout import FILES, KEYS, KeySpec, Structure
from .memory import PAGE_SIZE, Memory


class LifeCycle(IntEnum):
    """The card's life cycle (card specification, section 7)."""

    BLANK = 0
    PERSONALIZED = 1
    ACTIVE = 2
    BLOCKED = 3
    TERMINATED = 4


KEY_TRIES = 15
"""Every key's own try counter starts here (card specification, section 3)."""

TRANSPORT_KEY_VERSION = 0xFF
"""The key version of the transport key set (card specification, section 6)."""

_CHIP, LIFE_CYCLE_ADDRESS, _PROTOCOL, _BLOCKED = 0, 8, 9, 20
_SEQUENCE_COUNTER = 24
NODE_STATES = 64
"""One life cycle byte (ISO/IEC 7816-4 table 14) for each node of the profile, by its index."""
_PIN = PAGE_SIZE
_CARD_KEYS, _CARD_KEY_SIZE = 2 * PAGE_SIZE, 32
_KEY_SETS, _KEY_SET_SIZE, KEY_SET_SLOTS = 8 * PAGE_SIZE, 128, 4
_OPTIONS = 7 * PAGE_SIZE
DATA_OBJECTS, DATA_OBJECTS_SIZE = 12 * PAGE_SIZE, 4 * PAGE_SIZE
FILE_AREA = 16 * PAGE_SIZE
DYNAMIC_AREA = 0x1000 * PAGE_SIZE


def _file_addresses() -> tuple[dict[str, int], int]:
    addresses, address = {}, FILE_AREA
    for file in FILES:
        addresses[file.path] = address
        size = file.size + (2 if file.structure is Structure.CYCLIC else 0)
        address += -(-size // PAGE_SIZE) * PAGE_SIZE
    return addresses, address


FILE_ADDRESS, FILE_AREA_END = _file_addresses()
"""Where each file of the profile begins; a cyclic file begins with its count and newest slot."""


@dataclass(frozen=True, slots=True, repr=False)
class StoredKey:
    """One card key as the card holds it; `tries` is what remains of its counter."""

    version: int
    cipher: Cipher
    key: bytes
    tries: int

    def block_cipher(self) -> BlockCipher:
        """The key, ready to use."""
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


class CardState:
    """Typed access to the card's persistent state; every change is part of the running command."""

    __slots__ = ("memory",)

    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    @property
    def chip(self) -> bytes:
        """The chip serial, 8 bytes."""
        return self.memory.read(_CHIP, 8)

    @chip.setter
    def chip(self, value: bytes) -> None:
        self.memory.write(_CHIP, value)

    @property
    def life_cycle(self) -> int:
        """A `LifeCycle` value."""
        return self.memory.byte(LIFE_CYCLE_ADDRESS)

    @life_cycle.setter
    def life_cycle(self, value: int) -> None:
        self.memory.write(LIFE_CYCLE_ADDRESS, bytes((value,)))

    @property
    def profile(self) -> tuple[int, int, int, bytes]:
        """Spec (0x10 or 0x20), cipher (1 or 2), key version and region factor (8 bytes)."""
        raw = self.memory.read(_PROTOCOL, 11)
        return raw[0], raw[1], raw[2], raw[3:]

    @profile.setter
    def profile(self, value: tuple[int, int, int, bytes]) -> None:
        self.memory.write(_PROTOCOL, bytes(value[:3]) + value[3])

    @property
    def blocked_directories(self) -> int:
        """Bit n-1 is set when DF0n is blocked."""
        return self.memory.byte(_BLOCKED)

    @blocked_directories.setter
    def blocked_directories(self, mask: int) -> None:
        self.memory.write(_BLOCKED, bytes((mask,)))

    @property
    def sequence_counter(self) -> int:
        """The SCP03 sequence counter, 3 bytes on the card (Amendment D 6.2.2.1)."""
        return int.from_bytes(self.memory.read(_SEQUENCE_COUNTER, 3), "big")

    @sequence_counter.setter
    def sequence_counter(self, value: int) -> None:
        self.memory.write(_SEQUENCE_COUNTER, value.to_bytes(3, "big"))

    @property
    def options(self) -> bytes:
        """The card's switches as `CardOptions` codes them, 4 bytes; FF where never written."""
        return self.memory.read(_OPTIONS, 4)

    @options.setter
    def options(self, value: bytes) -> None:
        self.memory.write(_OPTIONS, value)

    @property
    def pin(self) -> StoredPin | None:
        """The PIN; None on a card without one."""
        raw = self.memory.read(_PIN, 10)
        return None if raw[8] == 0xFF else StoredPin(raw[:8], raw[8], raw[9])

    @pin.setter
    def pin(self, pin: StoredPin) -> None:
        self.memory.write(_PIN, pin.block + bytes((pin.limit, pin.remaining)))

    def card_key(self, spec: KeySpec) -> StoredKey | None:
        """One of the 30 card keys; None before personalization."""
        raw = self.memory.read(_CARD_KEYS + _KEY_INDEX[spec.name] * _CARD_KEY_SIZE, 19)
        if raw[0] == 0xFF:
            return None
        return StoredKey(raw[0], Cipher(raw[1]), raw[3:19], raw[2])

    def set_card_key(self, spec: KeySpec, key: StoredKey) -> None:
        """Store one of the 30 card keys with its try counter."""
        raw = bytes((key.version, key.cipher, key.tries)) + key.key
        self.memory.write(_CARD_KEYS + _KEY_INDEX[spec.name] * _CARD_KEY_SIZE, raw)

    def set_key_tries(self, spec: KeySpec, tries: int) -> None:
        """Store what remains of one card key's try counter."""
        address = _CARD_KEYS + _KEY_INDEX[spec.name] * _CARD_KEY_SIZE + 2
        self.memory.write(address, bytes((tries,)))

    @property
    def key_sets(self) -> dict[int, StoredKeySet]:
        """The security domain's key sets by version, in the order they were first stored."""
        found = {}
        for slot in range(KEY_SET_SLOTS):
            raw = self.memory.read(_KEY_SETS + slot * _KEY_SET_SIZE, 99)
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
                raw = bytes((item.version, len(item.enc), item.tries)) + keys
            address = _KEY_SETS + slot * _KEY_SET_SIZE
            self.memory.write(address, raw.ljust(_KEY_SET_SIZE, b"\xff"))


_KEY_INDEX = {key.name: index for index, key in enumerate(KEYS)}
