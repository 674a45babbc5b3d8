"""SCP03 written plainly from Amendment D 1.2, every primitive rebuilt for every message.

The oracle for the host (and, with `Card`, a peer to talk to): it shares nothing with cardlib.
"""

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC


def cmac(key: bytes, message: bytes) -> bytes:
    context = CMAC(algorithms.AES(key))
    context.update(message)
    return context.finalize()


def cbc(key: bytes, iv: bytes, data: bytes, encrypt: bool = True) -> bytes:
    cipher = Cipher(algorithms.AES(key), modes.CBC(iv))
    context = cipher.encryptor() if encrypt else cipher.decryptor()
    return context.update(data) + context.finalize()


def ecb(key: bytes, block: bytes) -> bytes:
    context = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return context.update(block) + context.finalize()


def derive(key: bytes, constant: int, context: bytes, bits: int) -> bytes:
    """4.1.5: label (11 zeros and the constant), separation, length, counter, context."""
    out = b""
    counter = 0
    while len(out) * 8 < bits:
        counter += 1
        head = bytes(11) + bytes([constant, 0x00]) + bits.to_bytes(2, "big") + bytes([counter])
        out += cmac(key, head + context)
    return out[: bits // 8]


def padded(data: bytes) -> bytes:
    data += b"\x80"
    while len(data) % 16:
        data += b"\x00"
    return data


@dataclass
class Session:
    """The keys of one session, its counter and its chaining value."""

    enc: bytes
    mac: bytes
    rmac: bytes
    level: int
    size: int
    counter: int = 0
    chain: bytes = bytes(16)

    def command(self, head: bytes, data: bytes, le: bytes = b"", extended: bool = False) -> bytes:
        """6.2.4 and 6.2.6: CLA INS P1 P2 and plain data to the protected command."""
        self.counter += 1
        if self.level & 0x02 and data:
            icv = ecb(self.enc, self.counter.to_bytes(16, "big"))
            data = cbc(self.enc, icv, padded(data))
        head = bytes([head[0] | 0x04]) + head[1:]
        length = len(data) + self.size
        lc = b"\x00" + length.to_bytes(2, "big") if extended else bytes([length])
        self.chain = cmac(self.mac, self.chain + head + lc + data)
        return head + lc + data + self.chain[: self.size] + le

    def reply(self, data: bytes, sw: int) -> bytes:
        """6.2.5 and 6.2.7: the data field of the protected reply to the last command."""
        if self.level & 0x20 and data:
            icv = ecb(self.enc, b"\x80" + self.counter.to_bytes(15, "big"))
            data = cbc(self.enc, icv, padded(data))
        if self.level & 0x10:
            data += cmac(self.rmac, self.chain + data + sw.to_bytes(2, "big"))[: self.size]
        return data


@dataclass
class Card:
    """A card's side of opening a session: static keys, parameter i, and what it says of itself."""

    enc: bytes
    mac: bytes
    i: int = 0x70
    key_version: int = 0x01
    diversification: bytes = bytes(10)
    challenge: bytes = b""
    session: Session = field(init=False)

    def initialize_update(self, host_challenge: bytes) -> bytes:
        size = 16 if self.i & 0x01 else 8
        counter = b"\x00\x00\x07" if self.i & 0x10 else b""
        challenge = self.challenge or derive(self.enc, 0x02, counter + b"AID", 8 * size)
        self.context = host_challenge + challenge
        bits = 8 * len(self.enc)
        self.session = Session(
            derive(self.enc, 0x04, self.context, bits),
            derive(self.mac, 0x06, self.context, bits),
            derive(self.mac, 0x07, self.context, bits),
            0,
            size,
        )
        cryptogram = derive(self.session.mac, 0x00, self.context, 8 * size)
        information = bytes([self.key_version, 0x03, self.i])
        return self.diversification + information + challenge + cryptogram + counter

    def external_authenticate(self, level: int) -> bytes:
        """The command that the card expects."""
        size = self.session.size
        cryptogram = derive(self.session.mac, 0x01, self.context, 8 * size)
        head = bytes([0x84, 0x82, level, 0x00, 2 * size])
        self.session.chain = cmac(self.session.mac, bytes(16) + head + cryptogram)
        self.session.level = level
        return head + cryptogram + self.session.chain[:size]
