"""Somebody on the line between a version-2 host and a card, who does what he likes with each APDU.

    python -m tests.man_in_the_middle_v2 --runs 100000

He drops, repeats, reorders, truncates, splices and flips bits, in commands and replies, with all
that he saw in this session, in earlier ones and in those of a twin (the same chip and keys). What
the card did, and what it really answered, is taken down at the card itself; see `check`.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from unittest.mock import patch

from cardlib.apdu import CommandAPDU, ResponseAPDU
from cardlib.channel.v2 import V2Channel
from cardlib.crypto import Cipher
from cardlib.emulator import SoftwareCard
from cardlib.emulator.options import CardOptions
from cardlib.emulator.secure_messaging_v2 import Session
from cardlib.errors import CardError, ChannelError
from cardlib.keys import CardKeys
from cardlib.layout import FILE_BY_PATH, KEY_BY_NAME
from tests.v2_cards import CHIP, REGION, card_of, key_set

SLOT = bytes.fromhex("DDF1DF03ED01")
SIZE = FILE_BY_PATH["DDF1/DF03/ED01"].size
OPTIONS = (CardOptions(), CardOptions(extended_length=True))
_REMEMBERED = 400
_INTERFERENCE = 0.12


Exchanges = dict[bytes, list[tuple[CommandAPDU, bytes | None]]]
"""By set of session keys (named by their P): plain commands in order, each with its answer."""


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


class Memory:
    """All that he ever saw: whole commands and whole replies, the latest few hundred."""

    def __init__(self) -> None:
        self.commands: list[bytes] = []
        self.replies: list[bytes] = []

    def see(self, command: bytes, reply: bytes) -> None:
        self.commands.append(command)
        self.replies.append(reply)
        if len(self.commands) > _REMEMBERED:
            del self.commands[: _REMEMBERED // 2], self.replies[: _REMEMBERED // 2]


class Line:
    """The line; `tricks` counts what was done on it."""

    def __init__(self, card: SoftwareCard, random: Random, memory: Memory) -> None:
        self.card, self.random, self.memory = card, random, memory
        self.tricks: Counter[str] = Counter()
        self.held: bytes | None = None
        self.on_commands: dict[str, Callable[[bytes], bytes]] = {
            "drop": self._drop,
            "repeat": self._repeat,
            "hold back": self._hold_back,
            "flip in command": lambda raw: self._send(self._flipped(raw)),
            "truncate command": lambda raw: self._send(self._cut(raw)),
            "splice commands": lambda raw: self._send(self._spliced(raw, self.memory.commands)),
            "old command": lambda raw: self._send(self._any(self.memory.commands, raw)),
            "insert": self._insert,
            "strip": lambda raw: self._send(bytes((raw[0] & 0xF3,)) + raw[1:]),
        }
        self.on_replies: dict[str, Callable[[bytes], bytes]] = {
            "flip in reply": self._flipped,
            "truncate reply": self._cut,
            "splice replies": lambda reply: self._spliced(reply, self.memory.replies),
            "old reply": lambda reply: self._any(self.memory.replies, reply),
            "reflect": lambda reply: self._any(self.memory.commands, reply)[5:-1] + reply[-2:],
            "status": lambda reply: reply[:-2] + self._status(),
            "bare status": lambda _: self._status(),
            "bare data": lambda reply: self.random.randbytes(8) + reply[-2:],
        }

    def transmit(self, raw: bytes) -> bytes:
        """What the host's command comes back as."""
        if self.held is not None and self.random.random() < 0.5:
            self._send(self.held)
            self.held = None
        reply = self._try(self.on_commands, raw, self._send)
        return self._try(self.on_replies, reply, lambda same: same)

    def _try(
        self,
        tricks: dict[str, Callable[[bytes], bytes]],
        raw: bytes,
        otherwise: Callable[[bytes], bytes],
    ) -> bytes:
        if self.random.random() >= _INTERFERENCE:
            return otherwise(raw)
        name = self.random.choice(list(tricks))
        self.tricks[name] += 1
        return tricks[name](raw)

    def _send(self, raw: bytes) -> bytes:
        reply = self.card.transmit(raw)
        self.memory.see(raw, reply)
        return reply

    def _any(self, seen: list[bytes], otherwise: bytes) -> bytes:
        return self.random.choice(seen) if seen else otherwise

    def _drop(self, raw: bytes) -> bytes:
        return self._any(self.memory.replies, b"\x90\x00")

    def _repeat(self, raw: bytes) -> bytes:
        replies = [self._send(raw) for _ in range(self.random.randint(2, 3))]
        return self.random.choice(replies)

    def _hold_back(self, raw: bytes) -> bytes:
        self.held = raw
        return self._drop(raw)

    def _insert(self, raw: bytes) -> bytes:
        before = self.random.choice((
            self._any(self.memory.commands, raw), b"\x00\xb0\x00\x00\x00", b"\x0c\x84\x00\x00\x00",
            b"\x00\x84\x00\x00\x08", b"\x00\xa4\x08\x0c\x06\xdd\xf1\xdf\x03\xed\x02",
            b"\x1c" + raw[1:4] + b"\x04" + self.random.randbytes(4),
        ))  # fmt: skip
        self._send(before)
        return self._send(raw)

    def _flipped(self, raw: bytes) -> bytes:
        changed = bytearray(raw)
        for _ in range(self.random.choice((1, 1, 1, 2, 8))):
            bit = self.random.randrange(8 * len(changed)) if changed else 0
            if changed:
                changed[bit // 8] ^= 1 << bit % 8
        return bytes(changed)

    def _cut(self, raw: bytes) -> bytes:
        """Truncated at either end, or lengthened; commands keep a length that agrees sometimes."""
        place = self.random.randrange(len(raw) + 1)
        kind = self.random.randrange(4)
        if kind == 0:
            return raw[:place]
        if kind == 1:
            return raw[place:]
        if kind == 2:
            return raw[:place] + self.random.randbytes(1) + raw[place:]
        short = raw[5:-1][: max(0, place - 6)]
        return raw[:4] + bytes((len(short) & 0xFF,)) + short + raw[-1:]

    def _spliced(self, raw: bytes, seen: list[bytes]) -> bytes:
        """The beginning of one message and the end of another."""
        other = self._any(seen, raw)
        place = self.random.randrange(min(len(raw), len(other)) + 1)
        return raw[:place] + other[place:]

    def _status(self) -> bytes:
        return self.random.choice((b"\x90\x00", b"\x6a\x82", b"\x69\x82", b"\x61\x10",
                                   b"\x6c\x04", b"\x62\x82", b"\x69\x88", b"\x63\xc2"))  # fmt: skip


class NotingChannel(V2Channel):
    """A channel that takes down each command that it protects, and each answer that it takes."""

    def __init__(self, line: Line, options: CardOptions, told: Exchanges) -> None:
        super().__init__(line.transmit, extended=options.extended_length, chaining=True)
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


class Accepted(AssertionError):
    """Something altered was taken for the other side's own."""


def check(told: Exchanges, done: Exchanges) -> None:
    """Under each set of keys the card did what was sent, in its order, each once, up to some point.

    What the host took for the card's answer to a command is the card's answer to that one.
    """
    for keys, exchanges in done.items():
        sent = told.get(keys, [])
        for number, (command, _) in enumerate(exchanges):
            if number >= len(sent) or not same(sent[number][0], command):
                raise Accepted(f"the card took {command} for the terminal's, number {number}")
    for keys, exchanges in told.items():
        answers = [reply for _, reply in done.get(keys, [])]
        for number, (command, taken) in enumerate(exchanges):
            if taken is not None and [taken] != answers[number : number + 1]:
                raise Accepted(f"the host took {taken.hex()} for the answer to {command}")


def same(sent: CommandAPDU, done: CommandAPDU) -> bool:
    """Equal in all that protection covers; how it was cut for the line is not."""
    return sent[:6] == done[:6]


def run(seed: int, memory: Memory) -> Counter[str]:
    """One card, one to three sessions, somebody in between; Accepted if he succeeds."""
    random = Random(seed)
    cipher = random.choice(list(Cipher))
    options = random.choice(OPTIONS)
    card = card_of(cipher, options)
    line = Line(card, random, memory)
    keys = key_set(cipher).for_card(CHIP, REGION)
    told, done, outcome = Exchanges(), Exchanges(), Counter[str]()
    host = Host(random, keys, NotingChannel(line, options, told))
    with taken_down(done):
        for _ in range(random.randint(1, 3)):
            host.channel = NotingChannel(line, options, told)
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


def runs(count: int, seed: int = 0) -> Counter[str]:
    """Many runs with one memory: he learns from each."""
    memory, total = Memory(), Counter[str]()
    for number in range(count):
        try:
            total += run(seed + number, memory)
        except Accepted as error:
            raise Accepted(f"run {seed + number}, all from {seed} on: {error}") from None
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description="attack version-2 sessions on the line")
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    total = runs(arguments.runs, arguments.seed)
    sys.stdout.writelines(f"{total[name]:>10,}  {name}\n" for name in sorted(total))


if __name__ == "__main__":
    main()
