"""Processes that work on chunks: in order, with nothing of ours, and gone when we are."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cardlib.errors import CardError, FormatError
from personalize.preparation.workers import Processes, WorkerDied, WorkerFault
from tests.programs.rhcard import spawned


@pytest.fixture(scope="module")
def two() -> Iterator[Processes]:
    with Processes(2) as workers:
        yield workers


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_for_the_end_of(*pids: int) -> None:
    until = time.monotonic() + 20
    while any(map(is_alive, pids)):
        assert time.monotonic() < until, "a process is left behind"
        time.sleep(0.01)


def test_results_come_in_order_and_few_chunks_are_held(two: Processes) -> None:
    asked: list[int] = []

    def chunks() -> Iterator[float]:
        for number in range(30):
            asked.append(number)
            yield 0.01 * (number % 3 == 0)

    for number, (chunk, result) in enumerate(two.run(time.sleep, chunks())):
        assert (chunk, result) == (0.01 * (number % 3 == 0), None)
        assert len(asked) <= number + 10


def test_a_worker_has_none_of_our_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The passphrase of a key store may stand in the environment."""
    monkeypatch.setenv("RHCARD_PASSPHRASE", "secret")
    monkeypatch.setenv("OTHER", "1")
    with Processes(1) as workers:
        names = ["RHCARD_PASSPHRASE", "OTHER"]
        assert [found for _, found in workers.run(os.getenv, names)] == [None, "1"]
    assert os.environ["RHCARD_PASSPHRASE"] == "secret"


def test_what_is_wrong_with_a_row_is_raised_here(two: Processes) -> None:
    with pytest.raises(FormatError, match="no hex"), Processes(1) as workers:
        list(workers.run(raised, [FormatError("no hex")]))


def test_an_error_of_the_program_is_named_without_its_text() -> None:
    """The text may hold a resident's data."""
    with pytest.raises(WorkerFault) as caught, Processes(1) as workers:
        list(workers.run(int, ["王小明"]))
    assert "ValueError" in str(caught.value)
    assert "王小明" not in str(caught.value)


def raised(error: CardError) -> None:
    raise error


def test_a_worker_that_dies_is_one_clear_error_and_ends_the_others() -> None:
    number = signal.SIGKILL
    with Processes(2) as workers:
        pids = [found for _, found in workers.run(eval, ["__import__('os').getpid()"] * 8)]
        with pytest.raises(WorkerDied, match=r"was ended \(signal 9\)"):
            list(workers.run(signal.raise_signal, [number, signal.SIGURG]))
    wait_for_the_end_of(*pids)


def test_workers_end_when_we_are_killed() -> None:
    program = (
        "import os, signal; from personalize.preparation.workers import Processes\n"
        "with Processes(2) as workers:\n"
        "    found = [r for _, r in workers.run(eval, [\"__import__('os').getpid()\"] * 8)]\n"
        "    print(*set(found), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    process = spawned(program=program)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    wait_for_the_end_of(*map(int, out.split()))


def test_a_worker_that_was_stopped_by_a_signal_to_all_leaves_the_word_to_us() -> None:
    """Ctrl-C reaches all processes of a terminal: the workers say nothing."""
    program = (
        "import os, sys; from personalize.preparation.workers import Processes\n"
        "with Processes(2) as workers:\n"
        "    print('ready', flush=True)\n"
        "    list(workers.run(eval, [\"__import__('time').sleep(30)\"] * 2))\n"
    )
    process = spawned(program=f"import os; os.setpgid(0, 0)\n{program}")
    assert process.stdout and process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert err.count("Traceback") == 1, sys.stderr.write(err)
