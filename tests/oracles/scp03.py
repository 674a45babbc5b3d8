"""SCP03 as Amendment D's words say it: no state but values, every primitive rebuilt.

The slow oracle: a host for the card's tests, a card for the host's tests. They were written by two
people and share nothing but the primitives, which outside vectors hold; nothing of the package's
SCP03 or crypto is used.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from cardlib.apdu import CommandAPDU

Keys = tuple[bytes, bytes, bytes]


def cmac(key: bytes, message: bytes) -> bytes:
    context = CMAC(algorithms.AES(key))
    context.update(message)
    return context.finalize()


def encrypt(key: bytes, iv: bytes, blocks: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor().update(blocks)


def decrypt(key: bytes, iv: bytes, blocks: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor().update(blocks)


def derive(key: bytes, constant: int, context: bytes, size: int) -> bytes:
    """4.1.5: label 00*11 ‖ constant, separator, L in bits, counter, context."""
    found = b""
    for i in (1, 2):
        found += cmac(key, bytes(11) + bytes((constant, 0)) + (size * 8).to_bytes(2, "big")
                      + bytes((i,)) + context)  # fmt: skip
    return found[:size]


def kcv(key: bytes) -> bytes:
    """4.1.4: the first 3 bytes of AES over sixteen bytes 01."""
    return encrypt(key, bytes(16), b"\x01" * 16)[:3]


def padded(data: bytes) -> bytes:
    data += b"\x80"
    while len(data) % 16:
        data += b"\x00"
    return data


@dataclass
class ReferenceHost:
    """One session; `keys` are the static Key-ENC, Key-MAC, Key-DEK."""

    keys: Keys
    level: int
    host_challenge: bytes
    card_challenge: bytes = b""
    chaining: bytes = bytes(16)
    counter: int = 0
    pad_only: bool = False
    """Encrypt commands without data as a block of padding, as yubikit does."""
    session: dict[str, bytes] = field(default_factory=dict)

    @property
    def mac_length(self) -> int:
        return len(self.host_challenge)

    @property
    def context(self) -> bytes:
        return self.host_challenge + self.card_challenge

    def begin(self, card_challenge: bytes) -> None:
        self.card_challenge = card_challenge
        enc, mac, _ = self.keys
        for name, key, constant in (("ENC", enc, 4), ("MAC", mac, 6), ("RMAC", mac, 7)):
            self.session[name] = derive(key, constant, self.context, len(key))

    def cryptogram(self, constant: int) -> bytes:
        """Constant 00 the card's, 01 the host's."""
        return derive(self.session["MAC"], constant, self.context, self.mac_length)

    def external_authenticate(self) -> CommandAPDU:
        return self._with_mac(CommandAPDU(0x84, 0x82, self.level, 0, self.cryptogram(1)))

    def _with_mac(self, command: CommandAPDU) -> CommandAPDU:
        size = len(command.data) + self.mac_length
        extended = size > 255 or command.extended
        lc = bytes((0, size >> 8, size & 0xFF)) if extended else bytes((size,))
        header = bytes((command.cla & 0xFC, command.ins, command.p1, command.p2))
        self.chaining = cmac(self.session["MAC"], self.chaining + header + lc + command.data)
        data = command.data + self.chaining[: self.mac_length]
        return CommandAPDU(command.cla, command.ins, command.p1, command.p2, data, command.le,
                           command.extended)  # fmt: skip

    def wrap(self, command: CommandAPDU) -> CommandAPDU:
        self.counter += 1
        data = command.data
        if self.level & 0x02 and (data or self.pad_only):
            icv = encrypt(self.session["ENC"], bytes(16), self.counter.to_bytes(16, "big"))
            data = encrypt(self.session["ENC"], icv, padded(data))
        return self._with_mac(
            CommandAPDU(command.cla | 0x04, command.ins, command.p1, command.p2, data,
                        command.le, command.extended)
        )  # fmt: skip

    def unwrap(self, response: bytes) -> bytes:
        """The plain response (data ‖ status word); AssertionError if its protection is wrong."""
        data, sw = response[:-2], response[-2:]
        if not self.level & 0x10:
            return response
        if sw != b"\x90\x00" and sw[0] not in (0x62, 0x63):
            assert not data
            return response
        body, mac = data[: -self.mac_length], data[-self.mac_length :]
        assert mac == cmac(self.session["RMAC"], self.chaining + body + sw)[: self.mac_length]
        if not (self.level & 0x20 and body):
            return body + sw
        block = b"\x80" + self.counter.to_bytes(15, "big")
        icv = encrypt(self.session["ENC"], bytes(16), block)
        plain = decrypt(self.session["ENC"], icv, body).rstrip(b"\0")
        assert plain.endswith(b"\x80")
        return plain[:-1] + sw


@dataclass
class Terminal:
    """A host with a card at the other end; answers come back plain, as data ‖ status word."""

    transmit: Callable[[bytes], bytes]
    host: ReferenceHost

    @classmethod
    def initialize(
        cls,
        transmit: Callable[[bytes], bytes],
        keys: Keys,
        level: int = 0x33,
        version: int = 0,
        host_challenge: bytes = b"\xa5" * 8,
    ) -> "Terminal":
        """INITIALIZE UPDATE, with the card's cryptogram checked."""
        size = len(host_challenge)
        host = ReferenceHost(keys, level, host_challenge)
        answer = transmit(bytes(CommandAPDU(0x80, 0x50, version, 0, host_challenge, 256)))
        assert answer.endswith(b"\x90\x00"), answer.hex()
        host.begin(answer[13 : 13 + size])
        assert answer[13 + size : 13 + 2 * size] == host.cryptogram(0)
        return cls(transmit, host)

    @classmethod
    def open(
        cls,
        transmit: Callable[[bytes], bytes],
        keys: Keys,
        level: int = 0x33,
        version: int = 0,
        host_challenge: bytes = b"\xa5" * 8,
    ) -> "Terminal":
        """An open session."""
        terminal = cls.initialize(transmit, keys, level, version, host_challenge)
        assert terminal.authenticate() == "9000"
        return terminal

    def authenticate(self) -> str:
        """Send EXTERNAL AUTHENTICATE; the status word."""
        return self.transmit(bytes(self.host.external_authenticate())).hex()

    def send(self, command: str | CommandAPDU) -> str:
        """Send a command protected; the plain response in hex."""
        if isinstance(command, str):
            command = CommandAPDU.parse(bytes.fromhex(command))
        answer = self.transmit(bytes(self.host.wrap(command)))
        while answer[-2] == 0x61:
            answer = answer[:-2] + self.transmit(bytes((0, 0xC0, 0, 0, answer[-1])))
        return self.host.unwrap(answer).hex()


@dataclass
class Session:
    """What both sides of a session know: its keys, its counter and its chaining value."""

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
            icv = encrypt(self.enc, bytes(16), self.counter.to_bytes(16, "big"))
            data = encrypt(self.enc, icv, padded(data))
        head = bytes([head[0] | 0x04]) + head[1:]
        length = len(data) + self.size
        lc = b"\x00" + length.to_bytes(2, "big") if extended else bytes([length])
        self.chain = cmac(self.mac, self.chain + head + lc + data)
        return head + lc + data + self.chain[: self.size] + le

    def reply(self, data: bytes, sw: int) -> bytes:
        """6.2.5 and 6.2.7: the data field of the protected reply to the last command."""
        if self.level & 0x20 and data:
            icv = encrypt(self.enc, bytes(16), b"\x80" + self.counter.to_bytes(15, "big"))
            data = encrypt(self.enc, icv, padded(data))
        if self.level & 0x10:
            data += cmac(self.rmac, self.chain + data + sw.to_bytes(2, "big"))[: self.size]
        return data


@dataclass
class ReferenceCard:
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
        challenge = self.challenge or derive(self.enc, 0x02, counter + b"AID", size)
        self.context = host_challenge + challenge
        length = len(self.enc)
        self.session = Session(
            derive(self.enc, 0x04, self.context, length),
            derive(self.mac, 0x06, self.context, length),
            derive(self.mac, 0x07, self.context, length),
            0,
            size,
        )
        cryptogram = derive(self.session.mac, 0x00, self.context, size)
        information = bytes([self.key_version, 0x03, self.i])
        return self.diversification + information + challenge + cryptogram + counter

    def external_authenticate(self, level: int) -> bytes:
        """The command that the card expects."""
        size = self.session.size
        cryptogram = derive(self.session.mac, 0x01, self.context, size)
        head = bytes([0x84, 0x82, level, 0x00, 2 * size])
        self.session.chain = cmac(self.session.mac, bytes(16) + head + cryptogram)
        self.session.level = level
        return head + cryptogram + self.session.chain[:size]
