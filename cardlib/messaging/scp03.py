"""SCP03 on the host, without I/O (GlobalPlatform Card Specification Amendment D 1.2)."""

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from hmac import compare_digest
from struct import Struct

from cryptography.hazmat.primitives.cmac import CMAC

from ..apdu import CommandAPDU, ResponseAPDU
from ..crypto import BLOCK_SIZE, BlockCipher
from ..errors import ChannelError, FormatError
from ..keys import Scp03Keys
from ..keys.static_keys import CARD_CRYPTOGRAM, HOST_CRYPTOGRAM, S_ENC, S_MAC, S_RMAC, derive
from ..status import StatusWord, words
from .scp03_failure import Cause, Scp03Failure

C_MAC, C_ENC, R_MAC, R_ENC = 0x01, 0x02, 0x10, 0x20
LEVELS = (0x01, 0x03, 0x11, 0x13, 0x33)
_S16, _PSEUDO_RANDOM, _CAN_R_MAC, _CAN_R_ENC = 0x01, 0x10, 0x20, 0x60
_REPLY_BIT = 1 << 127
_PADDING = tuple(b"\x80" + bytes(15 - used) for used in range(16))
_LAST_BLOCK, _AFTER_ICV, _HEADER = slice(-16, None), slice(32, None), Struct("5B").pack
_ALTERED = "the reply is not what the card sent"
_REFUSALS: dict[int, Cause] = {
    StatusWord.REFERENCED_DATA_NOT_FOUND: Cause.NO_KEY_SET,
    StatusWord.WRONG_LENGTH: Cause.CHALLENGE_LENGTH,
}
_REFUSALS_OF_HOST: dict[int, Cause] = {
    StatusWord.AUTHENTICATION_FAILED: Cause.HOST_REFUSED,
    StatusWord.AUTHENTICATION_METHOD_BLOCKED: Cause.BLOCKED,
}


class _State(IntEnum):
    NEW, CHALLENGED, AUTHENTICATING, OPEN, DEAD = range(5)


_OPEN = _State.OPEN


@dataclass(frozen=True, slots=True)
class CardChallenge:
    """The parts of the reply to INITIALIZE UPDATE (Amendment D 7.1.1.6).

    `diversification` has 10 bytes, `challenge` and `cryptogram` have 8 (S8) or 16 (S16) bytes,
    `sequence_counter` has 3 or none.
    """

    diversification: bytes
    key_version: int
    i: int
    challenge: bytes
    cryptogram: bytes
    sequence_counter: bytes

    @classmethod
    def parse(cls, data: bytes, size: int) -> "CardChallenge":
        """Decode the reply to a challenge of `size` bytes.

        Raises Scp03Failure when the card does not answer as SCP03, or in another length.
        """
        if len(data) < 13 or data[11] != 3:
            protocol = f"SCP{data[11]:02X}, key version {data[10]:02X}" if len(data) > 12 else "?"
            raise Scp03Failure(Cause.PROTOCOL, f"INITIALIZE UPDATE answered {protocol}")
        i = data[12]
        if bool(i & _S16) != (size == 16):
            raise Scp03Failure(
                Cause.CHALLENGE_LENGTH, f"the card has i={i:02X}, but {size} bytes were sent"
            )
        counter = 3 if i & _PSEUDO_RANDOM else 0
        end = 13 + 2 * size
        if len(data) != end + counter:
            raise Scp03Failure(
                Cause.PROTOCOL, f"INITIALIZE UPDATE answered {len(data)} bytes for i={i:02X}"
            )
        return cls(data[:10], data[10], i, data[13 : 13 + size], data[13 + size : end], data[end:])

    def __str__(self) -> str:
        return (
            f"key version {self.key_version:02X}, i={self.i:02X}, "
            f"diversification data {self.diversification.hex().upper()}"
        )


class Scp03Host:
    """One session from INITIALIZE UPDATE on. It is over after any exception.

    `level` is 01, 03, 11, 13 or 33 (C-MAC 01, C-ENC 02, R-MAC 10, R-ENC 20). The host challenge is
    random, 8 bytes (S8) or 16 (S16), unless a test gives one.

    Each direction uses one CBC context for the whole session: feeding back the last ciphertext
    gives E(0), and the ICV is then the ciphertext of the block `counter` xor E(0).
    """

    __slots__ = (
        "_answered", "_chain", "_challenge", "_counter", "_decrypt", "_encrypt", "_encrypts",
        "_identifier", "_keys", "_last", "_level", "_mac_copy", "_mac_part", "_mac_size",
        "_reply_encrypted", "_reply_macs", "_rmac_copy", "_s_enc", "_sent", "_state", "_version",
        "_zero", "card",
    )  # fmt: skip
    _mac_copy: Callable[[], CMAC]
    _rmac_copy: Callable[[], CMAC]
    _encrypt: Callable[[bytes], bytes] | None
    _decrypt: Callable[[bytes], bytes]
    _s_enc: BlockCipher
    card: CardChallenge

    def __init__(
        self,
        keys: Scp03Keys,
        level: int,
        key_version: int = 0,
        host_challenge: bytes | None = None,
        *,
        key_identifier: int = 0,
        s16: bool = False,
    ) -> None:
        if level not in LEVELS:
            raise ChannelError(f"security level {level:02X}: use 01, 03, 11, 13 or 33")
        if host_challenge is None:
            host_challenge = secrets.token_bytes(16 if s16 else 8)
        if len(host_challenge) not in (8, 16):
            raise ChannelError("a host challenge must have 8 or 16 bytes")
        self._keys, self._level, self._challenge = keys, level, host_challenge
        self._version, self._identifier = key_version, key_identifier
        self._encrypts = bool(level & C_ENC)
        self._encrypt = None
        self._reply_macs, self._reply_encrypted = bool(level & R_MAC), bool(level & R_ENC)
        self._mac_size, self._mac_part = len(host_challenge), slice(len(host_challenge))
        self._chain = bytes(BLOCK_SIZE)
        self._counter = self._zero = 0
        self._last = b""
        self._answered = 0
        self._sent: list[tuple[int, bytes]] = []
        self._state = _State.NEW

    def __repr__(self) -> str:
        return f"<SCP03 level {self._level:02X} {self._state.name.lower()} {self._keys!r}>"

    @property
    def is_open(self) -> bool:
        """Whether commands can be wrapped."""
        return self._state is _State.OPEN

    @property
    def capacity(self) -> int:
        """The most plain bytes that a short command can carry: 255 less MAC and padding."""
        room = 255 - self._mac_size
        return room // BLOCK_SIZE * BLOCK_SIZE - 1 if self._encrypts else room

    def close(self) -> None:
        """End the session."""
        self._state = _State.DEAD

    def initialize_update(self) -> CommandAPDU:
        """Return the command INITIALIZE UPDATE (Amendment D 7.1.1)."""
        self._step(_State.NEW, _State.CHALLENGED)
        return CommandAPDU(0x80, 0x50, self._version, self._identifier, self._challenge, le=256)

    def external_authenticate(self, response: ResponseAPDU) -> CommandAPDU:
        """Check the answer to INITIALIZE UPDATE; return EXTERNAL AUTHENTICATE (7.1.2).

        Raises Scp03Failure, which says what is wrong and which keys were tried.
        """
        self._step(_State.CHALLENGED, _State.DEAD)
        if response.sw != 0x9000:
            asked = f"INITIALIZE UPDATE with key version {self._version:02X}"
            cause = _REFUSALS.get(response.sw, Cause.REFUSED)
            raise self._failure(cause, f"{asked}: {response.sw:04X} {words(response.sw)}")
        self.card = CardChallenge.parse(response.data, len(self._challenge))
        self._check_abilities()
        context = self._challenge + self.card.challenge
        s_mac = self._keys.session_key(S_MAC, context)
        bits = 8 * self._mac_size
        if not compare_digest(derive(s_mac, CARD_CRYPTOGRAM, context, bits), self.card.cryptogram):
            raise self._wrong_cryptogram()
        self._prepare(s_mac, context)
        self._state = _State.AUTHENTICATING
        head = bytes((0x84, 0x82, self._level, 0, 2 * self._mac_size))
        cryptogram = derive(s_mac, HOST_CRYPTOGRAM, context, bits)
        mac = self._mac_copy()
        mac.update(self._chain + head + cryptogram)
        self._chain = mac.finalize()
        return CommandAPDU(0x84, 0x82, self._level, 0, cryptogram + self._chain[: self._mac_size])

    def opened(self, response: ResponseAPDU) -> None:
        """Check the answer to EXTERNAL AUTHENTICATE. Raises Scp03Failure when it is not 9000."""
        self._step(_State.AUTHENTICATING, _State.DEAD)
        if response.sw != 0x9000 or response.data:
            cause = _REFUSALS_OF_HOST.get(response.sw, Cause.REFUSED)
            answer = f"EXTERNAL AUTHENTICATE level {self._level:02X}: {response.sw:04X}"
            own = "the card's own cryptogram was right"
            raise self._failure(cause, f"{answer} {words(response.sw)}; {own}; {self.card}")
        self._state = _State.OPEN

    def wrap(self, command: CommandAPDU) -> CommandAPDU:
        """Protect a command. See `protect`."""
        return CommandAPDU.parse(
            self.protect(
                command.cla, command.ins, command.p1, command.p2,
                command.data, command.le, extended=command.extended,
            )
        )  # fmt: skip

    def unwrap(self, response: ResponseAPDU) -> ResponseAPDU:
        """Check and remove the protection of the reply to the last command. See `unprotect`."""
        return ResponseAPDU(self.unprotect(response.data, response.sw), response.sw)

    def wrap_all(self, commands: Iterable[CommandAPDU]) -> list[CommandAPDU]:
        """Protect commands that are sent before any of their replies is checked. See `protect`."""
        wrapped = []
        for command in commands:
            wrapped.append(self.wrap(command))
            self._sent.append((self._counter, self._chain))
        return wrapped

    def unwrap_all(self, responses: Sequence[ResponseAPDU]) -> list[ResponseAPDU]:
        """Check the replies to the commands of `wrap_all`, in order. See `unprotect`.

        With fewer replies than commands, the session is over: nobody knows what the card has done.
        """
        sent, self._sent = self._sent, []
        if len(responses) > len(sent):
            self._state = _State.DEAD
            raise ChannelError(f"{len(responses)} replies came to {len(sent)} commands")
        last, plain = (self._counter, self._chain), []
        for (counter, chain), response in zip(sent, responses, strict=False):
            self._counter, self._chain, self._answered = counter, chain, counter - 1
            plain.append(self.unwrap(response))
        self._counter, self._chain = last
        if len(responses) < len(sent):
            self._state = _State.DEAD
        return plain

    def protect(
        self,
        cla: int,
        ins: int,
        p1: int,
        p2: int,
        data: bytes = b"",
        le: int | None = None,
        *,
        extended: bool = False,
    ) -> bytes:
        """Encode a command under C-MAC and C-ENC (Amendment D 6.2.4, 6.2.6).

        Under R-MAC, Le is increased by what protection adds to the reply. Raises FormatError when
        the protected command does not fit the short form and `extended` is not set.
        """
        try:
            if self._state is not _OPEN or cla & 0x68:
                raise self._refusal(cla)
            self._counter = counter = self._counter + 1
            plain = size = len(data)
            if size and (encrypt := self._encrypt):
                block = (counter ^ self._zero).to_bytes(16)
                sealed = encrypt(self._last + block + data + _PADDING[size & 15])
                self._last = sealed[_LAST_BLOCK]
                data = sealed[_AFTER_ICV]
                size = (size | 15) + 1
            size += self._mac_size
            if size < 256 and le is None and not extended:
                command = _HEADER(cla | 4, ins, p1, p2, size) + data
            else:
                extended = extended or plain > 255 or (le or 0) > 256
                command = bytes((cla | 4, ins, p1, p2)) + self._lc(size, extended) + data
            mac = self._mac_copy()
            mac.update(self._chain + (_on_channel_0(command) if cla & 3 else command))
            self._chain = chain = mac.finalize()
            command += chain[self._mac_part]
            return command if le is None else command + self._le(le, extended)
        except BaseException:
            self._state = _State.DEAD
            raise

    def unprotect(self, data: bytes, sw: int) -> bytes:
        """Return the plain data of the reply to the last command (Amendment D 6.2.5, 6.2.7).

        Under R-MAC every 9000, 62xx and 63xx must carry a MAC; an error has neither data nor MAC,
        so it is not authenticated. Raises ChannelError when the reply was changed.
        """
        try:
            if self._state is not _State.OPEN or self._answered == self._counter:
                raise ChannelError("no command is waiting for a reply in this session")
            self._answered = self._counter
            if not self._reply_macs:
                return data
            if sw != 0x9000 and sw >> 8 not in (0x62, 0x63):
                if data or sw >> 8 == 0x61:
                    raise ChannelError(_ALTERED)
                return data
            return self._checked(data, sw)
        except BaseException:
            self._state = _State.DEAD
            raise

    def _checked(self, data: bytes, sw: int) -> bytes:
        size = len(data) - self._mac_size
        if size < 0:
            raise ChannelError(f"the reply {sw:04X} has no MAC")
        body = data[:size]
        mac = self._rmac_copy()
        mac.update(self._chain + body + sw.to_bytes(2, "big"))
        if not compare_digest(mac.finalize()[: self._mac_size], data[size:]):
            raise ChannelError(_ALTERED)
        if not size or not self._reply_encrypted:
            return body
        if size % BLOCK_SIZE:
            raise ChannelError(_ALTERED)
        icv = self._s_enc.encrypt_ecb((self._counter | _REPLY_BIT).to_bytes(16, "big"))
        # Some cards (Samsung's) pad with more than one block; the MAC was right, so accept it.
        plain = self._decrypt(icv + body)[16:].rstrip(b"\0")
        if plain[-1:] != b"\x80":
            raise ChannelError(_ALTERED)
        return plain[:-1]

    def _step(self, before: _State, after: _State) -> None:
        state, self._state = self._state, _State.DEAD
        if state is not before:
            raise ChannelError(
                f"wrong order: the SCP03 session is {state.name.lower()}, not {before.name.lower()}"
            )
        self._state = after

    def _check_abilities(self) -> None:
        card, keys = self.card, self._keys
        if card.key_version != keys.key_version:
            raise self._failure(Cause.KEY_VERSION, f"the card answered {card}")
        if self._level & R_MAC and not card.i & _CAN_R_MAC:
            raise self._failure(Cause.LEVEL, f"{self._level:02X} needs R-MAC; {card}")
        if self._level & R_ENC and card.i & _CAN_R_ENC != _CAN_R_ENC:
            raise self._failure(Cause.LEVEL, f"{self._level:02X} needs R-ENC; {card}")

    def _wrong_cryptogram(self) -> Scp03Failure:
        chip, told = self._keys.chip, self.card.diversification[:8]
        if chip is None or chip == told:
            return self._failure(Cause.KEY, f"wrong card cryptogram; the card has {self.card}")
        chips = f"derived for {chip.hex().upper()}, but the card is {told.hex().upper()}"
        return self._failure(Cause.DIVERSIFICATION, f"wrong card cryptogram; {chips}; {self.card}")

    def _failure(self, cause: Cause, found: str) -> Scp03Failure:
        return Scp03Failure(cause, f"{found}; tried {self._keys!r}")

    def _prepare(self, s_mac: BlockCipher, context: bytes) -> None:
        self._mac_copy = s_mac.keyed_cmac().copy
        if self._reply_macs:
            self._rmac_copy = self._keys.session_key(S_RMAC, context).keyed_cmac().copy
        if self._encrypts:
            self._s_enc = self._keys.session_key(S_ENC, context)
            self._encrypt, self._decrypt = self._first_encrypt, self._first_decrypt

    def _first_encrypt(self, blocks: bytes) -> bytes:
        """Make the CBC context when it is needed: making one costs more than using it."""
        self._encrypt = encrypt = self._s_enc.cbc_encryptor().update
        zero = encrypt(bytes(BLOCK_SIZE))
        self._zero = int.from_bytes(zero)
        icv_block = (self._zero ^ int.from_bytes(blocks[:BLOCK_SIZE])).to_bytes(BLOCK_SIZE)
        return zero + encrypt(icv_block + blocks[BLOCK_SIZE:])

    def _first_decrypt(self, blocks: bytes) -> bytes:
        self._decrypt = self._s_enc.cbc_decryptor().update
        return self._decrypt(blocks)

    def _refusal(self, cla: int) -> ChannelError:
        if self._state is not _OPEN:
            return ChannelError(f"the SCP03 session is {self._state.name.lower()}, not open")
        return ChannelError(f"class {cla:02X} cannot be protected by SCP03")

    def _lc(self, size: int, extended: bool) -> bytes:
        if extended:
            return b"\0" + size.to_bytes(2)
        if size > 255:
            raise FormatError(f"too long: a short command carries {self.capacity} bytes here")
        return bytes((size,))

    def _le(self, le: int, extended: bool) -> bytes:
        if self._reply_macs:
            if self._reply_encrypted:
                le += BLOCK_SIZE - le % BLOCK_SIZE
            le += self._mac_size
        if extended:
            return (min(le, 65536) & 0xFFFF).to_bytes(2, "big")
        return bytes((min(le, 256) & 0xFF,))


def _on_channel_0(command: bytes) -> bytes:
    """Return the command as on logical channel 0: this is what the MAC is calculated over."""
    return bytes((command[0] & 0xFC,)) + command[1:]
