"""SCP03 for the man in the middle: what a host sends, and what the card takes down.

    python -m tests.attacks.man_in_the_middle --protocol scp03 --runs 100000

Commands: nothing altered is accepted at any level, but for Le, which is under no MAC (Amendment D
6.2.4). Replies: nothing altered at 11, 13 and 33, but for error statuses, which carry no MAC
(6.2.5); at 01 and 03 replies are in clear. A session is named by its level and challenges: so both
sides agree on the level, too.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from random import Random
from unittest.mock import patch

from cardlib.apdu import CommandAPDU
from cardlib.emulator import CardOptions, SoftwareCard
from cardlib.emulator.chip.memory import Memory as Pages
from cardlib.emulator.profile.card_state import KEY_TRIES, StoredKeySet
from cardlib.emulator.sessions.scp03 import Scp03Session
from cardlib.errors import CardError, ChannelError
from cardlib.keys.static_keys import SoftwareScp03Keys
from cardlib.layout import FILES
from cardlib.messaging.scp03 import C_ENC, LEVELS, R_MAC
from cardlib.messaging.scp03_channel import Scp03Channel
from tests.attacks.man_in_the_middle import Exchanges, Line, Memory, check
from tests.cards.software_cards import active_card, fid_path

SIZES = (16, 24, 32)
VERSION = 0x05
OBJECT = (0x5F, 0x50)
PATHS = tuple(fid_path(file.path) for file in FILES)
INSERTED = tuple(map(bytes.fromhex, (
    "80CA004500", "00A404000D5245534944454E54484C544801", "8050050008000102030405060700",
    "8482330010" + "00" * 16, "0070000001", "00C0000000", "84CA00450800000000000000FF00",
)))  # fmt: skip
_CHALLENGES_OF_A_RUN = 64


@cache
def _pages(size: int, options: CardOptions) -> dict[int, bytes]:
    card = active_card(options=options)
    card.state.key_sets = {VERSION: StoredKeySet(VERSION, *_triple(size), KEY_TRIES)}
    card.memory.commit()
    return card.memory.pages


def _triple(size: int) -> tuple[bytes, bytes, bytes]:
    enc, mac, dek = (bytes(range(first, first + size)) for first in (0, 64, 128))
    return enc, mac, dek


def card_of(size: int, options: CardOptions, random: Random, seed: int) -> SoftwareCard:
    """A card of the same keys as every other; its sequence counter was never seen before."""
    card = SoftwareCard(Pages(_pages(size, options)), random.randbytes)
    card.state.sequence_counter = seed * _CHALLENGES_OF_A_RUN % 0xFFFF00
    card.memory.commit()
    return card


@contextmanager
def taken_down(done: Exchanges) -> Iterator[None]:
    """Note every protected command that a card accepts, and its answer."""
    begin, unwrap, wrap = Scp03Session.__init__, Scp03Session.unwrap, Scp03Session.wrap
    challenges: dict[int, tuple[Scp03Session, bytes]] = {}

    def noting_begin(
        session: Scp03Session, keys: StoredKeySet, host_challenge: bytes, challenge: bytes
    ) -> None:
        begin(session, keys, host_challenge, challenge)
        challenges[id(session)] = session, host_challenge + challenge

    def name(session: Scp03Session) -> bytes:
        return bytes((session.level,)) + challenges[id(session)][1]

    def noting_unwrap(session: Scp03Session, command: CommandAPDU) -> CommandAPDU:
        plain = unwrap(session, command)
        if session._protected:
            done.setdefault(name(session), []).append((plain, None))
        return plain

    def noting_wrap(session: Scp03Session, response: bytes) -> bytes:
        if session._protected:
            exchanges = done[name(session)]
            exchanges[-1] = exchanges[-1][0], response
        return wrap(session, response)

    with (
        patch.object(Scp03Session, "__init__", noting_begin),
        patch.object(Scp03Session, "unwrap", noting_unwrap),
        patch.object(Scp03Session, "wrap", noting_wrap),
    ):
        yield


@dataclass
class Host:
    """A terminal whose commands differ from one another, so that each can be told."""

    random: Random
    channel: Scp03Channel
    level: int
    told: Exchanges
    serial: int = 0

    @property
    def session(self) -> bytes:
        host = self.channel.host
        return bytes((self.level,)) + host._challenge + host.card.challenge

    def send(self, command: CommandAPDU) -> None:
        exchanges = self.told.setdefault(self.session, [])
        exchanges.append((command, None))
        exchanges[-1] = command, bytes(self.channel.send(command))

    def step(self) -> None:
        self.serial += 1
        random = self.random
        kind = random.randrange(6)
        if kind == 0:
            self.send(CommandAPDU(0x80, 0xCA, 0x00, 0x45, le=256))
        elif kind == 1:
            self.send(CommandAPDU(0x80, 0xCA, 0x40 | self.serial, random.randrange(256), le=256))
        elif kind in (2, 3):
            le = random.choice((None, 256))
            self.send(CommandAPDU(0x00, 0xA4, 0x08, 0x00 if le else 0x0C, random.choice(PATHS), le))
        elif kind == 4 or not self.level & C_ENC:
            data = bytes((self.serial,)) + random.randbytes(random.randrange(200))
            self.send(CommandAPDU(0x00, 0xDA, *OBJECT, data, extended=random.random() < 0.2))
        else:
            self.send(CommandAPDU(0x00, 0xCA, *OBJECT, le=256))


def _session(random: Random, line: Line, size: int, s16: bool, told: Exchanges) -> None:
    """One session, to its end or to the first trouble."""
    level = random.choice(LEVELS)
    challenge = random.randbytes(16 if s16 else 8)
    keys = SoftwareScp03Keys(VERSION, *_triple(size))
    channel = Scp03Channel.open(line.transmit, keys, level, VERSION, challenge)
    host = Host(random, channel, level, told)
    for _ in range(random.randint(1, 8)):
        host.step()


def everything_under_the_mac(sent: CommandAPDU, done: CommandAPDU) -> bool:
    """Equal in all that the C-MAC covers: the header and the data; Le is not."""
    return sent[:5] == done[:5]


def under_r_mac(reply: bytes) -> bool:
    return reply[-2:] == b"\x90\x00" or reply[-2] in (0x62, 0x63)


def no_reply(_: bytes) -> bool:
    return False


def run(seed: int, memory: Memory) -> Counter[str]:
    """One card, one to three sessions, somebody in between; Accepted if he succeeds."""
    random = Random(seed)
    size, s16 = random.choice(SIZES), random.random() < 0.5
    options = CardOptions(
        extended_length=random.random() < 0.5,
        scp03_s16=s16,
        scp03_random_challenge=random.random() < 0.5,
    )
    card = card_of(size, options, random, seed)
    line = Line(card, random, memory, INSERTED)
    told, done, outcome = Exchanges(), Exchanges(), Counter[str]()
    with taken_down(done):
        for _ in range(random.randint(1, 3)):
            try:
                _session(random, line, size, s16, told)
            except ChannelError:
                outcome["ended by the host"] += 1
            except CardError:
                outcome["refused or cut"] += 1
            else:
                outcome["went through"] += 1
            if random.random() < 0.5:
                card.reset()
    outcome += _check(told, done)
    outcome["commands done"] += sum(map(len, done.values()))
    outcome["answers taken"] += sum(bool(reply) for each in told.values() for _, reply in each)
    return outcome + line.tricks


def _check(told: Exchanges, done: Exchanges) -> Counter[str]:
    """Each level by its rule; how often what the standard leaves open was altered."""
    for bit, believed in ((R_MAC, under_r_mac), (0, no_reply)):
        ours, theirs = (
            {name: each for name, each in side.items() if name[0] & R_MAC == bit}
            for side in (told, done)
        )
        check(ours, theirs, everything_under_the_mac, believed)
    pairs = [
        (sent, seen)
        for name in told.keys() & done.keys()
        if name[0] & R_MAC
        for sent, seen in zip(told[name], done[name], strict=False)
    ]
    return Counter(
        {
            "(Le was altered)": sum(sent[0].le != seen[0].le for sent, seen in pairs),
            "(an answer was made an error)": sum(
                sent[1] not in (None, seen[1]) for sent, seen in pairs
            ),
        }
    )
