"""Version 1 for the man in the middle: what a host sends, and what the card takes down.

    python -m tests.attacks.man_in_the_middle --protocol v1 --runs 100000

Version 1 has no sessions and protects no reply, so only this holds: header and data of a change
that the card accepts are those of one that the host made, in its order, each once; a key's right is
given no more often than the host proved that key. What version 1 cannot detect is shown in
tests/attacks/test_v1_limits.py.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from unittest.mock import patch

from cardlib.apdu import CommandAPDU, ResponseAPDU
from cardlib.crypto import Cipher
from cardlib.emulator import SoftwareCard
from cardlib.emulator.chip.memory import Memory as Pages
from cardlib.emulator.filesystem.security_attributes import AUTHENTICATING_ROLES
from cardlib.emulator.sessions.logical_channel import LogicalChannel
from cardlib.emulator.sessions.v1 import unprotect
from cardlib.errors import CardError, ChannelError
from cardlib.keys import CardKeys
from cardlib.keys.roots import public_test_roots
from cardlib.keys.software import SoftwareKeySet
from cardlib.layout import KEY_BY_NAME, KeySpec
from cardlib.messaging.v1 import V1Channel
from tests.attacks.man_in_the_middle import Accepted, Line, Memory
from tests.cards.v2_cards import CHIP, REGION, VERSION, card_of

Change = tuple[bytes, bytes]
"""The header, with the secure messaging bit, and the plain data."""
VISITS = (("RK1_DF03", "ED01"), ("UK1_DF03", "ED01"), ("UK1_DF03", "EF05"), ("UK3_DF02", "EF07"))
INSERTED = tuple(map(bytes.fromhex, (
    "0084000008", "00B0000000", "0070000001", "0184000008", "00A4080C04DDF1DF02",
    "84D2010400", "84D2010404DEADBEEF", "04D6000004DEADBEEF",
)))  # fmt: skip


@dataclass
class Notes:
    """What the host meant and what the card did."""

    made: list[Change] = field(default_factory=list)
    done: list[Change] = field(default_factory=list)
    proved: Counter[str] = field(default_factory=Counter)
    given: Counter[str] = field(default_factory=Counter)

    def check(self) -> None:
        """Accepted unless the card did some of what the host made, in its order, each once."""
        rest = iter(self.made)
        for change in self.done:
            if change not in rest:
                raise Accepted(f"the card took {change} for the terminal's, or twice, or late")
        if self.given - self.proved:
            raise Accepted(f"the card gave the rights of {self.given}, proved were {self.proved}")


class NotingCard(SoftwareCard):
    """A card that notes whose right it gave."""

    notes: Notes

    def transmit(self, command: bytes) -> bytes:
        before = self.channels
        reply = super().transmit(command)
        channel = before.get(command[0] & 0x03) if len(command) > 3 else None
        if channel and command[1] == 0x82 and not command[0] & 0x10 and reply == b"\x90\x00":
            key = channel.directory.key(command[3], AUTHENTICATING_ROLES)
            self.notes.given[key.name if key else "?"] += 1
        return reply


@contextmanager
def taken_down(notes: Notes) -> Iterator[None]:
    """Note every protected command that a card accepts."""

    def noting(
        card: SoftwareCard, channel: LogicalChannel, command: CommandAPDU, spec: KeySpec
    ) -> bytes:
        plain = unprotect(card, channel, command, spec)
        notes.done.append((command.header, plain))
        return plain

    with patch("cardlib.emulator.handlers.access.unprotect", noting):
        yield


@dataclass
class Host:
    """A terminal whose changes differ from one another, so that each can be told."""

    random: Random
    keys: CardKeys
    channel: V1Channel
    notes: Notes
    serial: int = 0

    def authenticate(self, name: str) -> None:
        self.notes.proved[name] += 1
        self.channel.authenticate(self.keys, KEY_BY_NAME[name])

    def change(self, command: CommandAPDU, stk: str) -> ResponseAPDU:
        header = bytes((command.cla | 0x04,)) + command.header[1:]
        self.notes.made.append((header, command.data))
        return self.channel.change(command, self.keys, stk)

    def select(self, *path: str) -> None:
        data = bytes.fromhex("".join(path))
        self.channel.send(CommandAPDU(0x00, 0xA4, 0x08, 0x0C, data))

    def work(self) -> None:
        """A visit: a DF, a key or two, a file, some reads and changes, whatever the answers."""
        name, file = self.random.choice(VISITS)
        directory = name[-4:]
        self.select("DDF1", directory)
        self.authenticate(name)
        self.select("DDF1", directory, file)
        for _ in range(self.random.randint(1, 5)):
            self._step(file, f"STK_{directory}")

    def _step(self, file: str, stk: str) -> None:
        self.serial += 1
        data = self.serial.to_bytes(2, "big") + self.random.randbytes(self.random.randrange(16))
        if self.random.random() < 0.2:
            self.channel.send(CommandAPDU(0x00, 0xB0, 0x00, self.serial, le=16))
        elif file == "EF05":
            self.change(CommandAPDU(0x80, 0xD2, self.serial, 0x04), stk)
        elif file == "EF07":
            self.change(CommandAPDU(0x00, 0xDC, 0x00, 0x03, data), stk)
        else:
            self.change(CommandAPDU(0x00, 0xD6, 0x00, self.serial, data), stk)


def _card(cipher: Cipher, random: Random, notes: Notes) -> SoftwareCard:
    card = NotingCard(Pages(card_of(cipher, protocol=1).memory.pages), random.randbytes)
    card.notes = notes
    return card


def run(seed: int, memory: Memory) -> Counter[str]:
    """One card, one to three visits, somebody in between; Accepted if he succeeds."""
    random = Random(seed)
    cipher = random.choice(list(Cipher))
    notes, outcome = Notes(), Counter[str]()
    line = Line(_card(cipher, random, notes), random, memory, INSERTED)
    keys = SoftwareKeySet(public_test_roots(1, cipher).card, 1, cipher, VERSION)
    host = Host(random, keys.for_card(CHIP, REGION), V1Channel(line.transmit), notes)
    with taken_down(notes), patch("secrets.token_bytes", random.randbytes):
        for _ in range(random.randint(1, 3)):
            try:
                host.work()
            except ChannelError:
                outcome["ended by the host"] += 1
            except CardError:
                outcome["refused or cut"] += 1
            else:
                outcome["went through"] += 1
            if random.random() < 0.5:
                line.card.reset()
    notes.check()
    outcome["changes made"] += len(notes.made)
    outcome["changes done"] += len(notes.done)
    outcome["rights given"] += notes.given.total()
    return outcome + line.tricks
