"""How much longer `rhcard --version` and `rhcard read` take than the smallest click program.

All are launchers as pip writes them, run by the same interpreter as whole processes, in
turns, so that a busy machine slows all. The medians are compared, and of `read`, which shows a
card without keys, the runs pair by pair.
"""

import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import Bar, arguments, report
from cardlib.emulator.bench.ready_made import personalized_card
from cardlib.keys.roots import public_test_roots

BAR_MS, READ_BAR = 15.0, 3.0
WARM_UP = 3

# The same shape as the console script that pip writes: a launcher that imports `main`.
LAUNCHER = """#!{python}
import re
import sys
from bare_click import main
if __name__ == '__main__':
    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])
    sys.exit(main())
"""
BARE_CLICK = """import click

@click.group()
@click.version_option("0.1.0", prog_name="bare")
def main() -> None:
    pass

@main.command()
def hello() -> None:
    click.echo("hello")
"""


def main() -> int:
    """Measure, print, and say by the exit code whether the bar is kept."""
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=40, help="runs of each program")
    options = parser.parse_args()
    rhcard = Path(sysconfig.get_path("scripts"), "rhcard")
    if not rhcard.exists():
        parser.error(f"{rhcard.name} is not installed beside this interpreter")
    with tempfile.TemporaryDirectory() as folder:
        bare = write_bare_program(Path(folder))
        programs = {
            "bare": [str(bare), "--version"],
            "rhcard": [str(rhcard), "--version"],
            "read": [str(rhcard), "read", str(write_card(Path(folder)))],
        }
        times = compare(programs, options.runs)
    medians = {name: statistics.median(found) for name, found in times.items()}
    pairs = zip(times["read"], times["bare"], strict=True)
    figures = {
        "rhcard --version, ms": medians["rhcard"],
        "rhcard read, ms": medians["read"],
        "bare click --version, ms": medians["bare"],
        "runs of each": options.runs,
    }
    over_bare = medians["rhcard"] - medians["bare"]
    bars = [
        Bar.at_most("start-up over bare click, ms", over_bare, BAR_MS),
        Bar.at_most(
            "read without keys / bare click",
            statistics.median(read / bare for read, bare in pairs),
            READ_BAR,
        ),
    ]
    return report(figures, bars, as_json=options.json)


def write_bare_program(folder: Path) -> Path:
    """A launcher and its module; click is found where this interpreter finds it."""
    (folder / "bare_click.py").write_text(BARE_CLICK, encoding="utf-8")
    launcher = folder / "bare"
    launcher.write_text(LAUNCHER.format(python=sys.executable), encoding="utf-8")
    launcher.chmod(0o755)
    return launcher


def write_card(folder: Path) -> Path:
    """A personalized software card of version 2 in a file."""
    card = personalized_card(public_test_roots())
    card.save(folder / "one.card")
    card.close()
    return folder / "one.card"


def compare(programs: dict[str, list[str]], runs: int) -> dict[str, list[float]]:
    """Run all programs in turns; the milliseconds of each run."""
    times: dict[str, list[float]] = {name: [] for name in programs}
    for turn in range(WARM_UP + runs):
        for name, command in programs.items():
            elapsed = milliseconds(command)
            if turn >= WARM_UP:
                times[name].append(elapsed)
    return times


def milliseconds(command: Sequence[str]) -> float:
    """Wall time of one whole process; a program that fails is no measurement."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    start = time.perf_counter()
    quiet = subprocess.DEVNULL
    subprocess.run(command, check=True, stdout=quiet, stderr=quiet, env=environment)
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    sys.exit(main())
