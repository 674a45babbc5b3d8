"""Secure messaging version 2 on the card (card specification 5).

Data objects, padding and counter are those of ICAO 9303-11 9.8 for AES, with the card's block
cipher. The contexts are kept for the whole session: for encryption, the first block of each message
is SSC xor the last ciphertext, whose output is the IV; for decryption, the IV is fed in first.
"""

from hmac import compare_digest

from ...apdu import MAX_EXTENDED_LE, MAX_SHORT_LE, CommandAPDU
from ...crypto import BLOCK_SIZE, BlockCipher, Cipher, unpad
from ...errors import FormatError
from ...status import StatusWord
from ...tlv import Tlv, ber_length, read_ber
from ..chip.refusal import Refusal

SPEC_2_0 = 0x20
SECURE_MESSAGING = 0x0C
MAX_SHORT_REPLY = 223
"""The most data of a protected short reply: DO87, DO99 and DO8E must fit 256 bytes."""
_TAG = 8
_CRYPTOGRAM, _CRYPTOGRAM_ODD, _LE = 0x87, 0x85, 0x97
_STATUS_HEAD, _MAC_HEAD = b"\x99\x02", b"\x8e\x08"
_PADDING_INDICATOR = b"\x01"
_MAC_OBJECT = len(_MAC_HEAD) + _TAG
_PADDINGS = tuple(b"\x80" + bytes(BLOCK_SIZE - 1 - used) for used in range(BLOCK_SIZE))
_HEADER_PADDING = _PADDINGS[4]


class Session:
    """One version-2 session: its keys, send sequence counter and contexts.

    `room` is the most bytes of data in the reply to the running command.
    """

    __slots__ = ("_decryptor", "_ecb", "_encrypt", "_last", "_odd", "_s_mac", "_ssc", "room")

    def __init__(self, cipher: Cipher, s_enc: bytes, s_mac: bytes) -> None:
        self._ecb = BlockCipher(cipher, s_enc)
        self._encrypt = self._ecb.cbc_encryptor().update
        self._decryptor = self._ecb.cbc_decryptor()
        self._s_mac = BlockCipher(cipher, s_mac)
        self._last = 0
        self._ssc = 0
        self._odd = 0
        self.room = MAX_SHORT_REPLY

    def __repr__(self) -> str:
        return "<version-2 session>"

    def chain(self) -> bytes:
        """Return P, which binds the next keys to these: CMAC(S_MAC, "RHC2-CHAIN")."""
        return self._s_mac.cmac(b"RHC2-CHAIN")

    def unwrap(self, command: CommandAPDU) -> CommandAPDU:
        """Return the plain command. Refuses with 6987 without a MAC, with 6988 for other errors."""
        self._ssc += 1
        cla, ins, p1, p2, data, _, extended = command
        self._odd = ins & 1
        self.room = MAX_EXTENDED_LE if extended else MAX_SHORT_REPLY
        body = data[:-_MAC_OBJECT]
        if data[-_MAC_OBJECT:-_TAG] != _MAC_HEAD:
            raise Refusal(StatusWord.SM_DATA_OBJECT_MISSING, "needs DO8E at the end")
        message = bytes((cla, ins, p1, p2)) + _HEADER_PADDING
        if body:
            message += body + _PADDINGS[len(body) & 15]
        if not compare_digest(self._mac(message), data[-_TAG:]):
            raise Refusal(StatusWord.SM_DATA_OBJECT_INCORRECT, "wrong MAC")
        cryptogram, le = self._objects(body)
        plain = self._decrypt(cryptogram) if cryptogram else b""
        return CommandAPDU(cla & ~SECURE_MESSAGING, ins, p1, p2, plain, le, extended)

    def wrap(self, response: bytes) -> bytes:
        """Protect a response (data ‖ status word)."""
        self._ssc += 1
        sw = response[-2:]
        body = _STATUS_HEAD + sw
        if len(response) > len(sw):
            body = self._cryptogram(response[:-2]) + body
        return body + _MAC_HEAD + self._mac(body + _PADDINGS[len(body) & 15]) + sw

    def _mac(self, message: bytes) -> bytes:
        context = self._s_mac.keyed_cmac()
        context.update(self._ssc.to_bytes(BLOCK_SIZE, "big") + message)
        return context.finalize()[:_TAG]

    def _objects(self, body: bytes) -> tuple[bytes, int | None]:
        """Return cryptogram and Le of the objects before the MAC: [85 or 87], then [97]."""
        cryptogram = b""
        if body and body[0] != _LE:
            try:
                tlv, end = read_ber(body)
            except FormatError as error:
                raise Refusal(StatusWord.SM_DATA_OBJECT_INCORRECT, str(error)) from None
            cryptogram, body = self._blocks(tlv), body[end:]
        if not body:
            return cryptogram, None
        if body[0] != _LE or len(body) not in (3, 4) or body[1] != len(body) - 2:
            raise Refusal(StatusWord.SM_DATA_OBJECT_INCORRECT, "DO97 must have 1 or 2 bytes")
        le = int.from_bytes(body[2:], "big")
        return cryptogram, le or (MAX_SHORT_LE if len(body) == 3 else MAX_EXTENDED_LE)

    def _blocks(self, tlv: Tlv) -> bytes:
        """Return the whole blocks in DO87, or in DO85 for an odd INS."""
        expected = _CRYPTOGRAM_ODD if self._odd else _CRYPTOGRAM
        if tlv.tag != expected:
            raise Refusal(StatusWord.SM_DATA_OBJECT_INCORRECT, f"unexpected object {tlv.tag:02X}")
        blocks = tlv.value
        if not self._odd:
            if blocks[:1] != _PADDING_INDICATOR:
                raise Refusal(StatusWord.SM_DATA_OBJECT_INCORRECT, "padding indicator must be 01")
            blocks = blocks[1:]
        if not blocks or len(blocks) % BLOCK_SIZE:
            raise Refusal(StatusWord.SM_DATA_OBJECT_INCORRECT, "the data is not whole blocks")
        return blocks

    def _decrypt(self, cryptogram: bytes) -> bytes:
        iv = self._ecb.encrypt_ecb(self._ssc.to_bytes(BLOCK_SIZE, "big"))
        try:
            return unpad(self._decryptor.update(iv + cryptogram)[BLOCK_SIZE:])
        except FormatError as error:
            raise Refusal(StatusWord.SM_DATA_OBJECT_INCORRECT, str(error)) from None

    def _cryptogram(self, data: bytes) -> bytes:
        first = (self._ssc ^ self._last).to_bytes(BLOCK_SIZE, "big")
        encrypted = self._encrypt(first + data + _PADDINGS[len(data) & 15])[BLOCK_SIZE:]
        self._last = int.from_bytes(encrypted[-BLOCK_SIZE:], "big")
        if self._odd:
            return bytes((_CRYPTOGRAM_ODD,)) + ber_length(len(encrypted)) + encrypted
        length = ber_length(len(encrypted) + 1)
        return bytes((_CRYPTOGRAM,)) + length + _PADDING_INDICATOR + encrypted
