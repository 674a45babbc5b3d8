"""Messages a second under SCP03, version 1 and version 2, beside yubikit and bare cryptography."""

import sys
from collections.abc import Sequence

from benchmarks import scp03_arrangements as scp03
from benchmarks.rates import rates
from benchmarks.report import Bar, arguments, report
from benchmarks.scp03_arrangements import Call

SIZES = (16, 239)


def measure_scp03() -> tuple[dict[str, float], list[Bar]]:
    """SCP03 wrap and unwrap at 16 and 239 bytes, session set-up."""
    figures: dict[str, float] = {}
    bars: list[Bar] = []

    def compare(what: str, candidates: dict[str, Call], promised: dict[str, float]) -> None:
        found = rates(candidates)
        figures.update({f"{what}, {who}": found.median(who) for who in candidates})
        for floor, bar in promised.items():
            bars.append(Bar.at_least(f"{what} / {floor}", found.ratio("ours", floor), bar))

    for size in SIZES:
        data = bytes(range(size))
        wraps = {
            "ours": scp03.our_wrap(data),
            "yubikit": scp03.yubikit_wrap(data),
            "bare": scp03.bare_wrap(data),
        }
        compare(f"scp03 wrap {size} B", wraps, {"yubikit": 8, "bare": 0.70})
        unwraps = {"ours": scp03.our_unwrap(data), "yubikit": scp03.yubikit_unwrap(data)}
        compare(f"scp03 unwrap {size} B", unwraps, {"yubikit": 6})
    set_ups = {"ours": scp03.our_set_up(), "yubikit": scp03.yubikit_set_up()}
    compare("scp03 set-up", set_ups, {"yubikit": 2.5})
    return figures, bars


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, report, and say by the exit code whether every bar is met."""
    options = arguments(__doc__).parse_args(argv)
    figures, bars = measure_scp03()
    return report(figures, bars, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
