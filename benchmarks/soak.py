"""What takes too long for every test run: `python -m benchmarks.soak [--share 0.01] [--json]`.

A man in the middle of each protocol, 100,000 runs, who may not alter anything that is accepted; a
fuzzer that sends 1,000,000 commands from each of three seeds to software cards of both
specifications, blank and issued; 20,000 card images that were changed, with right checksums, and
are then used; and 300 random walks of a bureau whose readers are fed by hand. `--share` does a
part of it. A figure is what was done, a bar what was accepted or found, which must be nothing.
"""

import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import Bar, arguments, report
from tests.attacks.bureau_walk import walk
from tests.attacks.fuzz.oracle import Problem
from tests.attacks.fuzz.runner import Found, run
from tests.attacks.man_in_the_middle import PROTOCOLS, Accepted, run_of, runs
from tests.attacks.mutated_images import attack

MAN_IN_THE_MIDDLE_RUNS = 100_000
FUZZED_COMMANDS = 1_000_000
CHANGED_IMAGES = 20_000
BUREAU_WALKS = 300
SEEDS = (1, 2, 3)


def man_in_the_middle(protocol: str, count: int) -> tuple[dict[str, float], Bar]:
    """Attack a protocol's sessions; how often he altered something, and whether it was accepted."""
    try:
        seen = runs(run_of(protocol), count)
    except Accepted as accepted:
        sys.stderr.write(f"{protocol}: {accepted}\n")
        return {}, Bar.at_most(f"{protocol}, alterations accepted", 1, 0)
    figures: dict[str, float] = {f"{protocol}, {name}": n for name, n in seen.items()}
    return figures | {f"{protocol}, runs": count}, Bar.at_most(
        f"{protocol}, alterations accepted", 0, 0
    )


def fuzz(seed: int, count: int) -> tuple[dict[str, float], Bar]:
    """Send commands at random; how many were sent, and whether a card did what it must not."""
    sent, found = 0, 0
    try:
        for number in run(count, seed):
            sent = number
    except Found as finding:
        sys.stderr.write(f"fuzz, seed {seed}: {finding}\n")
        found = 1
    return {f"fuzz seed {seed}, commands": sent}, Bar.at_most(f"fuzz seed {seed}, found", found, 0)


def images(count: int) -> tuple[dict[str, float], Bar]:
    """Change images and use their cards; how many opened, and whether one broke its card."""
    opened, found = 0, 0
    with tempfile.TemporaryDirectory(prefix="rhcard-soak-") as folder:
        for seed in range(count):
            try:
                opened += attack(Path(folder, "changed.card"), seed)
            except Problem as problem:
                sys.stderr.write(f"changed image {seed}: {problem}\n")
                found += 1
    return {"changed images": count, "changed images, opened": opened}, Bar.at_most(
        "changed images, found", found, 0
    )


def walks(count: int) -> tuple[dict[str, float], Bar]:
    """Walk through a bureau; what happened there, and how often a card was not right at the end."""
    seen, found = Counter[str](), 0
    for seed in range(count):
        try:
            seen += walk(seed)
        except AssertionError as problem:
            sys.stderr.write(f"bureau walk {seed}: {problem}\n")
            found += 1
    figures: dict[str, float] = {f"bureau walks, {name}": number for name, number in seen.items()}
    return figures | {"bureau walks": count}, Bar.at_most("bureau walks, found", found, 0)


def main(argv: Sequence[str] | None = None) -> int:
    """Do it all, report, and say by the exit code whether nothing was found."""
    parser = arguments(__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="how much of it to do, 0 to 1")
    options = parser.parse_args(argv)
    figures: dict[str, float] = {}
    bars: list[Bar] = []
    for protocol in PROTOCOLS:
        more, bar = man_in_the_middle(protocol, round(MAN_IN_THE_MIDDLE_RUNS * options.share))
        figures |= more
        bars.append(bar)
    for seed in SEEDS:
        more, bar = fuzz(seed, round(FUZZED_COMMANDS * options.share))
        figures |= more
        bars.append(bar)
    more, bar = images(round(CHANGED_IMAGES * options.share))
    figures |= more
    bars.append(bar)
    more, bar = walks(round(BUREAU_WALKS * options.share))
    figures |= more
    bars.append(bar)
    return report(figures, bars, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
