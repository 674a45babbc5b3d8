"""ISO secure messaging by the profile of ICAO 9303-11 9.8: data objects, padding, counter.

The ciphers are a parameter, the `Suite`: version 2 uses SM4 or AES, and the tests run the same code
with the published 3DES examples.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from hmac import compare_digest

from ..apdu import CommandAPDU, ResponseAPDU
from ..crypto import BLOCK_SIZE, BlockCipher
from ..errors import ChannelError, FormatError
from ..status import words
from ..tlv import ber_length

MAC_SIZE = 8
_SM_BITS = 0x0C
_DO_MAC = b"\x8e\x08"
_DO_STATUS = b"\x99\x02"
_ENCRYPTED, _ENCRYPTED_BER = 0x87, 0x85
_PADDED = b"\x01"
_MAC_OBJECT = len(_DO_MAC) + MAC_SIZE
_ALTERED = "the reply is not what the card sent"


@dataclass(frozen=True, slots=True)
class Suite:
    """The ciphers of a session with its keys: encryption, MAC, and the first counter value.

    `encrypt` and `decrypt` take the counter as a number and whole blocks. `mac` takes whole blocks
    and returns 8 bytes. `block_size` is 16 or 8; the counter is as long as a block.
    """

    block_size: int
    counter_start: int
    encrypt: Callable[[int, bytes], bytes]
    decrypt: Callable[[int, bytes], bytes]
    mac: Callable[[bytes], bytes]


def cmac_suite(enc: BlockCipher, mac: BlockCipher) -> Suite:
    """Make the suite of version 2: CBC with IV E(counter), CMAC cut to 8 bytes, counter from 0.

    ICAO 9303-11 9.8.7.2. Each direction uses one CBC context for the whole session: E(counter) is
    the ciphertext of a first block `counter` under IV 0, so xoring the last ciphertext into that
    block starts the chain again.
    """
    seal, unseal = enc.cbc_encryptor().update, enc.cbc_decryptor().update
    encrypt_block, keyed_cmac = enc.encrypt_ecb, mac.keyed_cmac
    last = 0

    def encrypt(counter: int, padded: bytes) -> bytes:
        nonlocal last
        sealed = seal((counter ^ last).to_bytes(BLOCK_SIZE, "big") + padded)
        last = int.from_bytes(sealed[-BLOCK_SIZE:], "big")
        return sealed[BLOCK_SIZE:]

    def decrypt(counter: int, blocks: bytes) -> bytes:
        iv = encrypt_block(counter.to_bytes(BLOCK_SIZE, "big"))
        return unseal(iv + blocks)[BLOCK_SIZE:]

    def mac8(message: bytes) -> bytes:
        context = keyed_cmac()
        context.update(message)
        return context.finalize()[:MAC_SIZE]

    return Suite(BLOCK_SIZE, 0, encrypt, decrypt, mac8)


@cache
def _paddings(block_size: int) -> tuple[bytes, ...]:
    """Return 80 00.. for each number of bytes in the last block (ISO/IEC 9797-1 method 2)."""
    return tuple(b"\x80" + bytes(block_size - 1 - used) for used in range(block_size))


def protected_length(ins: int, size: int, le_bytes: int, block_size: int = BLOCK_SIZE) -> int:
    """Return the length of a protected data field: `size` plain bytes, Le of 0, 1 or 2 bytes."""
    length = _MAC_OBJECT + (2 + le_bytes if le_bytes else 0)
    if size:
        value = size + block_size - size % block_size + (0 if ins & 1 else 1)
        length += 1 + len(ber_length(value)) + value
    return length


class SecureMessaging:
    """The protection of one session in both directions, without I/O.

    Commands with an odd INS carry their data in DO85 instead of DO87 (ISO/IEC 7816-4 table 51). The
    session is over after any exception.
    """

    __slots__ = (
        "_block", "_counter", "_decrypt", "_encrypt", "_header_padding", "_is_open", "_mac",
        "_mask", "_odd", "_padding", "_pending",
    )  # fmt: skip

    def __init__(self, suite: Suite) -> None:
        self._is_open, self._pending, self._odd = True, False, 0
        self.renew(suite)

    def __repr__(self) -> str:
        return f"<secure messaging {'open' if self._is_open else 'over'}>"

    @property
    def is_open(self) -> bool:
        """Whether commands can be protected."""
        return self._is_open

    def close(self) -> None:
        """End the session."""
        self._is_open = False

    def renew(self, suite: Suite) -> None:
        """Use new keys from the next command on; the counter starts again."""
        self._block, self._mask = suite.block_size, suite.block_size - 1
        self._padding = _paddings(suite.block_size)
        self._header_padding = self._padding[4]
        self._encrypt, self._decrypt, self._mac = suite.encrypt, suite.decrypt, suite.mac
        self._counter = suite.counter_start

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
        """Encode a protected command: [DO85/87] ‖ [DO97] ‖ DO8E and Le 00.

        The extended form is used if `extended` is set or the short form cannot carry the lengths;
        DO97 has 2 bytes if Le needs them. Raises FormatError when the class is not 00 to 03, and
        ChannelError when the session is over or the last reply is missing.
        """
        try:
            if not self._is_open or self._pending:
                over = "the session is over: reset the card"
                raise ChannelError("the last command has no reply yet" if self._is_open else over)
            if cla & 0xFC:
                raise FormatError(f"class {cla:02X} cannot be protected by secure messaging")
            self._counter = counter = self._counter + 1
            extended = extended or (le is not None and le > 256)
            header = bytes((cla | _SM_BITS, ins, p1, p2))
            message = counter.to_bytes(self._block, "big") + header + self._header_padding
            objects = self._data_object(counter, ins, data) if data else b""
            if le is not None:
                objects += _expected(le, extended)
            if objects:
                message += objects + self._padding[len(objects) & self._mask]
            body = objects + _DO_MAC + self._mac(message)
            self._pending, self._odd = True, ins & 1
            if extended or len(body) > 255:
                return header + b"\0" + len(body).to_bytes(2, "big") + body + b"\0\0"
            return header + bytes((len(body),)) + body + b"\0"
        except BaseException:
            self._is_open = False
            raise

    def unprotect(self, data: bytes, sw: int) -> bytes:
        """Return the plain data of the reply to the last protected command.

        `data` is [DO85/87] ‖ DO99 ‖ DO8E. `sw` is the status word after it, which must be the one
        in DO99. Raises ChannelError when the reply is not protected or was changed. It does not say
        which check failed.
        """
        try:
            if not self._is_open or not self._pending:
                raise ChannelError("no command is waiting for a reply in this session")
            self._pending = False
            if len(data) < _MAC_OBJECT:
                raise ChannelError(f"the reply is not protected: {sw:04X} {words(sw)}")
            self._counter = counter = self._counter + 1
            body, mac = data[:-_MAC_OBJECT], data[-_MAC_OBJECT:]
            message = counter.to_bytes(self._block, "big") + body
            expected = self._mac(message + self._padding[len(body) & self._mask])
            if not compare_digest(_DO_MAC + expected, mac):
                raise ChannelError(_ALTERED)
            if body[-4:] != _DO_STATUS + sw.to_bytes(2, "big"):
                raise ChannelError(_ALTERED)
            return self._opened(counter, body[:-4]) if len(body) > 4 else b""
        except BaseException:
            self._is_open = False
            raise

    def _data_object(self, counter: int, ins: int, data: bytes) -> bytes:
        sealed = self._encrypt(counter, data + self._padding[len(data) & self._mask])
        if ins & 1:
            return b"\x85" + ber_length(len(sealed)) + sealed
        return b"\x87" + ber_length(len(sealed) + 1) + _PADDED + sealed

    def _opened(self, counter: int, sealed: bytes) -> bytes:
        """Decrypt one whole DO87 (DO85 for an odd INS)."""
        blocks = _value(_ENCRYPTED_BER if self._odd else _ENCRYPTED, sealed)
        if not self._odd:
            if blocks[:1] != _PADDED:
                raise ChannelError(_ALTERED)
            blocks = blocks[1:]
        if not blocks or len(blocks) & self._mask:
            raise ChannelError(_ALTERED)
        padded = self._decrypt(counter, blocks)
        plain = padded.rstrip(b"\0")
        if plain[-1:] != b"\x80" or len(padded) - len(plain) > self._mask:
            raise ChannelError(_ALTERED)
        return plain[:-1]


def _expected(le: int, extended: bool) -> bytes:
    """Encode DO97: Le as in the plain command."""
    if extended:
        return b"\x97\x02" + (le & 0xFFFF).to_bytes(2, "big")
    return b"\x97\x01" + bytes((le & 0xFF,))


def _value(tag: int, data: bytes) -> bytes:
    """Return the value of the one object in `data`. Raises ChannelError if it is not just that."""
    start = 2
    length = data[1] if len(data) > 1 else 0
    if length >= 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start], "big")
    if data[0] != tag or len(data) != start + length:
        raise ChannelError(_ALTERED)
    return data[start:]
