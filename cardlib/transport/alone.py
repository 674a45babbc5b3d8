"""Have a card in a reader for one program alone, from its first command to its last."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from threading import Thread

from .pcsc import (
    RESETS_BORNE,
    CardWasReset,
    PcscConnection,
    Reader,
    ReaderInUse,
    find_reader,
    open_reader,
)

_SOON = 1.0
"""Seconds to wait for another program without a word."""
PATIENCE = 30.0
"""Seconds to wait for another program in all."""

_Opened = Future[tuple[PcscConnection, ExitStack]]


def _say_nothing(_: str) -> None:
    """Tell nobody."""


@contextmanager
def alone_in_reader(
    choice: str | int | None = None,
    waiting: Callable[[str], None] = _say_nothing,
    patience: float = PATIENCE,
) -> Iterator[PcscConnection]:
    """Connect to the card in a reader, chosen as by `find_reader`, and keep other programs out.

    A program that has the card in a transaction is waited for, `patience` seconds at most;
    `waiting` is then told the reader. Raises ReaderInUse after that time, or at once if the other
    program has the card exclusively; and what `open_reader` raises.
    """
    reader, opened = find_reader(choice), _Opened()
    # pcscd makes a call wait for the other program, and no signal ends that: a thread waits.
    Thread(target=_open, args=(reader.name, opened), daemon=True).start()
    try:
        yield _waited_for(reader, opened, waiting, patience)
    finally:
        if not opened.cancel() and opened.exception() is None:
            opened.result()[1].close()


def _waited_for(
    reader: Reader, opened: _Opened, waiting: Callable[[str], None], patience: float
) -> PcscConnection:
    try:
        return opened.result(_SOON)[0]
    except TimeoutError:
        waiting(str(reader))
    try:
        return opened.result(patience - _SOON)[0]
    except TimeoutError:
        raise ReaderInUse(
            f"{reader.name}: another program has kept the card for {patience:g} s: close that"
            " program"
        ) from None


def _open(reader: str, opened: _Opened) -> None:
    """Connect and begin a transaction; leave the card if nobody waits for it any more."""
    try:
        with ExitStack() as stack:
            connection = open_reader(reader)
            # Without a command of ours there is nothing to reset, and others may work by then.
            stack.callback(lambda: connection.close(reset=not opened.cancelled()))
            _begin(connection, stack)
            if opened.set_running_or_notify_cancel():
                opened.set_result((connection, stack.pop_all()))
    except Exception as error:  # noqa: BLE001  # for the thread that waits
        if opened.set_running_or_notify_cancel():
            opened.set_exception(error)


def _begin(connection: PcscConnection, stack: ExitStack) -> None:
    """Begin a transaction; a card that was reset before has no command of ours to forget."""
    for _ in range(RESETS_BORNE):
        with suppress(CardWasReset):
            stack.enter_context(connection.transaction())
            return
        connection.reset()
    stack.enter_context(connection.transaction())
