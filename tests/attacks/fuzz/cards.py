"""The cards to fuzz: every life cycle, both versions, all switches; protected files are marked.

A protected file is filled with 16 bytes of its own, again and again, so that a part of it is
known wherever it turns up. Keys and PIN are known in the same way.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256

from cardlib.apdu import CommandAPDU
from cardlib.crypto import Cipher
from cardlib.emulator import CardOptions, LifeCycle, SoftwareCard
from cardlib.emulator.bench.ready_made import CHIP, PIN, personalized_card
from cardlib.emulator.chip.memory import Memory
from cardlib.emulator.filesystem.tree import PROFILE, ElementaryFile, Rule
from cardlib.keys import CardKeys
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.layout import KEYS
from cardlib.layout.card_profile import FIELD
from cardlib.messaging.scp03_channel import Scp03Channel
from cardlib.tlv import ber, concatenate
from tests.cards.cards import REGION as LOAD_REGION
from tests.cards.cards import groupings as whole_load

REGION = b"99000000"
GRAM = 6
"""Bytes in a row that say where they come from: too many to turn up by accident."""


_PLAIN = CardOptions()


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of card: what it is made of, and what was done to it."""

    protocol: int = 1
    cipher: Cipher = Cipher.SM4
    life_cycle: LifeCycle = LifeCycle.ACTIVE
    options: CardOptions = _PLAIN
    transport_keys: bool = False
    created: bool = False
    blocked: int = 0


_EVERYTHING = CardOptions(
    extended_length=True, clear_updates=True, logical_channels=4, scp03_random_challenge=True
)
_LONG = CardOptions(extended_length=True, logical_channels=3, scp03_s16=True)
KINDS: Mapping[str, Kind] = {
    "blank with transport keys": Kind(life_cycle=LifeCycle.BLANK, transport_keys=True),
    "blank with issuer keys": Kind(life_cycle=LifeCycle.BLANK),
    "blank with created files": Kind(life_cycle=LifeCycle.BLANK, created=True, options=_LONG),
    "blank 2.0": Kind(2, Cipher.AES, LifeCycle.BLANK, transport_keys=True),
    "personalized": Kind(life_cycle=LifeCycle.PERSONALIZED),
    "active": Kind(),
    "active, all switches": Kind(cipher=Cipher.AES, options=_EVERYTHING, created=True),
    "active, no chaining": Kind(options=CardOptions(command_chaining=False)),
    "active, two DFs blocked": Kind(blocked=0b00110),
    "field": Kind(options=CardOptions.of_profile(FIELD)),
    "active 2.0": Kind(protocol=2),
    "active 2.0, all switches": Kind(2, Cipher.AES, options=_LONG, created=True),
    "personalized 2.0": Kind(2, life_cycle=LifeCycle.PERSONALIZED, options=_EVERYTHING),
    "blocked": Kind(life_cycle=LifeCycle.BLOCKED),
    "terminated 2.0": Kind(2, life_cycle=LifeCycle.TERMINATED),
}

_ALWAYS, _NEVER = ber(0x90, b""), ber(0x97, b"")
_READ, _UPDATE = ber(0x80, b"\x01"), ber(0x80, b"\x06")


def fcp(fid: int, descriptor: str, size: int = 0, *, name: str = "", rules: bytes = b"") -> bytes:
    """The FCP template of a file to create."""
    parts = [(0x82, bytes.fromhex(descriptor)), (0x83, fid.to_bytes(2, "big"))]
    parts += [(0x80, size.to_bytes(2, "big"))] if size else []
    parts += [(0x84, bytes.fromhex(name))] if name else []
    parts += [(0xAB, rules)] if rules else []
    return ber(0x62, concatenate(parts))


def _under(kid: int) -> bytes:
    return ber(0xA4, ber(0x83, bytes((kid,))) + ber(0x95, b"\x80"))


_KEYED = _READ + _under(0x04) + _UPDATE + _under(0x05)
_HIDDEN = _READ + _NEVER + _UPDATE + _ALWAYS
_FREE_FILES = (
    ("", fcp(0x0C01, "0121", 600)),
    ("", fcp(0x0C03, "3821", name="F05248430A")),
    ("0C03", fcp(0x0C05, "0421004005", rules=_HIDDEN)),
    ("0C03", fcp(0x0C07, "3821")),
    ("0C030C07", fcp(0x0C08, "0141", 64)),
    ("0C030C07", fcp(0x0C09, "060100200A")),
)
_KEYED_FILES = (
    ("", fcp(0x0C02, "0121", 300, rules=_KEYED)),
    ("0C03", fcp(0x0C04, "0221001005", rules=_KEYED)),
    ("0C03", fcp(0x0C06, "042100300A", rules=_KEYED)),
)
"""Path below the applet's own directory, and FCP of files to create; keys are DDF1's."""


@cache
def store(kind: Kind) -> KeyStore:
    """The keys of cards of that kind."""
    return KeyStore(public_test_roots(kind.protocol, kind.cipher))


def card_keys(kind: Kind) -> CardKeys:
    """The 30 keys of a card of that kind, as it has them or will have them."""
    region = LOAD_REGION if kind.life_cycle is LifeCycle.BLANK else REGION
    return store(kind).terminal_keys.for_card(CHIP, region)


@cache
def groupings(kind: Kind) -> tuple[tuple[int, bytes], ...]:
    """A whole load for a blank card of that kind."""
    return tuple(whole_load(kind.cipher, kind.protocol))


def make(name: str, seed: int) -> SoftwareCard:
    """A card of that kind; its random bytes follow from the seed."""
    return SoftwareCard(Memory(_pages(name)), random.Random(seed).randbytes)


@cache
def _pages(name: str) -> dict[int, bytes]:
    kind = KINDS[name]
    card = _unmarked(kind)
    if kind.created:
        _create_files(card, kind)
    for file in protected_files(card):
        _mark(card, file)
    card.state.life_cycle = kind.life_cycle
    card.state.blocked_directories = kind.blocked
    card.memory.commit()
    return card.memory.pages


def _unmarked(kind: Kind) -> SoftwareCard:
    blank = SoftwareCard.blank(CHIP, store(kind).blank_keys(CHIP), options=kind.options)
    if kind.transport_keys:
        return blank
    issued = personalized_card(public_test_roots(kind.protocol, kind.cipher), options=kind.options)
    if kind.life_cycle is not LifeCycle.BLANK:
        return issued
    blank.state.key_sets = issued.state.key_sets
    blank.memory.commit()
    return blank


def _create_files(card: SoftwareCard, kind: Kind) -> None:
    blank = kind.life_cycle is LifeCycle.BLANK
    keys, s16 = store(kind).issuer_keys(CHIP), kind.options.scp03_s16
    channel = Scp03Channel.open(card.transmit, keys, 0x33, s16=s16)
    for path, template in _FREE_FILES + (() if blank else _KEYED_FILES):
        folder = bytes.fromhex(path if blank else "DDF1" + path)
        select = CommandAPDU(0x00, 0xA4, 0x08 if folder else 0x00, 0x0C, folder)
        assert channel.send(select).sw == 0x9000
        created = channel.send(CommandAPDU(0x00, 0xE0, 0x00, 0x00, template))
        assert created.sw == 0x9000, card.last_refusal
    card.reset()


def update_rule(kind: Kind, file: ElementaryFile) -> Rule:
    """The rule for changing a file; `issuer_files` gives the issuer's two that of the phones."""
    if kind.options.issuer_files == "UK_DDF1" and file.path in ("DDF1/EF05", "DDF1/EF06"):
        phones = PROFILE["DDF1/EF08"]
        assert isinstance(phones, ElementaryFile)
        return phones.update
    return file.update


def protected_files(card: SoftwareCard) -> Iterator[ElementaryFile]:
    """The files that are not everybody's to read."""
    nodes = [] if card.state.life_cycle == LifeCycle.BLANK else list(PROFILE.values())
    for children in card.created.values():
        nodes += children.values()
    for node in nodes:
        if isinstance(node, ElementaryFile) and (node.read.rights or node.read.never):
            yield node


def unit(path: str) -> bytes:
    """What a protected file is filled with, 16 bytes."""
    return sha256(f"content of {path}".encode()).digest()[:16]


def _mark(card: SoftwareCard, file: ElementaryFile) -> None:
    """Fill a file with its unit; a file that grows gets all the records it has room for."""
    filling = unit(file.path)
    if not file.slots:
        card.memory.write(file.address, (filling * (file.size // 16 + 1))[: file.size])
        return
    for offset, length in zip(file.offsets, file.lengths, strict=True):
        stored = (filling * (length // 16 + 1))[:length]
        head = length.to_bytes(2, "big") if file.variable else b""
        card.memory.write(file.address + offset, head + stored)
    if file.growing:
        card.memory.write(file.address, bytes((file.slots, file.slots - 1)))


def grams(raw: bytes) -> set[bytes]:
    """Every GRAM bytes in a row."""
    return {raw[i : i + GRAM] for i in range(len(raw) - GRAM + 1)}


@cache
def markers(name: str) -> Mapping[bytes, ElementaryFile]:
    """What gives a protected file away, and which."""
    files = list(protected_files(make(name, 0)))
    return {gram: file for file in files for gram in grams(unit(file.path) * 2)}


@cache
def secrets(name: str) -> frozenset[bytes]:
    """What gives a key or the PIN away."""
    kind = KINDS[name]
    state = make(name, 0).state
    found = {key.key for spec in KEYS if (key := state.card_key(spec))}
    for keys in state.key_sets.values():
        found |= {keys.enc, keys.mac, keys.dek}
    if kind.life_cycle is not LifeCycle.BLANK:
        found |= {PIN.encode("ascii"), bytes.fromhex(f"26{PIN}FFFFFFFF")[:GRAM]}
    return frozenset(gram for secret in found for gram in grams(secret))
