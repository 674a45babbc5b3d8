"""Ends a command in order when it is told to stop: Ctrl-C (SIGINT), SIGTERM, SIGHUP."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], None]

_ALL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signalled(KeyboardInterrupt):
    """A signal told the program to stop. `number` is the signal's."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)


def _stop(number: int, _: FrameType | None) -> None:
    raise Signalled(number)


@contextmanager
def handled(handler: Handler = _stop) -> Iterator[None]:
    """Call `handler` for each of the signals, until the block ends.

    A signal that the caller of this program ignores (nohup, a job in the background) stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _ALL}
    ours = [number for number, was in before.items() if was is not signal.SIG_IGN]
    try:
        for number in ours:
            signal.signal(number, handler)
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])


@contextmanager
def held_back() -> Iterator[Callable[[], None]]:
    """Hold the first signal back until the function that this gives is called; it then stops.

    The second signal stops at once.
    """
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if received:
            _stop(number, frame)
        received.append(number)

    def let_through() -> None:
        if received:
            raise Signalled(received[0])

    with handled(note):
        yield let_through


def number_behind(error: BaseException | None) -> int:
    """Return the signal that an error came from; SIGINT if it is not known."""
    while error is not None:
        if isinstance(error, Signalled):
            return error.number
        error = error.__context__
    return signal.SIGINT
