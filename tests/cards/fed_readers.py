"""Readers of a test that a robot feeds: they notice cards as pcscd does, without pcscd."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cardlib.errors import TransportError
from cardlib.exchange import Connection
from cardlib.transport.pcsc import CardPulledOut, NoCard, NoReader
from cardlib.transport.slot import InSlot

_QUICK = 0.002
_LONG = 60.0


@dataclass(eq=False)
class FedReader:
    """A reader with or without a card in it. It is a `Slot` of the bureau's feed."""

    name: str
    card: Connection | None = None
    insertion: int = 0
    gone: TransportError | None = None
    cut: Callable[[], bool] = field(default=lambda: False)
    lines: list[str] = field(default_factory=list)
    _news: threading.Condition = field(default_factory=threading.Condition)
    _seen: int = -1

    # --- what the bureau does

    def look(self, seconds: float) -> InSlot:
        with self._news:
            if self.insertion == self._seen:
                self._news.wait(min(seconds, _QUICK))
            if self.gone:
                raise self.gone
            self._seen = self.insertion
            return InSlot(self.card is not None, (0, self.insertion))

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        if self.gone:
            raise self.gone
        if self.card is None:
            raise NoCard(f"{self.name}: no card")
        self.card.reset()
        yield _Inserted(self, self.card, self.insertion)

    def close(self) -> None: ...

    # --- what the robot does

    def insert(self, card: Connection) -> None:
        self._change(card)

    def remove(self) -> None:
        self._change(None)

    def unplug(self) -> None:
        self.gone = NoReader(f"{self.name}: the reader was unplugged")

    def plug_in(self) -> None:
        """As after pcscd was restarted, too: the card in it counts as put in again."""
        self.gone = None
        self._change(self.card)

    def told(self, line: str) -> None:
        with self._news:
            self.lines.append(line)
            self._news.notify_all()

    def wait_for(self, words: str, since: int, ended: threading.Event | None = None) -> bool:
        """Wait until a line after the first `since` has these words; False if the run ended."""

        def happened() -> bool:
            return any(words in line for line in self.lines[since:])

        with self._news:
            for _ in range(int(_LONG / 0.05)):
                if happened() or self._news.wait_for(happened, 0.05):
                    return True
                if ended is not None and ended.is_set():
                    return False
        raise AssertionError(f"{self.name} did not say {words!r}: {self.lines}")

    def _change(self, card: Connection | None) -> None:
        with self._news:
            self.card, self.insertion = card, self.insertion + 1
            self._news.notify_all()


@dataclass
class _Inserted:
    """One insertion of a card: when the card goes, or another comes, it cannot be used."""

    reader: FedReader
    card: Connection
    insertion: int

    @property
    def atr(self) -> bytes:
        return self.card.atr

    def transmit(self, command: bytes) -> bytes:
        self._check()
        cut = self.reader.cut()
        answer = self.card.transmit(command)
        if cut:
            # The card did the command; nobody hears its answer.
            self.reader.remove()
        self._check()
        return answer

    def reset(self) -> bytes:
        self._check()
        return self.card.reset()

    def _check(self) -> None:
        if self.reader.gone:
            raise self.reader.gone
        if self.reader.insertion != self.insertion:
            raise CardPulledOut(f"{self.reader.name}: the card was pulled out")


def teller(*readers: FedReader) -> Callable[[str], None]:
    """Gives each line to the reader that it names; a line that names none is an error."""

    def tell(line: str) -> None:
        (reader,) = [each for each in readers if line.startswith(f"{each.name}: ")]
        reader.told(line)

    return tell
