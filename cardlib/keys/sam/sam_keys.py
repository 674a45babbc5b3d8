"""The keys of a SAM in a terminal: it calculates, and no root key leaves it (card specification 3).

Version 1: 80 DE makes a process key, 80 FA uses it. Version 2: 80 EA makes a cryptogram, 80 EB the
session keys. The key version is always the card's, never 0.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ... import commands
from ...apdu import CommandAPDU
from ...crypto import BLOCK_SIZE, BlockCipher, Cipher, pad
from ...errors import CardKeyError, ChannelError, FormatError
from ...exchange import Connection
from ...facts import Pin, SpecVersion
from ...layout import KEY_BY_NAME, KeySpec
from ...layout.card_profile import RHCARD, CardProfile
from ...layout.sam_data import (
    AUTHENTICATE,
    KEY_BY_SAM_ID,
    NO_LIMIT,
    TAG_KEY_SETS,
    TAG_USES_LEFT,
)
from ...status import StatusWord
from ...tlv import find_ber, iter_ber
from .. import KeyUse, Scp03Keys, SessionKeys
from .sam_line import SamLine, SamRefusal

_INTERNAL_KEY = "IRK_DDF1"
_REPLY, _CHAINING, _SESSION_KEYS, _MAC_SIZE = 40, 16, 32, 4
_ENCRYPT_ROOM, _MAC_ROOM = 240, 224
"""Whole blocks of one 80 FA: 255 bytes, with an IV of 16 for a MAC."""
_NOT_GENUINE = (
    "the card's cryptogram is wrong: the card does not hold this key, or its answer was changed"
)


@dataclass(frozen=True, slots=True)
class HeldKeys:
    """One key set of a SAM: what it is for, and the names of the keys that it has."""

    protocol: int
    cipher: Cipher
    version: int
    names: frozenset[str]


ALL_NAMES = frozenset(KEY_BY_NAME)
"""What a SAM may hold that does not say what it holds."""


class SamKeySet:
    """The keys of a SAM as a `KeySet`. A SAM may hold several; `fitting` gives the one of a card.

    What it says of itself is about its newest key set of the lowest protocol that it holds.
    """

    def __init__(self, line: SamLine, held: Iterable[HeldKeys], uses_left: int | None) -> None:
        """Use `open`."""
        self._line = line
        self.held = tuple(held)
        self.uses_left = uses_left
        """The authentications that were left when it was opened; None if it does not say."""
        own = min(self.held, key=lambda each: (each.protocol, -each.version))
        self.protocol, self.cipher, self.version = own.protocol, own.cipher, own.version
        self.names = own.names

    @classmethod
    def open(
        cls,
        connection: Connection,
        pin: Pin,
        *,
        profile: CardProfile = RHCARD,
        given: HeldKeys | None = None,
    ) -> "SamKeySet":
        """Select DF01 of a SAM and verify its PIN. Nothing else may use the connection.

        `profile` says how the PIN is coded. `given` is the key set of a SAM that does not say what
        it holds, as deployed ones: it is not asked then. Raises SamRefusal when the SAM refuses,
        CardKeyError when it does not say what it holds and nothing is given.
        """
        line = SamLine(connection)
        held, uses_left = contents(line.select(fci=given is None))
        if not held and given is None:
            raise CardKeyError(
                "the SAM does not say which keys it holds. For a deployed SAM add --profile field,"
                " with --cipher and --key-version"
            )
        digits = bytes.fromhex(pin) if profile.sam_pin == "BCD" else pin.digits
        line.verify(digits)
        return cls(line, held or ((given,) if given else ()), uses_left)

    def __repr__(self) -> str:
        sets = ", ".join(
            f"{each.cipher.name} protocol {each.protocol} v{each.version}" for each in self.held
        )
        return f"<SAM with {sets}>"

    def fitting(self, protocol: int, cipher: Cipher, version: int) -> "SamKeySet":
        """Return the key set for cards of this protocol, cipher and version.

        Raises CardKeyError, which says what the SAM holds, when none fits.
        """
        for each in self.held:
            if (each.protocol, each.cipher, each.version) == (protocol, cipher, version):
                return SamKeySet(self._line, (each,), self.uses_left)
        held = " and ".join(
            f"protocol {each.protocol}, {each.cipher.name}, version {each.version}"
            for each in self.held
        )
        raise CardKeyError(f"the keys in the SAM are for {held}")

    def for_card(self, chip: bytes, region: bytes) -> "SamCardKeys":
        """Return the keys of the card with this chip serial and region factor, 8 bytes each."""
        if len(chip) != 8 or len(region) != 8:
            raise CardKeyError("chip serial and region factor must have 8 bytes each")
        own = HeldKeys(self.protocol, self.cipher, self.version, self.names)
        return SamCardKeys(self._line, own, chip, region)


class SamCardKeys:
    """The keys of one card, calculated by a SAM each time they are used."""

    __slots__ = ("_chip", "_line", "_names", "_region", "cipher", "protocol", "version")

    def __init__(self, line: SamLine, held: HeldKeys, chip: bytes, region: bytes) -> None:
        self._line, self._names = line, held.names
        self.protocol, self.cipher, self.version = held.protocol, held.cipher, held.version
        self._chip, self._region = chip, region

    def __repr__(self) -> str:
        return f"<card keys in a SAM, v{self.version} chip {self._chip.hex().upper()}>"

    def process_key(self, name: str, challenge: bytes) -> "SamProcessKey":
        """Return the process key of a card key for an 8-byte challenge (card specification 3)."""
        key = self._key(name)
        if self.protocol != 1 and name != _INTERNAL_KEY:
            raise CardKeyError(f"{name} has no process key: it is for protocol {self.protocol}")
        if len(challenge) != 8:
            raise FormatError(f"a challenge has 8 bytes, not {len(challenge)}")
        return SamProcessKey(self._line, key, self.version, self._factors(key) + challenge)

    def authentication(self, name: str, rnd_ic: bytes, binding: bytes) -> "SamAuthentication":
        """Begin a version-2 authentication: 80 EA (card specification 5)."""
        key = self._key(name)
        if self.protocol != 2:
            raise CardKeyError(
                f"{name} cannot authenticate by version 2: it is for protocol {self.protocol}"
            )
        if len(rnd_ic) != 8 or len(binding) != 6:
            raise CardKeyError("an authentication needs a challenge of 8 bytes and a B of 6 bytes")
        return SamAuthentication(self._line, key, self, self._factors(key) + rnd_ic + binding)

    def key_check_value(self, name: str) -> bytes:
        """Raise CardKeyError: a SAM tells no check value."""
        raise CardKeyError(f"{name} is in a SAM, which tells no check value")

    def grouping(self, name: str, dek: Scp03Keys) -> bytes:
        """Raise CardKeyError: a SAM does not personalize cards."""
        raise CardKeyError(f"{name} is in a SAM: a card can be issued with a key store only")

    def _key(self, name: str) -> KeySpec:
        if name not in self._names:
            raise CardKeyError(f"{name} is needed, but this SAM does not hold it")
        return KEY_BY_NAME[name]

    def _factors(self, key: KeySpec) -> bytes:
        return self._chip + self._region if key.levels == 2 else self._chip


class SamProcessKey:
    """A version-1 process key in a SAM: 80 DE, then 80 FA (card specification 3)."""

    __slots__ = ("_command", "_is_single", "_line", "_name")

    def __init__(self, line: SamLine, key: KeySpec, version: int, data: bytes) -> None:
        self._line, self._name = line, f"{key.name}, version {version}"
        self._command = commands.sam_diversify(key.sam_usage, version << 5 | key.sam_key_id, data)
        self._is_single = key.sam_usage & 0x1F == AUTHENTICATE
        """Whether each 80 DE gives one 80 FA only."""

    def __repr__(self) -> str:
        return f"<process key of {self._name}, in a SAM>"

    def encrypt(self, blocks: bytes) -> bytes:
        """Encrypt whole 16-byte blocks, each by itself. Raises SamRefusal when the SAM refuses."""
        if not blocks or len(blocks) % BLOCK_SIZE:
            raise FormatError(f"{len(blocks)} bytes are not whole {BLOCK_SIZE}-byte blocks")
        parts = (blocks[i : i + _ENCRYPT_ROOM] for i in range(0, len(blocks), _ENCRYPT_ROOM))
        return b"".join(self._calculated(commands.sam_encrypt(part), len(part)) for part in parts)

    def mac(self, message: bytes) -> bytes:
        """Return the first 4 bytes of the CBC-MAC, IV 0, over the message padded 80 00.. .

        What is longer than one command carries is chained here, block by block, up to the rest.
        """
        blocks, iv = pad(message), bytes(BLOCK_SIZE)
        while len(blocks) > _MAC_ROOM:
            first, blocks = blocks[:BLOCK_SIZE], blocks[BLOCK_SIZE:]
            iv = self.encrypt(bytes(a ^ b for a, b in zip(first, iv, strict=True)))
        return self._calculated(commands.sam_mac(iv, blocks), _MAC_SIZE)

    def _calculated(self, command: CommandAPDU, size: int) -> bytes:
        if self._line.owner is not self or self._is_single:
            self._line.owner = self
            self._line.ask(self._command, f"80 DE of {self._name}")
        data = self._line.ask(command, f"80 FA under {self._name}")
        if len(data) != size:
            raise CardKeyError(f"SAM: 80 FA answered {len(data)} bytes, not {size}")
        return data


class SamAuthentication:
    """One version-2 authentication that a SAM makes: 80 EA, then 80 EB (card specification 5)."""

    __slots__ = ("_cipher", "_line", "_name", "cryptogram")

    def __init__(self, line: SamLine, key: KeySpec, use: KeyUse, data: bytes) -> None:
        self._line, self._cipher = line, use.cipher
        self._name = f"{key.name}, version {use.version}"
        reference = use.version << 5 | key.sam_key_id
        command = commands.sam_authenticate(key.levels << 5 | AUTHENTICATE, reference, data)
        line.owner = self
        self.cryptogram = line.ask(command, f"80 EA of {self._name}")
        if len(self.cryptogram) != _REPLY:
            raise CardKeyError(f"SAM: 80 EA answered {len(self.cryptogram)} bytes, not {_REPLY}")

    def __repr__(self) -> str:
        return f"<authentication by {self._name}, in a SAM>"

    def session_keys(self, reply: bytes, chaining: bytes) -> SessionKeys:
        """Have the SAM check the card's 40 bytes and derive the session keys.

        `chaining` is P, 16 bytes. Raises ChannelError when the answer is wrong or the call is the
        second, CardKeyError when the SAM has begun something else since.
        """
        if len(chaining) != _CHAINING:
            raise CardKeyError(f"P must have {_CHAINING} bytes, not {len(chaining)}")
        owner, self._line.owner = self._line.owner, None
        if owner is not self or len(reply) != _REPLY:
            raise ChannelError(_NOT_GENUINE)
        try:
            keys = self._line.ask(
                commands.sam_session_keys(reply, chaining), f"80 EB of {self._name}"
            )
        except SamRefusal as refusal:
            if refusal.sw == StatusWord.AUTHENTICATION_FAILED:
                raise ChannelError(_NOT_GENUINE) from None
            raise
        if len(keys) != _SESSION_KEYS:
            raise CardKeyError(f"SAM: 80 EB answered {len(keys)} bytes, not {_SESSION_KEYS}")
        return SessionKeys(*(BlockCipher(self._cipher, keys[i : i + 16]) for i in (0, 16)))


def contents(fci: bytes) -> tuple[tuple[HeldKeys, ...], int | None]:
    """Return what a SAM says in its FCI: its key sets, and how many authentications are left.

    The number is None without a limit, or if the SAM does not say it. Raises CardKeyError when the
    FCI cannot be decoded.
    """
    try:
        objects = list(iter_ber(find_ber(fci, 0x6F, 0xA5) or b"")) if fci else []
        held = tuple(_held(each.value) for each in objects if each.tag == TAG_KEY_SETS)
    except (FormatError, ValueError):
        raise CardKeyError("SAM: SELECT DF01 answered what cannot be decoded") from None
    left = next((each.value for each in objects if each.tag == TAG_USES_LEFT), b"")
    number = int.from_bytes(left, "big")
    return held, None if not left or number == NO_LIMIT else number


def _held(described: bytes) -> HeldKeys:
    spec, cipher, version = described[:3]
    ids = int.from_bytes(described[3:], "big")
    names = {key.name for key_id, key in KEY_BY_SAM_ID.items() if ids >> key_id & 1}
    return HeldKeys(SpecVersion(spec).protocol, Cipher(cipher), version, frozenset(names))
