"""Work in a child process of a test, by fork; the kernel ends it after a time.

A fork copies the locks of other threads and of loaded libraries, and some may be held for ever. A
child also keeps the pipes of a run of the tests open, and the run would wait for it without end.
"""

import os
import pickle
import signal
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
_LIMIT = 60


def forked(work: Callable[[], object]) -> int:
    """Begin work in a child; its process id. It exits with 0, or with 1 if the work raises."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(_LIMIT)
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def exit_code(child: int) -> int:
    """Wait for a child; its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def in_child(work: Callable[[], object]) -> int:
    """Do the work in a child; its exit code, negative for a signal."""
    return exit_code(forked(work))


def begin_in_child(work: Callable[[], T]) -> Callable[[], T]:
    """Begin work in a child; the result waits for it, and gives its result or raises its error."""
    reading, writing = os.pipe()

    def answer() -> None:
        os.close(reading)
        try:
            found: tuple[bool, Any] = True, work()
        except BaseException as error:  # noqa: BLE001 - it is raised by whoever waits
            found = False, error
        with os.fdopen(writing, "wb") as file:
            pickle.dump(found, file)

    child = forked(answer)
    os.close(writing)

    def finish() -> T:
        with os.fdopen(reading, "rb") as file:
            told = file.read()
        assert (exit_code(child), bool(told)) == (0, True), "the child gave no result"
        good, found = pickle.loads(told)
        if not good:
            raise found
        result: T = found
        return result

    return finish
