"""How many times a second something runs, several things in turns so that they share the noise."""

import gc
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter

ROUNDS = 101
SLICE_SECONDS = 0.006


@dataclass(frozen=True, slots=True)
class Rates:
    """Calls a second, 1/s, of each candidate in each round."""

    rounds: Mapping[str, tuple[float, ...]]

    def median(self, name: str) -> float:
        """A candidate's rate."""
        return statistics.median(self.rounds[name])

    def ratio(self, name: str, floor: str) -> float:
        """How many times as fast one is as another: the median over the rounds, pair by pair."""
        pairs = zip(self.rounds[name], self.rounds[floor], strict=True)
        return statistics.median(rate / other for rate, other in pairs)


def rates(
    candidates: Mapping[str, Callable[[], object]],
    rounds: int = ROUNDS,
    slice_seconds: float = SLICE_SECONDS,
) -> Rates:
    """Run the candidates in turns, a short slice each, and count calls."""
    counts = {name: _calibrated(call, slice_seconds) for name, call in candidates.items()}
    found: dict[str, list[float]] = {name: [] for name in candidates}
    enabled = gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, call in candidates.items():
                found[name].append(counts[name] / _seconds(call, counts[name]))
    finally:
        if enabled:
            gc.enable()
    return Rates({name: tuple(values) for name, values in found.items()})


def _calibrated(call: Callable[[], object], slice_seconds: float) -> int:
    count = 4
    while (elapsed := _seconds(call, count)) < slice_seconds / 4:
        count *= 2
    return max(1, round(count * slice_seconds / elapsed))


def _seconds(call: Callable[[], object], count: int) -> float:
    start = perf_counter()
    for _ in range(count):
        call()
    return perf_counter() - start
