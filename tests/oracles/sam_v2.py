"""A SAM for cards of specification 2.0 in the specification's words, over the oracle of version 2.

It refuses nothing; the numbers that it draws are given, so that another SAM can draw the same.
"""

from collections.abc import Callable, Mapping

from tests.oracles import v2 as ref


class SamV2:
    """`roots` are root keys, 16 bytes, by SAM key id; `e` is "SM4" or "AES"."""

    atr = b"\x3b\x00"

    def __init__(
        self, e: str, roots: Mapping[int, bytes], version: int, random: Callable[[int], bytes]
    ) -> None:
        self._e, self._roots, self._version, self._random = e, roots, version, random
        self._waiting = b""
        self._key = self._rnd_ifd = self._k_ifd = self._rnd_ic = self._b = b""

    def reset(self) -> bytes:
        return self.atr

    def transmit(self, command: bytes) -> bytes:
        """Answer one command; data waits for GET RESPONSE."""
        header, data = command[:4].hex().upper(), command[5 : 5 + command[4]]
        if header == "00C00000":
            answer, self._waiting = self._waiting, b""
            return answer + b"\x90\x00"
        if header[:2] == "00":
            return b"\x90\x00"
        if header[:4] == "80EA":
            self._waiting = self._cryptogram(command[2], command[3], data)
        elif header == "80EB0000":
            self._waiting = self._session_keys(data[:40], data[40:])
        elif header[:4] == "80DE":
            self._key = self._derived(command[2] >> 5, command[3] & 0x1F, data)
            return b"\x90\x00"
        else:
            self._waiting = ref.ecb(self._e, self._key, data)
        return bytes((0x61, len(self._waiting)))

    def _derived(self, levels: int, key_id: int, factors: bytes) -> bytes:
        """chip8 [‖ region8], and what comes after: region first, then chip, then the rest."""
        chip, rest = factors[:8], factors[8:]
        region, rest = (rest[:8], rest[8:]) if levels == 2 else (b"", rest)
        key = self._roots[key_id]
        for factor in filter(None, (region, chip, rest)):
            key = ref.diversify(self._e, key, factor)
        return key

    def _cryptogram(self, p1: int, p2: int, data: bytes) -> bytes:
        assert p2 >> 5 == self._version
        self._rnd_ic, self._b = data[-14:-6], data[-6:]
        self._key = self._derived(p1 >> 5, p2 & 0x1F, data[:-14])
        self._rnd_ifd, self._k_ifd = self._random(8), self._random(16)
        randoms = self._rnd_ifd + self._rnd_ic + self._k_ifd
        return ref.cryptogram(self._e, self._key, b"\x01", self._b, randoms)

    def _session_keys(self, reply: bytes, p: bytes) -> bytes:
        plain = ref.from_cryptogram(self._e, self._key, b"\x02", self._b, reply)
        assert plain[:16] == self._rnd_ic + self._rnd_ifd
        keys = ref.session_keys(
            self._e, self._k_ifd, plain[16:], self._rnd_ifd, self._rnd_ic, self._b, p
        )
        return b"".join(keys)
