"""Personalized cards of specification 2.0, and a terminal made of the reference's functions."""

from functools import cache
from typing import NamedTuple

from cardlib.crypto import BlockCipher, Cipher, diversify
from cardlib.emulator import SoftwareCard
from cardlib.emulator.bench.ready_made import CHIP, PIN, personalized_card
from cardlib.emulator.chip.memory import Memory
from cardlib.emulator.profile.card_options import CardOptions
from cardlib.keys.roots import Roots, public_test_roots
from cardlib.keys.software import SoftwareKeySet
from cardlib.layout import KEY_BY_NAME, KEYS
from tests.oracles import v2 as ref

__all__ = ["CHIP", "PIN", "Reply", "Terminal", "card_key", "card_of", "key_set", "roots"]
REGION = b"99000000"
VERSION = 1
PLAIN = CardOptions()
ROLES = tuple(key.name for key in KEYS if key.role in ("RK", "UK", "LK", "BK", "PUK"))
AID = bytes.fromhex("F052484301")


@cache
def roots(cipher: Cipher, protocol: int = 2) -> Roots:
    return public_test_roots(protocol, cipher)


def key_set(cipher: Cipher, *names: str) -> SoftwareKeySet:
    """The card's keys as a terminal is given them; all of them if none is named."""
    everything = SoftwareKeySet(roots(cipher).card, 2, cipher, VERSION)
    return everything.only(names) if names else everything


@cache
def _pages(cipher: Cipher, options: CardOptions, protocol: int) -> dict[int, bytes]:
    return personalized_card(roots(cipher, protocol), options=options).memory.pages


def card_of(
    cipher: Cipher = Cipher.SM4, options: CardOptions = PLAIN, protocol: int = 2
) -> SoftwareCard:
    """An ACTIVE card of the ready-made resident."""
    return SoftwareCard(Memory(_pages(cipher, options, protocol)))


@cache
def card_key(cipher: Cipher, name: str) -> bytes:
    """The bytes of the test card's key of that name."""
    key = BlockCipher(cipher, roots(cipher).card[name])
    if KEY_BY_NAME[name].levels == 2:
        key = BlockCipher(cipher, diversify(key, REGION))
    return diversify(key, CHIP)


class Reply(NamedTuple):
    """A reply as it is after its protection was checked and taken off, if there was any."""

    data: bytes
    sw: int
    protected: bool


def c1_of(cipher: Cipher, version: int = VERSION) -> bytes:
    """What the FCI of a 2.0 card says: spec 20, cipher (01 SM4, 02 AES), key version."""
    return bytes((0x20, {Cipher.SM4: 1, Cipher.AES: 2}[cipher], version))


def file_id(df_path: str) -> bytes:
    name = df_path.rsplit("/", 1)[-1]
    return b"\x3f\x00" if name == "MF" else bytes.fromhex(name)


class Terminal:
    """A terminal by the words of section 5; it shares no code with host or card."""

    def __init__(
        self, cipher: Cipher = Cipher.SM4, options: CardOptions = PLAIN, channel: int = 0
    ) -> None:
        self.card = card_of(cipher, options)
        self.cipher, self.e, self.channel = cipher, cipher.name, channel
        self.keys: tuple[bytes, bytes] | None = None
        self.ssc = 0
        self.randoms = 0

    # --- plain ---------------------------------------------------------------------------

    def raw(self, command: str | bytes) -> bytes:
        return self.card.transmit(bytes.fromhex(command) if isinstance(command, str) else command)

    def plain(self, command: str | bytes) -> tuple[bytes, int]:
        reply = self.raw(command)
        return reply[:-2], int.from_bytes(reply[-2:], "big")

    def sw(self, command: str | bytes) -> int:
        return self.plain(command)[1]

    # --- protected -----------------------------------------------------------------------

    def command(
        self, header: str | bytes, data: bytes = b"", le: int | None = None, *, long: bool = False
    ) -> bytes:
        """The next protected command; the header is given without the class's bits of 0C."""
        assert self.keys
        head = bytes.fromhex(header) if isinstance(header, str) else header
        head = bytes((head[0] | 0x0C | self.channel,)) + head[1:]
        self.ssc += 1
        expected = b""
        if le is not None:
            expected = (le & 0xFFFF).to_bytes(2, "big") if long else bytes((le & 0xFF,))
        body = ref.command(self.e, self.keys, self.ssc, head, data, expected)
        return ref.extended(head, body) if long or len(body) > 255 else ref.short(head, body)

    def reply(self, ins: int, raw: bytes) -> Reply:
        """A reply to the last protected command; a plain one is told as such."""
        assert self.keys
        if len(raw) < 12:
            return Reply(raw[:-2], int.from_bytes(raw[-2:], "big"), False)
        self.ssc += 1
        return Reply(*ref.from_reply(self.e, self.keys, self.ssc, ins, raw), True)

    def send(
        self, header: str, data: bytes = b"", le: int | None = None, *, long: bool = False
    ) -> Reply:
        command = self.command(header, data, le, long=long)
        reply = self.raw(command)
        while reply[-2] == 0x61:
            more = self.raw(bytes((self.channel, 0xC0, 0, 0, reply[-1])))
            reply = reply[:-2] + more
        return self.reply(command[1], reply)

    def ok(self, header: str, data: bytes = b"", le: int | None = None) -> bytes:
        """Data of a protected reply that must say 9000."""
        reply = self.send(header, data, le)
        assert (reply.sw, reply.protected) == (0x9000, True), reply
        return reply.data

    def select(self, path: str) -> int:
        """SELECT by path from the MF, protected in a session."""
        header = "00A4000C" if path == "MF" else "00A4080C"
        data = b"\x3f\x00" if path == "MF" else bytes.fromhex(path.replace("/", ""))
        if self.keys:
            return self.send(header, data).sw
        head = bytes.fromhex(header)
        return self.sw(bytes((head[0] | self.channel,)) + head[1:] + bytes((len(data),)) + data)

    # --- authentication ------------------------------------------------------------------

    def challenge(self) -> bytes:
        if self.keys:
            return self.ok("00840000", le=8)
        data, sw = self.plain(bytes((self.channel, 0x84, 0, 0, 8)))
        assert (len(data), sw) == (8, 0x9000)
        return data

    def binding(self, name: str) -> bytes:
        key = KEY_BY_NAME[name]
        return ref.binding(file_id(key.df_path), key.reference, c1_of(self.cipher))

    def random(self, size: int) -> bytes:
        self.randoms += 1
        return bytes((self.randoms,)) * size

    def authentication(self, name: str) -> tuple[bytes, bytes, bytes, bytes]:
        """M ‖ T for the card's fresh challenge, and the three randoms in it."""
        rnd_ic, rnd_ifd, k_ifd = self.challenge(), self.random(8), self.random(16)
        key, b = card_key(self.cipher, name), self.binding(name)
        data = ref.cryptogram(self.e, key, b"\x01", b, rnd_ifd + rnd_ic + k_ifd)
        return data, rnd_ifd, rnd_ic, k_ifd

    def exchange_82(self, name: str, data: bytes) -> Reply:
        kid = KEY_BY_NAME[name].reference
        if self.keys:
            return self.send(f"008200{kid:02X}", data, le=40)
        head = bytes((self.channel, 0x82, 0, kid, len(data)))
        return Reply(*self.plain(head + data + b"\x28"), False)

    def try_authenticate(self, name: str) -> Reply:
        data, rnd_ifd, rnd_ic, k_ifd = self.authentication(name)
        reply = self.exchange_82(name, data)
        if reply.sw == 0x9000:
            self.take(name, reply.data, rnd_ifd, rnd_ic, k_ifd)
        return reply

    def take(self, name: str, answer: bytes, rnd_ifd: bytes, rnd_ic: bytes, k_ifd: bytes) -> None:
        """Check the card's cryptogram; its session keys count from now on."""
        b = self.binding(name)
        key = card_key(self.cipher, name)
        randoms = ref.from_cryptogram(self.e, key, b"\x02", b, answer)
        assert randoms[:16] == rnd_ic + rnd_ifd
        p = ref.chaining(self.e, self.keys[1]) if self.keys else bytes(16)
        self.keys = ref.session_keys(self.e, k_ifd, randoms[16:], rnd_ifd, rnd_ic, b, p)
        self.ssc = 0

    def authenticate(self, *names: str) -> "Terminal":
        """Go to each key's DF and authenticate with it."""
        for name in names:
            assert self.select(KEY_BY_NAME[name].df_path) == 0x9000
            assert self.try_authenticate(name).sw == 0x9000, name
        return self
