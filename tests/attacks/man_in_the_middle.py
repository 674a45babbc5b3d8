"""Somebody on the line between a host and a card, who does what he likes with each APDU.

    python -m tests.attacks.man_in_the_middle --protocol scp03 --runs 100000 --seed 0

He drops, repeats, reorders, truncates, splices and flips bits, in commands and replies, with all
that he saw in this session, in earlier ones and in those of twins (the same chip and keys). What a
card really did and answered is taken down at the card itself. Each protocol (`PROTOCOLS`) brings
its host, and says what must hold: see `run` in tests/man_in_the_middle_*.py, and `check` here.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from importlib import import_module
from random import Random

from cardlib.apdu import CommandAPDU
from cardlib.emulator import SoftwareCard

PROTOCOLS = ("scp03", "v1", "v2")
_REMEMBERED = 400
_INTERFERENCE = 0.12

Exchanges = dict[bytes, list[tuple[CommandAPDU, bytes | None]]]
"""By session (named by what only its two sides share): plain commands in order, with answers."""


class Accepted(AssertionError):
    """Something altered was taken for the other side's own."""


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
    """The line; `tricks` counts what was done on it, `inserted` are commands of his own."""

    def __init__(
        self, card: SoftwareCard, random: Random, memory: Memory, inserted: Sequence[bytes] = ()
    ) -> None:
        self.card, self.random, self.memory, self.inserted = card, random, memory, inserted
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
        seen = self._any(self.memory.commands, raw)
        piece = bytes((raw[0] | 0x10,)) + raw[1:4] + b"\x04" + self.random.randbytes(4)
        before = self.random.choice((seen, piece, b"\x00\xb0\x00\x00\x00", *self.inserted))
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


def everything_protected(sent: CommandAPDU, done: CommandAPDU) -> bool:
    """Equal in all that protection covers; how it was cut for the line is not."""
    return sent[:6] == done[:6]


def every_reply(_: bytes) -> bool:
    return True


def check(
    told: Exchanges,
    done: Exchanges,
    same: Callable[[CommandAPDU, CommandAPDU], bool] = everything_protected,
    believed: Callable[[bytes], bool] = every_reply,
) -> None:
    """In each session the card did what was sent, in its order, each once, up to some point.

    What the host took for the card's answer to a command is the card's answer to that one, as far
    as the protocol has the host believe it.
    """
    for session, exchanges in done.items():
        sent = told.get(session, [])
        for number, (command, _) in enumerate(exchanges):
            if number >= len(sent) or not same(sent[number][0], command):
                raise Accepted(f"the card took {command} for the terminal's, number {number}")
    for session, exchanges in told.items():
        answers = [reply for _, reply in done.get(session, [])]
        for number, (command, taken) in enumerate(exchanges):
            if taken is None or not believed(taken):
                continue
            if [taken] != answers[number : number + 1]:
                raise Accepted(f"the host took {taken.hex()} for the answer to {command}")


Run = Callable[[int, Memory], Counter[str]]
"""One card and a few sessions with somebody in between, by a seed; Accepted if he succeeds."""


def runs(run: Run, count: int, seed: int = 0) -> Counter[str]:
    """Many runs with one memory: he learns from each."""
    memory, total = Memory(), Counter[str]()
    for number in range(count):
        try:
            total += run(seed + number, memory)
        except Accepted as error:
            raise Accepted(f"run {seed + number}, all from {seed} on: {error}") from None
    return total


def run_of(protocol: str) -> Run:
    """The attack on a protocol by its name."""
    found: Run = import_module(f"tests.attacks.man_in_the_middle_{protocol}").run
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="attack a protocol's sessions on the line")
    parser.add_argument("--protocol", choices=PROTOCOLS, required=True)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    total = runs(run_of(arguments.protocol), arguments.runs, arguments.seed)
    sys.stdout.writelines(f"{total[name]:>10,}  {name}\n" for name in sorted(total))


if __name__ == "__main__":
    main()
