"""Many stations as processes, some of them killed: nobody gets two cards, no chip serves twice."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sqlalchemy import func, select

from personalize.register import schema
from personalize.register.bureau import BatchFacts, RegisterReader
from personalize.register.opening import open_reader
from personalize.register.states import CardState, ChipState
from personalize.register.verifying import verify
from personalize.register.view import BatchView
from personalize.register.work import BatchWork
from tests.programs.child import exit_code, forked

from .registers import TAG_KEY, Place, TestSigner, chip, make, place, tag

__all__ = ["place"]

RESIDENTS = 60
TAGS = {tag(f"resident {number}"): number for number in range(1, RESIDENTS + 1)}
BATCHES = [BatchFacts(f"{each}" * 36, TAG_KEY, 1, RESIDENTS) for each in "12"]
KILLED = 2


def station(place: Place, index: int, root: Path) -> Callable[[], None]:
    """A station's work on both batches, in either order; its third chip is spoiled."""

    def work() -> None:
        with place.open(f"station {index}") as register:
            order = BATCHES if index % 2 else BATCHES[::-1]
            works = [BatchWork(register, facts) for facts in order]
            serials = iter(map(chip, range(index * 1000, (index + 1) * 1000)))
            for number, serial in enumerate(serials):
                time.sleep(0.01)  # a reader's work is longer; SQLite lets the others in only so
                (root / f"{index}").write_text(str(number))
                if number == 2 and (held := works[0].take(serial, lambda *_: None)) is not None:
                    works[0].give_up(serial)
                    assert works[0].entry(held).attempt > 1
                elif all(make(each, serial) is None for each in works):
                    return

    return work


def begun(root: Path, index: int) -> bool:
    with suppress(OSError, ValueError):
        return int((root / f"{index}").read_text()) >= 3
    return False


def test_every_resident_gets_one_card_although_stations_work_at_once_and_are_killed(
    place: Place, tmp_path: Path
) -> None:
    with place.open("clerk") as clerk:
        for facts in BATCHES:
            clerk.enter(facts, TAGS)
    count = 3 if "://" not in place.where else 4
    children = {index: forked(station(place, index, tmp_path)) for index in range(1, count + 1)}
    for index in range(1, KILLED + 1):
        until = time.monotonic() + 20
        while not begun(tmp_path, index) and time.monotonic() < until:
            time.sleep(0.005)
        assert begun(tmp_path, index)
        os.kill(children[index], signal.SIGKILL)
    codes = [exit_code(child) for child in children.values()]
    assert codes[KILLED:] == [0] * (count - KILLED)
    for index in range(1, KILLED + 1):
        place.open(f"station {index}").close()
    with open_reader(place.where) as reader:
        assert verify(reader, TestSigner()).faults == ()
        check_cards(reader, bound=KILLED)


def check_cards(reader: RegisterReader, bound: int) -> None:
    """Each resident has one card in use; only those of killed stations are not active."""
    states = [each for facts in BATCHES for each in BatchView(reader, facts).entries()]
    of_residents = Counter(each.number for each in states if each.state is not CardState.PREPARED)
    assert of_residents == dict.fromkeys(range(1, RESIDENTS + 1), 1)
    done = (CardState.PREPARED, CardState.ACTIVE)
    unfinished = [each for each in states if each.state not in done]
    assert len(unfinished) <= bound
    query = select(schema.chip.c.state, func.count()).group_by(schema.chip.c.state)
    chips = {row[0]: row[1] for row in reader.read(lambda c: c.execute(query).all())}
    assert chips[ChipState.USED] == RESIDENTS - len(unfinished)
    assert chips.get(ChipState.ASSIGNED, 0) == len(unfinished)
