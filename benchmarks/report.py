"""What every benchmark prints, and its exit code: 0 if all bars are met, else 1."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Bar:
    """One promise: a figure, and the limit that it has to keep."""

    name: str
    value: float
    bar: float
    ok: bool

    @classmethod
    def at_most(cls, name: str, value: float, bar: float) -> "Bar":
        """A figure that must not be larger than its bar (a time, a size)."""
        return cls(name, round(value, 3), bar, value <= bar)

    @classmethod
    def at_least(cls, name: str, value: float, bar: float) -> "Bar":
        """A figure that must not be smaller than its bar (a rate)."""
        return cls(name, round(value, 3), bar, value >= bar)


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark has; a benchmark adds its own."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    return parser


def report(figures: Mapping[str, float], bars: Sequence[Bar], *, as_json: bool) -> int:
    """Print the figures and bars of one run; return the exit code."""
    figures = {name: round(value, 3) for name, value in figures.items()}
    if as_json:
        print(json.dumps({"figures": figures, "bars": [asdict(bar) for bar in bars]}, indent=2))
    else:
        for name, value in figures.items():
            print(f"{name:<32} {value:>12,.3f}")
        for bar in bars:
            print(f"{bar.name:<32} {bar.value:>12,.3f}  bar {bar.bar:g}  {_verdict(bar)}")
    return 0 if all(bar.ok for bar in bars) else 1


def _verdict(bar: Bar) -> str:
    return "ok" if bar.ok else "FALLS SHORT"
