"""SCP03 on the card (GlobalPlatform Card Specification, Amendment D version 1.2).

A channel has a session from INITIALIZE UPDATE on: first it is initiated (level 0, nothing is
protected), then open at the level of EXTERNAL AUTHENTICATE, and after an error aborted. Every
command of the channel goes through `unwrap` and its response through `wrap`.

The CBC contexts are kept for the whole session: the ICV is the encrypted counter, which is also the
ciphertext of a first CBC block. After an error they cannot be used, but the standard aborts the
session anyway.
"""

from hmac import compare_digest

from ...apdu import CommandAPDU
from ...crypto import BLOCK_SIZE, BlockCipher, Cipher, pad, unpad
from ...errors import FormatError
from ...facts import TRANSPORT_KEY_VERSION
from ...status import StatusWord
from ..chip.refusal import Refusal
from ..profile.card_state import StoredKeySet

C_MAC, C_ENC, R_MAC, R_ENC = 0x01, 0x02, 0x10, 0x20
LEVELS = frozenset({0x01, 0x03, 0x11, 0x13, 0x33})
"""The security levels of Amendment D 7.1.2.1, except 00, which protects nothing."""

_CARD_CRYPTOGRAM, _HOST_CRYPTOGRAM, _CARD_CHALLENGE = 0x00, 0x01, 0x02
_S_ENC, _S_MAC, _S_RMAC = 0x04, 0x06, 0x07
_SECURE_MESSAGING, _FOREIGN_MESSAGING = 0x04, 0x48
_CHANNEL_BITS = 0x03
_RESPONSE_COUNTER = 1 << 127
_ZERO_BLOCK = bytes(BLOCK_SIZE)


def derive(key: BlockCipher, constant: int, context: bytes, size: int) -> bytes:
    """Derive `size` bytes from a key, a constant and a context (Amendment D 4.1.5).

    SP 800-108 in counter mode with CMAC over 00*11 ‖ constant ‖ 00 ‖ [L]16 ‖ [i]8 ‖ context.
    """
    label = bytes(11) + bytes((constant, 0)) + (8 * size).to_bytes(2, "big")
    blocks = range(1, -(-size // BLOCK_SIZE) + 1)
    return b"".join(key.cmac(label + bytes((i,)) + context) for i in blocks)[:size]


def card_challenge(key_enc: bytes, counter: bytes, aid: bytes, size: int) -> bytes:
    """Calculate the pseudo-random card challenge, 8 or 16 bytes (Amendment D 6.2.2.1).

    `counter` is the sequence counter, 3 bytes. `aid` is that of the selected application.
    """
    return derive(BlockCipher(Cipher.AES, key_enc), _CARD_CHALLENGE, counter + aid, size)


class Scp03Session:
    """One SCP03 session: session keys, chaining value, counter and level.

    With challenges of 8 bytes it is an S8 session, with 16 an S16 session; MACs and cryptograms
    have the same length. `level` is 0 while nothing is protected.
    """

    __slots__ = (
        "_chaining", "_counter", "_decryptor", "_dek", "_encryptor", "_last_ciphertext",
        "_protected", "_s_enc", "_s_mac", "_s_rmac", "aborted", "card_cryptogram",
        "host_cryptogram", "key_version", "level", "mac_length",
    )  # fmt: skip

    def __init__(self, keys: StoredKeySet, host_challenge: bytes, challenge: bytes) -> None:
        context, size = host_challenge + challenge, len(keys.enc)
        self.key_version = keys.version
        self.mac_length = len(challenge)
        self.level = 0
        self.aborted = False
        static_mac = BlockCipher(Cipher.AES, keys.mac)
        static_enc = BlockCipher(Cipher.AES, keys.enc)
        self._s_enc = BlockCipher(Cipher.AES, derive(static_enc, _S_ENC, context, size))
        self._s_mac = BlockCipher(Cipher.AES, derive(static_mac, _S_MAC, context, size))
        self._s_rmac = BlockCipher(Cipher.AES, derive(static_mac, _S_RMAC, context, size))
        self._dek = keys.dek
        self.card_cryptogram = derive(self._s_mac, _CARD_CRYPTOGRAM, context, self.mac_length)
        self.host_cryptogram = derive(self._s_mac, _HOST_CRYPTOGRAM, context, self.mac_length)
        self._chaining = _ZERO_BLOCK
        self._counter = 0
        self._decryptor = self._s_enc.cbc_decryptor()
        self._encryptor = self._s_enc.cbc_encryptor()
        self._last_ciphertext = 0
        self._protected = False

    def __repr__(self) -> str:
        return f"<SCP03 session, key version {self.key_version:02X}, level {self.level:02X}>"

    @property
    def is_issuer(self) -> bool:
        """Whether it is the issuer's session: with C-ENC, and not opened by the transport keys."""
        return bool(self.level & C_ENC) and self.key_version != TRANSPORT_KEY_VERSION

    def decrypt_dek(self, data: bytes) -> bytes:
        """Decrypt whole blocks under the static Key-DEK, CBC, IV 0 (Amendment D 6.2.8)."""
        return BlockCipher(Cipher.AES, self._dek).decrypt_cbc(data)

    def authenticate(self, command: CommandAPDU) -> None:
        """Open the session by an EXTERNAL AUTHENTICATE as received. Refuses with 6300.

        The answer does not tell a wrong cryptogram from a wrong C-MAC (Amendment D 6.2.4, 7.1.2).
        """
        cryptogram, mac = command.data[: -self.mac_length], command.data[-self.mac_length :]
        chaining = self._command_mac(command, cryptogram)
        mac_is_good = compare_digest(chaining[: self.mac_length], mac)
        if not (compare_digest(self.host_cryptogram, cryptogram) and mac_is_good):
            self.abort()
            raise Refusal(StatusWord.AUTHENTICATION_FAILED, "wrong host cryptogram or C-MAC")
        self._chaining = chaining
        self.level = command.p1

    def abort(self) -> None:
        """Abort the session after a security error (Amendment D 5.6)."""
        self.level = 0
        self.aborted = True
        self._protected = False

    def unwrap(self, command: CommandAPDU) -> CommandAPDU:
        """Return the command for its handler: without secure messaging, its data decrypted.

        An unprotected command, a wrong C-MAC and a wrong padding are answered 6982 and abort the
        session. Everything is then answered 6982, except commands that begin or leave a session.
        """
        self._protected = False
        if not (self.level or self.aborted) or _is_for_the_card(command):
            return command
        if self.aborted:
            raise self._security_error("the session was aborted: open a new one")
        if command.cla & (_SECURE_MESSAGING | _FOREIGN_MESSAGING) != _SECURE_MESSAGING:
            raise self._security_error("not protected by the open session")
        data = self._verified(command)
        self._counter += 1
        if data and self.level & C_ENC:
            data = self._decrypted(data)
        self._protected = True
        cla = command.cla & ~_SECURE_MESSAGING
        return CommandAPDU(
            cla, command.ins, command.p1, command.p2, data, command.le, command.extended
        )

    def wrap(self, response: bytes) -> bytes:
        """Return the response (data ‖ status word) as it is sent (Amendment D 6.2.5, 6.2.7).

        Errors are sent in clear; 9000 and warnings are protected as the level says.
        """
        if not (self._protected and self.level & R_MAC):
            return response
        self._protected = False
        data, sw = response[:-2], response[-2:]
        if sw != b"\x90\x00" and sw[0] not in (0x62, 0x63):
            return sw
        if data and self.level & R_ENC:
            data = self._encrypted(data)
        context = self._s_rmac.keyed_cmac()
        context.update(self._chaining + data + sw)
        return data + context.finalize()[: self.mac_length] + sw

    def _security_error(self, reason: str) -> Refusal:
        self.abort()
        return Refusal(StatusWord.SECURITY_STATUS_NOT_SATISFIED, reason)

    def _command_mac(self, command: CommandAPDU, body: bytes) -> bytes:
        """Return the full CMAC of a command, 16 bytes: the next chaining value (6.2.4)."""
        length = len(command.data)
        lc = b"\0" + length.to_bytes(2, "big") if command.is_extended else bytes((length,))
        cla = command.cla & ~_CHANNEL_BITS
        header = bytes((cla, command.ins, command.p1, command.p2))
        context = self._s_mac.keyed_cmac()
        context.update(self._chaining + header + lc + body)
        return context.finalize()

    def _verified(self, command: CommandAPDU) -> bytes:
        data, size = command.data, self.mac_length
        if len(data) < size:
            raise self._security_error("no C-MAC")
        body = data[:-size]
        chaining = self._command_mac(command, body)
        if not compare_digest(chaining[:size], data[-size:]):
            raise self._security_error("wrong C-MAC")
        self._chaining = chaining
        return body

    def _decrypted(self, body: bytes) -> bytes:
        if len(body) % BLOCK_SIZE:
            raise self._security_error("the encrypted data is not whole blocks")
        icv = self._s_enc.encrypt_ecb(self._counter.to_bytes(BLOCK_SIZE, "big"))
        plain = self._decryptor.update(icv + body)[BLOCK_SIZE:]
        try:
            return unpad(plain)
        except FormatError as error:
            raise self._security_error(str(error)) from None

    def _encrypted(self, data: bytes) -> bytes:
        # The ICV E(counter) is the ciphertext of a first block: counter xor the last ciphertext.
        first = (self._counter | _RESPONSE_COUNTER) ^ self._last_ciphertext
        stream = self._encryptor.update(first.to_bytes(BLOCK_SIZE, "big") + pad(data))
        self._last_ciphertext = int.from_bytes(stream[-BLOCK_SIZE:], "big")
        return stream[BLOCK_SIZE:]


def _is_for_the_card(command: CommandAPDU) -> bool:
    """Whether a plain command is not checked by the session (card specification 6).

    GET RESPONSE fetches bytes that are already protected. SELECT by name, MANAGE CHANNEL and
    INITIALIZE UPDATE are for the card, not for the application (GPC 2.3.1 10.2.3).
    """
    cla, ins = command.cla & ~_CHANNEL_BITS, command.ins
    if cla == 0x80:
        return ins in (0x50, 0xC0)
    return cla == 0 and (ins in (0x70, 0xC0) or (ins == 0xA4 and command.p1 == 0x04))
