"""Work on chunks of rows in several processes of this machine, with the results in order.

A worker begins with nothing of ours: no key, no passphrase, no open file but its end of one pipe.
It ends when that pipe does, whatever ended us.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from traceback import extract_tb
from types import TracebackType
from typing import Any, Protocol, TypeVar

from cardlib.errors import CardError

_Chunk = TypeVar("_Chunk")
_Result = TypeVar("_Result")
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_OUR_SETTINGS = "RHCARD_"
_HELD = 4
"""How many chunks for each process may be given and not yet used: a slow one holds up the rest."""

_END_SECONDS, _SIGNAL_SECONDS = 5.0, 0.2


class WorkerDied(CardError):
    """A process that prepares a part of the list has ended before its work was done."""


class WorkerFault(CardError):
    """An error in this program, in a process that prepares a part of the list."""


class Workers(Protocol):
    """Who does work on chunks: this process, others of this machine, or a cluster."""

    def run(
        self, work: Callable[[_Chunk], _Result], chunks: Iterable[_Chunk]
    ) -> Iterator[tuple[_Chunk, _Result]]:
        """Give each chunk with its result, in order. Only a few chunks are held at a time."""
        ...


class InProcess:
    """This process does the work itself."""

    def run(
        self, work: Callable[[_Chunk], _Result], chunks: Iterable[_Chunk]
    ) -> Iterator[tuple[_Chunk, _Result]]:
        """Give each chunk with its result, in order."""
        for chunk in chunks:
            yield chunk, work(chunk)


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a chunk has no result: what to raise, or where this program has an error.

    The text of an unexpected error stays where it is: it may hold a resident's data.
    """

    error: CardError | None
    place: str = ""

    def raised(self) -> CardError:
        """What to raise for it."""
        return self.error or WorkerFault(
            f"an error in rhcard itself, please report it: {self.place}"
        )


def failed(error: Exception) -> Failed:
    """What to tell of an exception to another process."""
    if isinstance(error, CardError):
        return Failed(error)
    frames = extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return Failed(None, f"{type(error).__name__}{place}")


class _Process:
    """One worker, and our end of its pipe."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, self._its_end = context.Pipe()
        self.process: SpawnProcess = context.Process(
            target=_serve, args=(self._its_end,), name="rhcard prepare", daemon=True
        )
        self.work: object = None
        self.chunk: tuple[int, Any] | None = None

    def start(self) -> None:
        """Start it. It takes no signal that is meant for us, not even while it starts."""
        self.process.start()
        self._its_end.close()

    def give(self, work: object, number: int, chunk: object) -> None:
        """Have it work on a chunk. The work is sent only if it is another one than before."""
        self.chunk = number, chunk
        try:
            self.pipe.send((None if work is self.work else work, chunk))
        except OSError:
            raise self._died() from None
        self.work = work

    def take(self) -> tuple[int, Any, Any]:
        """The number of its chunk, the chunk, and the result."""
        assert self.chunk
        try:
            result = self.pipe.recv()
        except (EOFError, OSError):
            raise self._died() from None
        if isinstance(result, Failed):
            raise result.raised()
        number, chunk = self.chunk
        self.chunk = None
        return number, chunk, result

    def end(self) -> None:
        """End it at once."""
        self.pipe.close()
        if self.process.pid is not None:
            self.process.kill()
            self.process.join(_END_SECONDS)

    def _died(self) -> WorkerDied:
        self.process.join(_END_SECONDS)
        code = self.process.exitcode or 0
        if -code in _STOPS:
            # Whoever ends all processes of a group ends us too, in this moment.
            time.sleep(_SIGNAL_SECONDS)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return WorkerDied(
            f"a process that prepares a part of the list was ended ({how}). Perhaps the memory was"
            " used up: start the command again, with fewer --jobs if it happens again"
        )


class Processes:
    """Processes of this machine. Leave the block, and all have ended."""

    def __init__(self, count: int) -> None:
        """Use `count` processes, which start with the block."""
        self._all = [_Process() for _ in range(count)]

    def __enter__(self) -> "Processes":
        try:
            with _signals_held_back(), _without_our_settings():
                for each in self._all:
                    each.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def run(
        self, work: Callable[[_Chunk], _Result], chunks: Iterable[_Chunk]
    ) -> Iterator[tuple[_Chunk, _Result]]:
        """Give each chunk with its result, in order.

        Raises WorkerDied when a process ends, and what `work` raised if it is a CardError.
        """
        idle, busy = list(self._all), dict[Connection, _Process]()
        done: dict[int, tuple[_Chunk, _Result]] = {}
        numbered, wanted = enumerate(chunks), 0
        try:
            while True:
                while idle and len(busy) + len(done) < _HELD * len(self._all):
                    found = next(numbered, None)
                    if found is None:
                        break
                    worker = idle.pop()
                    worker.give(work, *found)
                    busy[worker.pipe] = worker
                if wanted in done:
                    yield done.pop(wanted)
                    wanted += 1
                    continue
                if not busy:
                    return
                for pipe in wait([*busy]):
                    assert isinstance(pipe, Connection)
                    worker = busy.pop(pipe)
                    number, chunk, result = worker.take()
                    done[number] = chunk, result
                    idle.append(worker)
        finally:
            if busy:
                self._end()

    def _end(self) -> None:
        for each in self._all:
            each.end()


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Keep signals from what is started in this block; they reach us after it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _without_our_settings() -> Iterator[None]:
    """Have no setting of ours in the environment: a passphrase may be one of them."""
    ours = {name: text for name, text in os.environ.items() if name.startswith(_OUR_SETTINGS)}
    try:
        for name in ours:
            del os.environ[name]
        yield
    finally:
        os.environ.update(ours)


def _serve(pipe: Connection) -> None:
    """Work on one chunk after the other until the pipe ends."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
    work: Callable[[Any], Any] | None = None
    while True:
        try:
            given, chunk = pipe.recv()
            work = given or work
            assert work
            pipe.send(result_of(work, chunk))
        except (EOFError, OSError):
            return


def result_of(work: Callable[[Any], Any], chunk: Any) -> Any:
    """The result of the work, or why there is none."""
    try:
        return work(chunk)
    except Exception as error:  # noqa: BLE001  # it is raised where the result is wanted
        return failed(error)
