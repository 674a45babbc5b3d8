"""How long `rhcard read` of a software card takes with keys, as a whole process.

The keys are those of a software SAM, or of a key agent. Beside them: the smallest click program,
and a read without keys. All run in turns, so that a busy machine slows all.
"""

import json
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.key_agent import running_agent
from benchmarks.report import Bar, arguments, report
from benchmarks.startup import compare, write_bare_program, write_card

BAR_MS = 250.0
RUNS = 20
_SAM_PIN, _PASSPHRASE = "135790", "benchmark of reading"
Program = list[str]


@contextmanager
def with_sam(rhcard: Program, folder: Path, card: Path) -> Iterator[Program]:
    """A read with the SAM of an outpatient desk, which is loaded here."""
    pin, passphrase = folder / "pin", folder / "passphrase"
    pin.write_text(f"{_SAM_PIN}\n", "ascii")
    passphrase.write_text(f"{_PASSPHRASE}\n", "ascii")
    keys, sam = folder / "keys.json", folder / "desk.sam"
    secret = ["--passphrase-file", str(passphrase), "--test-keys"]
    made = ["keys", "new", "--out", str(keys)]
    loaded = ["sam", "issue", "--roles", "outpatient", "--keys", str(keys), "--out", str(sam)]
    for words in (made, [*loaded, "--sam-pin-file", str(pin)]):
        subprocess.run([*rhcard, *words, *secret], check=True, capture_output=True)
    yield [*rhcard, "read", str(card), "--sam", str(sam), "--sam-pin-file", str(pin)]


@contextmanager
def with_agent(rhcard: Program, _: Path, card: Path) -> Iterator[Program]:
    """A read with the keys of an agent that runs and is unlocked."""
    with running_agent() as socket:
        yield ["env", f"RHCARD_AGENT={socket}", *rhcard, "read", str(card)]


READS = {"SAM": with_sam, "agent": with_agent}
"""Each way to have keys, and what makes its command."""


def reading_figures(runs: int = RUNS) -> tuple[dict[str, float], list[Bar]]:
    """Figures and bars, for `benchmarks.report`."""
    rhcard = [str(Path(sysconfig.get_path("scripts"), "rhcard"))]
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        card = write_card(folder)
        programs = {"bare": [str(write_bare_program(folder)), "--version"],
                    "no keys": [*rhcard, "read", str(card)]}  # fmt: skip
        for kind, make in READS.items():
            programs[kind] = stack.enter_context(make(rhcard, folder, card))
        _check(programs)
        times = compare(programs, runs)
    return _figures({name: statistics.median(found) for name, found in times.items()})


def _check(programs: Mapping[str, Program]) -> None:
    """Make sure that a read with keys shows the holder: a refused one would be faster."""
    for kind in READS:
        shown = subprocess.run([*programs[kind], "--json"], check=True, capture_output=True)
        fields = {each["field"]: each["state"] for each in json.loads(shown.stdout)["fields"]}
        if fields["name"] != "value":
            raise SystemExit(f"rhcard read with the {kind}: the name is {fields['name']}")


def _figures(medians: Mapping[str, float]) -> tuple[dict[str, float], list[Bar]]:
    figures = {
        "bare click --version, ms": medians["bare"],
        "rhcard read without keys, ms": medians["no keys"],
    }
    for kind in READS:
        figures[f"rhcard read with {kind} / bare click"] = medians[kind] / medians["bare"]
    bars = [Bar.at_most(f"rhcard read with {kind}, ms", medians[kind], BAR_MS) for kind in READS]
    return figures, bars


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and say by the exit code whether the bar is kept."""
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="runs of each program")
    options = parser.parse_args(argv)
    figures, bars = reading_figures(options.runs)
    return report(figures, bars, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
