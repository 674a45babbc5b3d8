"""A SAM in the specification's words (section 3), over `cryptography` alone.

It has the root keys of a version-1 key set, answers by 61xx and GET RESPONSE, and refuses nothing
that the specification does not say it refuses. It shares no code with host and card.
"""

from collections.abc import Mapping

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

AUTHENTICATE, MESSAGING = 7, 8
"""The usages in the low five bits of P1: authenticate; encrypt and MAC."""
_CALCULATED = bytes.fromhex("6985")


class Sam:
    """The card that a terminal asks. `roots` are the SM4 root keys, 16 bytes, by SAM key id."""

    def __init__(self, roots: Mapping[int, bytes], version: int, pin: bytes) -> None:
        self._roots, self._version, self._pin = roots, version, pin
        self._open = False
        self._process_key = b""
        self._waiting = b""

    def transmit(self, command: bytes) -> bytes:
        """Answer one command; data waits for GET RESPONSE."""
        header, data = command[:4].hex().upper(), command[5:]
        if header == "00C00000":
            answer, self._waiting = self._waiting, b""
            return answer + b"\x90\x00"
        if header == "00A40000":
            return b"\x90\x00" if data == b"\xdf\x01" else b"\x6a\x82"
        if header == "00200000":
            self._open = data == self._pin
            return b"\x90\x00" if self._open else b"\x63\xc2"
        if not self._open:
            return b"\x69\x82"
        if header[:4] == "80DE":
            return self._diversify(command[2], command[3], data)
        if not self._process_key:
            return _CALCULATED
        self._waiting = self._mac(data) if header == "80FA0500" else self._encrypted(data)
        return bytes((0x61, len(self._waiting)))

    def _diversify(self, usage: int, key: int, data: bytes) -> bytes:
        """P1 levels << 5 | usage, P2 version << 5 | key id; chip [‖ region] ‖ challenge."""
        levels, version = usage >> 5, key >> 5
        assert usage & 0x1F in (AUTHENTICATE, MESSAGING)
        if len(data) != 8 * (levels + 1) or version not in (0, self._version):
            return b"\x6a\x88"
        chip, region, challenge = data[:8], data[8:-8], data[-8:]
        found = self._roots[key & 0x1F]
        for factor in (*([region] if region else []), chip, challenge):
            found = ecb(found, factor + bytes(0xFF - octet for octet in factor))
        self._process_key = found
        return b"\x90\x00"

    def _encrypted(self, data: bytes) -> bytes:
        return ecb(self._process_key, data)

    def _mac(self, data: bytes) -> bytes:
        """IV16 ‖ padded data: the first 4 bytes of the last block of CBC."""
        context = Cipher(algorithms.SM4(self._process_key), modes.CBC(data[:16])).encryptor()
        return context.update(data[16:])[-16:][:4]


def ecb(key: bytes, blocks: bytes) -> bytes:
    """E of each block by itself."""
    return Cipher(algorithms.SM4(key), modes.ECB()).encryptor().update(blocks)
