"""The limit of cards in a minute when the clock of the computer is not what it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cardlib.errors import KeysUnavailable
from personalize.custody.jobs import JobBook
from personalize.custody.policy import Caller
from personalize.custody.roles import Role

STATION = Caller("station", 1, frozenset((Role.STATION,)), cards_a_minute=2)


class Clock:
    """A clock that a test sets, in seconds."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def opened(folder: Path, clock: Clock, running: Clock) -> Iterator[JobBook]:
    made = JobBook(folder / "jobs.sqlite", clock, running)
    yield made
    made.close()


def had(book: JobBook, *chips: int) -> None:
    with book.transaction():
        for chip in chips:
            book.count(STATION, chip.to_bytes(8, "big"))


@pytest.mark.parametrize("jump", [-(10**8), -3600, 0, 3600, 10**8])
def test_who_sets_the_clock_of_a_running_agent_changes_no_limit(tmp_path: Path, jump: int) -> None:
    clock, running = Clock(), Clock()
    with opened(tmp_path, clock, running) as book:
        had(book, 1, 2)
        clock.now += jump
        with pytest.raises(KeysUnavailable, match="so many cards in a minute: it had 2"):
            had(book, 3)
        running.now += 61
        had(book, 3, 4)


def test_a_clock_that_was_set_back_before_a_start_stops_nobody_for_more_than_a_minute(
    tmp_path: Path,
) -> None:
    clock, running = Clock(), Clock()
    with opened(tmp_path, clock, running) as book:
        for minute in range(5):
            running.now += 61
            had(book, 2 * minute, 2 * minute + 1)
    clock.now -= 3600
    with opened(tmp_path, clock, running) as book:
        with pytest.raises(KeysUnavailable, match="so many cards in a minute: it had 2"):
            had(book, 10)
        running.now += 61
        had(book, 10, 11)
        assert book.cards_of("station") == 12
