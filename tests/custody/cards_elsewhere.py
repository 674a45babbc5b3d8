"""Software cards in one process, for a station in another: its memory then has no card's keys."""

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from cardlib.emulator import SoftwareCard
from cardlib.keys.agent.agent_wire import read_frame
from personalize.production.feed import BroughtCard, Wanted, Worked, one_by_one

T = TypeVar("T")
_RESET = b""


@contextmanager
def card_server(path: Path, cards: Sequence[SoftwareCard]) -> Iterator[None]:
    """Let other processes use the cards over a Unix socket: a connection is a card with power."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.fspath(path))
        path.chmod(0o666)
        listening.listen()
        thread = threading.Thread(target=_serve, args=(listening, cards))
        thread.start()
        try:
            yield
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(listening: socket.socket, cards: Sequence[SoftwareCard]) -> None:
    with suppress(OSError):
        while True:
            made, _ = listening.accept()
            with made:
                card = cards[int.from_bytes(read_frame(made.recv) or b"")]
                while (command := read_frame(made.recv)) is not None:
                    _send(made, card.reset() if command == _RESET else card.transmit(command))


def _send(to: socket.socket, data: bytes) -> None:
    to.sendall(len(data).to_bytes(4, "big") + data)


class _Connection:
    """A card elsewhere, as a `Connection`."""

    def __init__(self, made: socket.socket) -> None:
        self._socket = made
        self.atr = self.reset()

    def transmit(self, command: bytes) -> bytes:
        _send(self._socket, command)
        return read_frame(self._socket.recv) or b""

    def reset(self) -> bytes:
        self.atr = self.transmit(_RESET)
        return self.atr


@dataclass(frozen=True)
class CardElsewhere:
    """One of the cards of a `card_server`."""

    path: Path
    number: int
    made_here: bool = False

    @property
    def where(self) -> str:
        return f"card {self.number} elsewhere"

    @contextmanager
    def powered(self) -> Iterator[_Connection]:
        with socket.socket(socket.AF_UNIX) as made:
            made.connect(os.fspath(self.path))
            _send(made, bytes((self.number,)))
            yield _Connection(made)


@dataclass
class FeedFromElsewhere:
    """Brings each card of a `card_server` once."""

    path: Path
    count: int
    name: str = "cards elsewhere"
    not_brought: str = "is not there"
    comes_again: bool = False
    named_one_by_one: bool = True
    aside: set[str] = field(default_factory=set)

    @contextmanager
    def alone(self) -> Iterator[None]:
        yield

    def lying(self) -> list[CardElsewhere]:
        return [CardElsewhere(self.path, number) for number in range(self.count)]

    def put_aside(self, card: BroughtCard) -> None:
        self.aside.add(card.where)

    def serve(
        self, work: Callable[[BroughtCard], Worked[T]], wanted: Callable[[], Wanted | None]
    ) -> Iterator[T]:
        cards = iter([each for each in self.lying() if each.where not in self.aside])
        return one_by_one(lambda _: next(cards, None), work, wanted)


def main() -> None:
    """Issue a batch through the agent: the words are agent, batch, cards and their number."""
    from cardlib.issuance.agent_issuer import AgentIssuer
    from personalize.preparation.batch import Batch
    from personalize.production.issue import issue
    from personalize.production.job import opened_job

    agent, folder, cards = (Path(word) for word in sys.argv[1:4])
    issuer = AgentIssuer.at(agent)
    feed = FeedFromElsewhere(cards, int(sys.argv[4]))
    batch = Batch.open(folder, issuer)
    with opened_job(batch, issuer, feed, test_keys=False) as job:
        for result in issue(job):
            sys.stdout.write(f"{result.number} {result.state} {result.problem}\n")
