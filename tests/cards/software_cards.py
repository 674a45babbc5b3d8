"""Active software cards with known keys, and a terminal that computes from the spec's words.

The card's state is written directly, without personalization. The terminal shares no code with
the card: version-1 cryptograms, encryption and MACs are made of single block encryptions.
"""

from collections.abc import Callable
from functools import cache
from hashlib import sha256

from cryptography.hazmat.primitives.ciphers import Cipher as Mode
from cryptography.hazmat.primitives.ciphers import algorithms, modes

from cardlib.crypto import Cipher
from cardlib.emulator import LifeCycle, PowerCut, SoftwareCard
from cardlib.emulator.chip.memory import Memory
from cardlib.emulator.filesystem.tree import PROFILE
from cardlib.emulator.profile.card_options import CardOptions
from cardlib.emulator.profile.card_state import KEY_TRIES, StoredKey, StoredPin
from cardlib.layout import KEY_BY_NAME, KEYS, FileSpec, Structure

CHIP = bytes.fromhex("8610010203040506")
REGION = b"41000000"
VERSION = 3
PIN = b"135790"
ACTIVATED = b"\x05"
DEFAULT_OPTIONS = CardOptions()
AUTHENTICATING = tuple(key.name for key in KEYS if key.role in ("RK", "UK", "LK", "BK"))


def key_bytes(name: str) -> bytes:
    """The test card's key of that name, 16 bytes."""
    return sha256(name.encode()).digest()[:16]


@cache
def _pages(cipher: Cipher, life_cycle: LifeCycle, options: CardOptions) -> dict[int, bytes]:
    transport = (bytes(16), bytes(range(16)), bytes(range(16, 32)))
    card = SoftwareCard.blank(CHIP, transport, options=options)
    card.state.key_sets = {}
    card.state.profile = (0x10, cipher, VERSION, REGION)
    for key in KEYS:
        card.state.set_card_key(key, StoredKey(VERSION, cipher, key_bytes(key.name), KEY_TRIES))
    card.state.pin = StoredPin(b"\x26\x13\x57\x90" + b"\xff" * 4, 3, 3)
    for node in PROFILE.values():
        card.memory.write(node.state_address, ACTIVATED)
    card.state.life_cycle = life_cycle
    card.memory.commit()
    return card.memory.pages


def active_card(
    cipher: Cipher = Cipher.SM4,
    life_cycle: LifeCycle = LifeCycle.ACTIVE,
    options: CardOptions = DEFAULT_OPTIONS,
) -> SoftwareCard:
    """A card with every key, a PIN and unwritten files, as personalization leaves it."""
    return SoftwareCard(Memory(_pages(cipher, life_cycle, options)))


def terminal(
    cipher: Cipher = Cipher.SM4,
    life_cycle: LifeCycle = LifeCycle.ACTIVE,
    options: CardOptions = DEFAULT_OPTIONS,
) -> "Terminal":
    return Terminal(active_card(cipher, life_cycle, options), cipher)


def fid_path(path: str) -> bytes:
    """The identifiers of a path of the specification, from the MF."""
    return b"".join(bytes.fromhex(name) for name in path.split("/"))


def cut_at(position: int) -> Callable[[int, bool], None]:
    """The supply fails at that one of the moments before and after each page write."""
    moments = iter(range(position + 1))

    def fail(_page: int, _done: bool) -> None:
        if next(moments) == position:
            raise PowerCut

    return fail


class Terminal:
    """What a hospital's program does, step by step, by the words of section 4."""

    def __init__(self, card: SoftwareCard, cipher: Cipher = Cipher.SM4) -> None:
        self.card = card
        self.algorithm = algorithms.SM4 if cipher is Cipher.SM4 else algorithms.AES
        self.random = b"terminal"

    def send(self, command: str | bytes) -> tuple[bytes, int]:
        """Data and status word of one command, hex or bytes."""
        raw = bytes.fromhex(command) if isinstance(command, str) else command
        response = self.card.transmit(raw)
        return response[:-2], int.from_bytes(response[-2:], "big")

    def sw(self, command: str | bytes) -> int:
        return self.send(command)[1]

    def select(self, path: str) -> int:
        """SELECT from the MF, asking for nothing."""
        if path == "MF":
            return self.sw("00A4000C023F00")
        data = fid_path(path)
        return self.sw(bytes((0x00, 0xA4, 0x08, 0x0C, len(data))) + data)

    def challenge(self) -> bytes:
        data, sw = self.send("0084000008")
        assert (len(data), sw) == (8, 0x9000)
        return data

    # Section 3 and 4, in their own words.

    def block(self, key: bytes, block: bytes) -> bytes:
        """E: one block of the card's cipher."""
        return Mode(self.algorithm(key), modes.ECB()).encryptor().update(block)

    def process_key(self, name: str, challenge: bytes) -> bytes:
        """diversify(card key, challenge8) = E_K(D8 ‖ not D8)."""
        complement = bytes(0xFF - octet for octet in challenge)
        return self.block(key_bytes(name), challenge + complement)

    def cryptogram(self, name: str, challenge: bytes, data8: bytes) -> bytes:
        """C = E_PK(data8 ‖ 00*8), then C[0:8] xor C[8:16]."""
        whole = self.block(self.process_key(name, challenge), data8 + bytes(8))
        return bytes(whole[i] ^ whole[8 + i] for i in range(8))

    def encrypted(self, key: bytes, data: bytes) -> bytes:
        """Length (1) ‖ data, padded 80 00.. by at least one byte, each block by itself."""
        plain = padded(bytes((len(data),)) + data)
        return b"".join(self.block(key, plain[i : i + 16]) for i in range(0, len(plain), 16))

    def mac(self, key: bytes, message: bytes) -> bytes:
        """CBC-MAC, IV 0, over the message padded 80 00..; first 4 bytes."""
        chained = bytes(16)
        whole = padded(message)
        for start in range(0, len(whole), 16):
            block = whole[start : start + 16]
            chained = self.block(key, bytes(a ^ b for a, b in zip(chained, block, strict=True)))
        return chained[:4]

    def authentication(self, name: str, *, version: int = VERSION, kid: int | None = None) -> bytes:
        """EXTERNAL AUTHENTICATE with a fresh challenge, ready to be sent."""
        cryptogram = self.cryptogram(name, self.challenge(), self.random)
        kid = KEY_BY_NAME[name].reference if kid is None else kid
        return bytes((0, 0x82, 0, kid, 17)) + cryptogram + self.random + bytes((version,))

    def authenticate(self, *names: str) -> None:
        """Get the rights of keys that can be named from the current DF."""
        for name in names:
            assert self.sw(self.authentication(name)) == 0x9000, name

    def protected(self, stk: str, header: str, data: bytes | None = None) -> bytes:
        """A command under a fresh challenge: header, [encrypted data], MAC."""
        key = self.process_key(stk, self.challenge())
        body = b"" if data is None else self.encrypted(key, data)
        start = bytes.fromhex(header) + bytes((len(body) + 4,))
        return start + body + self.mac(key, start + body)

    def change(self, file: FileSpec, data: bytes, *, record: int = 1, offset: int = 0) -> bytes:
        """The file's own kind of update, protected by the STK of its DF."""
        stk = "STK_" + file.df_path.rsplit("/", 1)[-1]
        if file.structure is Structure.TRANSPARENT:
            return self.protected(stk, f"04D6{offset:04X}", data)
        if file.structure is Structure.CYCLIC:
            return self.protected(stk, "04DC0003", data)
        if is_index(file):
            return self.protected(stk, f"84D2{record:02X}04")
        return self.protected(stk, f"04DC{record:02X}04", data)

    def erasure(self, file: FileSpec, record: int = 1) -> bytes:
        """ERASE RECORD or ERASE BINARY of everything, protected."""
        stk = "STK_" + file.df_path.rsplit("/", 1)[-1]
        if file.structure is Structure.TRANSPARENT:
            return self.protected(stk, "040E0000")
        return self.protected(stk, f"840C{record:02X}04")

    def read(self, file: FileSpec, record: int = 1) -> tuple[bytes, int]:
        """The first bytes of a transparent file, or one record."""
        if file.structure is Structure.TRANSPARENT:
            return self.send("00B0000000")
        return self.send(f"00B2{record:02X}0400")

    def verify_pin(self) -> None:
        assert self.sw(b"\x00\x20\x00\x00\x06" + PIN) == 0x9000


def padded(data: bytes) -> bytes:
    data += b"\x80"
    return data + bytes(-len(data) % 16)


def is_index(file: FileSpec) -> bool:
    return file.path in ("DDF1/DF03/EF05", "DDF1/DF03/EF06")


def sample(file: FileSpec, record: int = 1, seed: int = 1) -> bytes:
    """Bytes that the file takes as record or as its beginning."""
    if is_index(file):
        return b"\0"
    fields = file.fields_of(record)
    if file.structure is Structure.TRANSPARENT:
        return bytes((seed + i) & 0x7F for i in range(100))
    length = sum(field.length for field in fields)
    head = b"" if fields[0].tag is None else bytes((fields[0].tag, length))
    return head + bytes((seed + i) & 0x7F for i in range(length))
