"""A feed of readers: a person puts one card after the other into each of them.

Each reader has a thread of its own, its worker. Only one worker at a time has the turn: it gives
the turn up while a card works, and while it waits for a card. So journal, PIN file and batch are
never used by two workers at once, and nothing can happen between two commands to one card but
commands to other cards.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic, Protocol, TypeVar

from cardlib.errors import TransportError
from cardlib.exchange import Around, Connection
from cardlib.transport.pcsc import CardPulledOut, ReaderInUse
from cardlib.transport.slot import InSlot

from .feed import BroughtCard, Wanted, Worked

T = TypeVar("T")

LOOK = 0.25
"""Seconds that a worker waits for a notice of its reader before it looks whether the run ends."""
PATIENCE = 60.0
"""Seconds that a worker waits for a reader or a pcscd that is gone."""
_RETRY = 0.5
_IN_USE_TIME = 3.0
_CONNECT_TIME = 10.0
_HANGING_TIME = 5.0


class Slot(Protocol):
    """A reader that can be watched: `cardlib.transport.slot.PcscSlot`."""

    name: str

    def look(self, seconds: float, /) -> InSlot:
        """What is in the reader, as soon as that changes, or after `seconds`."""
        ...

    def connect(self) -> AbstractContextManager[Connection]:
        """Connect to the card in it, alone."""
        ...

    def close(self) -> None:
        """End the watch."""
        ...


class Turn:
    """What a worker must have to use anything but its card. After `abandon` nobody works on."""

    def __init__(self) -> None:
        self._lock, self._abandoned = threading.Lock(), threading.Event()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Have the turn until the block ends."""
        with self._lock:
            self._check()
            yield

    @contextmanager
    def given_up(self) -> Iterator[None]:
        """Let others have the turn until the block ends."""
        self._lock.release()
        try:
            yield
        finally:
            self._lock.acquire()
        self._check()

    def abandon(self) -> None:
        """Stop every worker before its next command."""
        self._abandoned.set()

    def _check(self) -> None:
        if self._abandoned.is_set():
            raise KeyboardInterrupt


class _CardInHand(Around):
    """Gives the turn up while the card works. The card must stay the same."""

    def __init__(self, connection: Connection, turn: Turn) -> None:
        super().__init__(connection)
        self._turn, self._atr = turn, connection.atr

    def transmit(self, command: bytes) -> bytes:
        with self._turn.given_up():
            return self._connection.transmit(command)

    def reset(self) -> bytes:
        with self._turn.given_up():
            atr = self._connection.reset()
        if atr != self._atr:
            raise CardPulledOut("the card was pulled out, and another one is in the reader")
        return atr


@dataclass(frozen=True, slots=True)
class ReaderCard:
    """The card that a person put into a reader."""

    slot: Slot
    turn: Turn
    made_here = False

    @property
    def where(self) -> str:
        """The reader's name."""
        return f"the card in {self.slot.name}"

    @contextmanager
    def powered(self) -> Iterator[Connection]:
        """Connect to the card; wait a little while another program uses it."""
        end = time.monotonic() + _IN_USE_TIME
        while True:
            try:
                with self.turn.given_up():
                    opened = _connected(self.slot)
                break
            except ReaderInUse:
                if time.monotonic() > end:
                    raise _in_use(self.slot) from None
            with self.turn.given_up():
                time.sleep(_RETRY)
        with opened as connection:
            yield _CardInHand(connection, self.turn)


def _connected(slot: Slot) -> AbstractContextManager[Connection]:
    """Connect to the card in a slot; ReaderInUse if another program keeps it in a transaction.

    pcscd makes the call wait for the other program, and nothing ends that: a thread waits.
    """
    opened = Future[AbstractContextManager[Connection]]()

    def connect() -> None:
        try:
            connection = slot.connect()
        except BaseException as error:  # noqa: BLE001 - for the thread that waits
            if opened.set_running_or_notify_cancel():
                opened.set_exception(error)
            return
        if opened.set_running_or_notify_cancel():
            opened.set_result(connection)
        else:
            with connection:
                pass  # too late: nobody waits for it any more

    threading.Thread(target=connect, name=f"connecting {slot.name}", daemon=True).start()
    try:
        return opened.result(_CONNECT_TIME)
    except TimeoutError:
        if opened.cancel():
            raise _in_use(slot) from None
        return opened.result()


def _in_use(slot: Slot) -> ReaderInUse:
    return ReaderInUse(f"{slot.name}: another program uses the card: close that program")


class ReaderFeed:
    """Brings the cards that people put into readers. A card that failed may be put in again."""

    comes_again = True
    not_brought = "was not inserted"

    def __init__(
        self,
        slots: Sequence[Slot],
        tell: Callable[[str], None],
        *,
        patience: float = PATIENCE,
    ) -> None:
        """Use these readers, each once. `tell` gets each line for the people who feed them.

        `patience` is how long, in seconds, a reader may be gone. `poll` may be set: it is called
        several times a second, in the thread that takes the results. It may raise an exception,
        which stops the run when the cards in hand are finished, or call `end`.
        """
        self._slots, self._tell, self._patience = slots, tell, patience
        self.poll: Callable[[], None] = lambda: None
        self._ending = threading.Event()

    @property
    def name(self) -> str:
        """The readers."""
        return " and ".join(slot.name for slot in self._slots)

    def alone(self) -> AbstractContextManager[None]:
        """Each card is used exclusively while it is worked on; more is not needed."""
        return nullcontext()

    def lying(self) -> tuple[BroughtCard, ...]:
        """None: a card is looked at when its turn comes."""
        return ()

    def put_aside(self, card: BroughtCard) -> None:
        """Nothing to do: no card lies here."""

    @property
    def is_ending(self) -> bool:
        """Whether no more cards are taken."""
        return self._ending.is_set()

    def end(self) -> None:
        """Take no more cards; the cards in hand are finished."""
        self._ending.set()

    def serve(
        self, work: Callable[[BroughtCard], Worked[T]], wanted: Callable[[], Wanted | None]
    ) -> Iterator[T]:
        """Do `work` with the cards that people put in, in all readers at once.

        It ends when nothing is wanted any more, after `end`, or when every reader is gone. What a
        worker raises stops the others, when the cards in their hands are finished.
        """
        turn, results = Turn(), SimpleQueue[T | BaseException | None]()
        jobs = [
            _Worker(slot, turn, results, work, wanted, self._tell, self._ending, self._patience)
            for slot in self._slots
        ]
        threads = [
            threading.Thread(target=job.run, name=job.slot.name, daemon=True) for job in jobs
        ]
        try:
            for thread in threads:
                thread.start()
            yield from self._results(results, len(threads))
        finally:
            self._ending.set()
            _wait_for(threads, turn)

    def _results(
        self, results: "SimpleQueue[T | BaseException | None]", running: int
    ) -> Iterator[T]:
        while running:
            with suppress(Empty):
                found = results.get(timeout=LOOK)
                if found is None:
                    running -= 1
                elif isinstance(found, BaseException):
                    raise found
                else:
                    yield found
            self.poll()


def _wait_for(threads: Sequence[threading.Thread], turn: Turn) -> None:
    """Wait until the cards in hand are finished; an exception, as Ctrl-C raises it, gives up."""
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(LOOK)
    except BaseException:
        turn.abandon()
        end = time.monotonic() + _HANGING_TIME
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        raise


@dataclass(slots=True)
class _Worker(Generic[T]):
    """Serves one reader: asks for a card, works on it, and waits until it was taken out."""

    slot: Slot
    turn: Turn
    results: "SimpleQueue[T | BaseException | None]"
    work: Callable[[BroughtCard], Worked[T]]
    wanted: Callable[[], Wanted | None]
    tell: Callable[[str], None]
    ending: threading.Event
    patience: float
    done_with: tuple[int, int] | None = None
    asked: str | None = None
    gone_since: float | None = None

    def run(self) -> None:
        """Serve until nothing is wanted, the run ends, or the reader stays away."""
        try:
            while not self.ending.is_set() and self._go_on():
                pass
        except BaseException as error:  # noqa: BLE001 - for the thread that takes the results
            self.results.put(error)
        finally:
            self.slot.close()
            self.results.put(None)

    def _go_on(self) -> bool:
        try:
            found = self.slot.look(LOOK)
        except TransportError as error:
            return self._is_missed(error)
        if self.gone_since is not None:
            self.gone_since = None
            self._say("the reader is there again")
        with self.turn.taken():
            wanted = self.wanted()
            if wanted is None:
                return False
            if not found.present:
                self._ask(wanted)
            elif found.insertion != self.done_with:
                self.done_with, self.asked = found.insertion, None
                self._use()
        return True

    def _ask(self, wanted: Wanted) -> None:
        if self.asked != wanted.asks:
            self.asked = wanted.asks
            self._say(wanted.prompt)

    def _use(self) -> None:
        self._say("card inserted; leave it in")
        done = self.work(ReaderCard(self.slot, self.turn))
        self._say(f"{done.words}. Take the card out")
        if done.result is not None:
            self.results.put(done.result)

    def _is_missed(self, error: TransportError) -> bool:
        """Wait a moment for a reader that is gone; False when it was gone too long."""
        now = time.monotonic()
        if self.gone_since is None:
            self.gone_since, self.asked = now, None
            self._say(f"{error}. Waiting {self.patience:.0f} s for it")
        if now - self.gone_since >= self.patience:
            self._say("this reader is not used any more in this run")
            return False
        self.ending.wait(_RETRY)
        return True

    def _say(self, words: str) -> None:
        name = f"{self.slot.name}: "
        self.tell(name + words.replace(name, ""))
