"""Version 2 for the man in the middle: what a host sends, and what the card takes down.

    python -m tests.attacks.man_in_the_middle --protocol v2 --runs 100000

Commands and replies: nothing altered is accepted. A session is named by its keys' P.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from unittest.mock import patch

from cardlib.apdu import CommandAPDU, ResponseAPDU
from cardlib.crypto import Cipher
from cardlib.emulator.profile.card_options import CardOptions
from cardlib.emulator.sessions.v2 import Session
from cardlib.errors import CardError, ChannelError
from cardlib.keys import CardKeys
from cardlib.layout import FILE_BY_PATH, KEY_BY_NAME
from cardlib.messaging.v2 import V2Channel
from tests.attacks.man_in_the_middle import Exchanges, Line, Memory, check
from tests.cards.v2_cards import CHIP, REGION, c1_of, card_of, key_set

SLOT = bytes.fromhex("DDF1DF03ED01")
SIZE = FILE_BY_PATH["DDF1/DF03/ED01"].size
OPTIONS = (CardOptions(), CardOptions(extended_length=True))
INSERTED = tuple(map(bytes.fromhex, ("0C84000000", "0084000008", "00A4080C06DDF1DF03ED02")))


@contextmanager
def taken_down(done: Exchanges) -> Iterator[None]:
    """Note every protected command that a card accepts, and its answer."""
    unwrap, wrap = Session.unwrap, Session.wrap

    def noting_unwrap(session: Session, command: CommandAPDU) -> CommandAPDU:
        plain = unwrap(session, command)
        done.setdefault(session.chain(), []).append((plain, None))
        return plain

    def noting_wrap(session: Session, response: bytes) -> bytes:
        exchanges = done[session.chain()]
        exchanges[-1] = exchanges[-1][0], response
        return wrap(session, response)

    with patch.object(Session, "unwrap", noting_unwrap), patch.object(Session, "wrap", noting_wrap):
        yield


class NotingChannel(V2Channel):
    """A channel that takes down each command that it protects, and each answer that it takes."""

    def __init__(self, line: Line, c1: bytes, options: CardOptions, told: Exchanges) -> None:
        super().__init__(line.transmit, c1, extended=options.extended_length, chaining=True)
        self.told = told

    def _once(self, command: CommandAPDU) -> ResponseAPDU:
        keys = self._host._keys
        if not self.is_protected or keys is None:
            return super()._once(command)
        exchanges = self.told.setdefault(keys.mac.cmac(b"RHC2-CHAIN"), [])
        exchanges.append((command, None))
        response = super()._once(command)
        exchanges[-1] = command, bytes(response)
        return response


@dataclass
class Host:
    """A terminal whose commands differ from one another, so that each can be told."""

    random: Random
    keys: CardKeys
    channel: V2Channel
    serial: int = 0

    def authenticate(self, name: str) -> bool:
        return self.channel.authenticate(self.keys, KEY_BY_NAME[name]).sw == 0x9000

    def work(self) -> None:
        """A session: two roles, a file, some reads and writes; ends at the first trouble."""
        names = ["RK1_DF03", "UK1_DF03"]
        self.random.shuffle(names)
        self.channel.send(CommandAPDU(0x00, 0xA4, 0x08, 0x0C, SLOT[:4]))
        for name in names[: self.random.randint(1, 2)]:
            if not self.authenticate(name):
                return
        for _ in range(self.random.randint(1, 6)):
            self._step()

    def _step(self) -> None:
        self.serial += 1
        number = self.serial
        kind = self.random.randrange(8)
        if kind == 0:
            self.authenticate(self.random.choice(("RK1_DF03", "UK1_DF03")))
        elif kind == 1:
            self.channel.send(
                CommandAPDU(0x00, 0xB1, 0, 0, b"\x54\x02" + number.to_bytes(2, "big"), 8)
            )
        elif kind in (2, 3):
            offset = self.random.randrange(256) << 8 & 0x0B00 | number
            data = number.to_bytes(2, "big") + self.random.randbytes(self.random.randrange(60))
            self.channel.send(CommandAPDU(0x00, 0xD6, offset >> 8, offset & 0xFF, data))
        elif kind == 4:
            self.channel.send(CommandAPDU(0x00, 0xA4, 0x08, 0x0C, SLOT))
            self.channel.send(CommandAPDU(0x00, 0xA4, 0x08, 0x00, SLOT, number))
        else:
            le = self.random.randint(1, 223)
            self.channel.send(CommandAPDU(0x00, 0xB0, number >> 8, number & 0xFF, le=le))


def run(seed: int, memory: Memory) -> Counter[str]:
    """One card, one to three sessions, somebody in between; Accepted if he succeeds."""
    random = Random(seed)
    cipher = random.choice(list(Cipher))
    options = random.choice(OPTIONS)
    card = card_of(cipher, options)
    line = Line(card, random, memory, INSERTED)
    keys = key_set(cipher).for_card(CHIP, REGION)
    c1 = c1_of(cipher)
    told, done, outcome = Exchanges(), Exchanges(), Counter[str]()
    host = Host(random, keys, NotingChannel(line, c1, options, told))
    with taken_down(done):
        for _ in range(random.randint(1, 3)):
            host.channel = NotingChannel(line, c1, options, told)
            try:
                host.work()
            except ChannelError:
                outcome["ended by the host"] += 1
            except CardError:
                outcome["refused or cut"] += 1
            else:
                outcome["went through"] += 1
            if random.random() < 0.7:
                card.reset()
    check(told, done)
    outcome["commands done"] += sum(map(len, done.values()))
    outcome["answers taken"] += sum(bool(taken) for each in told.values() for _, taken in each)
    return outcome + line.tricks
