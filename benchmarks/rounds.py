"""How much of the processor single runs take, several kinds in turns, each with a fresh start.

The start is not timed. Time of the processor leaves out what other programs take of it.
"""

import gc
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import process_time

Run = Callable[[], object]
Start = Callable[[], Run]
"""Makes everything that one run needs, and returns the run."""


@dataclass(frozen=True, slots=True)
class Times:
    """The seconds of each candidate in each round."""

    rounds: Mapping[str, tuple[float, ...]]

    def median(self, name: str) -> float:
        """A candidate's time, in s."""
        return statistics.median(self.rounds[name])

    def ratio(self, name: str, other: str) -> float:
        """How much longer one takes than another: the median over the rounds, pair by pair."""
        pairs = zip(self.rounds[name], self.rounds[other], strict=True)
        return statistics.median(time / floor for time, floor in pairs)


def times(candidates: Mapping[str, Start], rounds: int) -> Times:
    """Run the candidates in turns, and take the time of each run."""
    found: dict[str, list[float]] = {name: [] for name in candidates}
    enabled = gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, start in candidates.items():
                run = start()
                begin = process_time()
                run()
                found[name].append(process_time() - begin)
    finally:
        if enabled:
            gc.enable()
    return Times({name: tuple(values) for name, values in found.items()})
