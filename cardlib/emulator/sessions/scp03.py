"""SCP03, the card's side (GlobalPlatform Card Specification, Amendment D version 1.2).

A session is in its channel from INITIALIZE UPDATE on: first initiated (level 0, nothing is
protected yet), then open at the level EXTERNAL AUTHENTICATE gave it, then perhaps aborted.
The kernel passes every command of the channel through `unwrap` and its response through `wrap`.

For the length of a session its contexts are kept: the ICV is the encrypted counter, so it is
also the ciphertext of a first CBC block, and one CBC context that is never finalized serves
every message. A session that met an error is therefore dead, which the standard wants anyway.
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
"""Security levels that can be asked for (Amendment D 7.1.2.1, without the unprotected 00)."""

_CARD_CRYPTOGRAM, _HOST_CRYPTOGRAM, _CARD_CHALLENGE = 0x00, 0x01, 0x02
_S_ENC, _S_MAC, _S_RMAC = 0x04, 0x06, 0x07
_SECURE_MESSAGING, _FOREIGN_MESSAGING = 0x04, 0x48
_CHANNEL_BITS = 0x03
_RESPONSE_COUNTER = 1 << 127
_ZERO_BLOCK = bytes(BLOCK_SIZE)


def derive(key: BlockCipher, constant: int, context: bytes, size: int) -> bytes:
    """`size` bytes from a key, a derivation constant and a context (Amendment D 4.1.5).

    SP 800-108 in counter mode with CMAC; label 00*11 ‖ constant, 00, [L]16, [i]8, context.
    """
    label = bytes(11) + bytes((constant, 0)) + (8 * size).to_bytes(2, "big")
    blocks = range(1, -(-size // BLOCK_SIZE) + 1)
    return b"".join(key.cmac(label + bytes((i,)) + context) for i in blocks)[:size]


def card_challenge(key_enc: bytes, counter: bytes, aid: bytes, size: int) -> bytes:
    """The pseudo-random card challenge, 8 or 16 bytes (Amendment D 6.2.2.1).

    `counter` is the sequence counter, 3 bytes; `aid` is the selected application's.
    """
    return derive(BlockCipher(Cipher.AES, key_enc), _CARD_CHALLENGE, counter + aid, size)


class Scp03Session:
    """One secure channel session: session keys, chaining value, counter and level.

    Challenges of 8 bytes make an S8 session, of 16 an S16 one; MACs and cryptograms have the
    challenges' length. `level` is 0 while nothing is protected.
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
        """Whether it may change the card for good: C-ENC, and not by the transport keys."""
        return bool(self.level & C_ENC) and self.key_version != TRANSPORT_KEY_VERSION

    def decrypt_dek(self, data: bytes) -> bytes:
        """Decrypt whole blocks under the static Key-DEK, CBC, IV 0 (Amendment D 6.2.8)."""
        return BlockCipher(Cipher.AES, self._dek).decrypt_cbc(data)

    def authenticate(self, command: CommandAPDU) -> None:
        """Open the session by an EXTERNAL AUTHENTICATE command as received; 6300 if it is wrong.

        Wrong cryptogram and wrong C-MAC are one answer (Amendment D 6.2.4, 7.1.2).
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
        """After a security error nothing of this session is accepted (Amendment D 5.6)."""
        self.level = 0
        self.aborted = True
        self._protected = False

    def unwrap(self, command: CommandAPDU) -> CommandAPDU:
        """The command as its handler sees it: without secure messaging, data decrypted.

        Unprotected commands in an open session, wrong C-MACs and wrong padding abort it and
        are answered 6982, as is all that follows but what starts or leaves a session.
        """
        self._protected = False
        if not (self.level or self.aborted) or _is_for_the_card(command):
            return command
        if self.aborted:
            raise self._security_error("the session was aborted: open a new one")
        if command.cla & (_SECURE_MESSAGING | _FOREIGN_MESSAGING) != _SECURE_MESSAGING:
            raise self._security_error("an open session takes only its own secure messaging")
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
        """The response (data ‖ status word) as it is sent (Amendment D 6.2.5, 6.2.7).

        Errors go out bare; 9000 and warnings carry what the level asks for.
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
        """The full CMAC of a command, 16 bytes: the next chaining value (Amendment D 6.2.4)."""
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
            raise self._security_error("encrypted data is not whole blocks")
        icv = self._s_enc.encrypt_ecb(self._counter.to_bytes(BLOCK_SIZE, "big"))
        plain = self._decryptor.update(icv + body)[BLOCK_SIZE:]
        try:
            return unpad(plain)
        except FormatError as error:
            raise self._security_error(str(error)) from None

    def _encrypted(self, data: bytes) -> bytes:
        # E(counter) is the ICV: the same as a first block of counter xor what CBC chains in.
        first = (self._counter | _RESPONSE_COUNTER) ^ self._last_ciphertext
        stream = self._encryptor.update(first.to_bytes(BLOCK_SIZE, "big") + pad(data))
        self._last_ciphertext = int.from_bytes(stream[-BLOCK_SIZE:], "big")
        return stream[BLOCK_SIZE:]


def _is_for_the_card(command: CommandAPDU) -> bool:
    """Plain commands that no session judges: the transport's, and those that begin or leave one.

    GET RESPONSE fetches what was protected already; SELECT by name, MANAGE CHANNEL and
    INITIALIZE UPDATE go to the card, not to the application in session (GPCS 2.3.1 10.2.3).
    """
    cla, ins = command.cla & ~_CHANNEL_BITS, command.ins
    if cla == 0x80:
        return ins in (0x50, 0xC0)
    return cla == 0 and (ins in (0x70, 0xC0) or (ins == 0xA4 and command.p1 == 0x04))
