"""Preparing and sealing made-up residents: time and memory of each, with and without photos.

`--large` does it with 100,000 residents too, which takes half an hour.

Each measurement is a process of its own, in turns, on residents that it has not seen. The floor is
what the bytes alone cost: each line parsed by csv.DictReader, each cell encoded in GB 18030, one
AES-GCM a resident. It runs in slices between the residents, so that a busy machine slows both;
times are told in floors, by the median of all turns.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from time import process_time
from typing import TypeVar

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks.made_up_residents import draw_photos, write_list
from benchmarks.report import Bar, arguments, report
from cardlib.issuance.local import LocalIssuer
from cardlib.keys.roots import new_roots
from cardlib.keys.store import KeyStore
from personalize.listing.photos import PhotoShop
from personalize.preparation.many_residents import check_list, made_cards
from personalize.preparation.prepare import read_list
from personalize.preparation.seal import seal
from personalize.preparation.workers import InProcess, Processes, Workers
from personalize.sample.sample_batch import ISSUE_DATE

FIRST, WITH_CHECKS = "985b096 (2026-11-23)", "ba34c19 (2026-11-27)"
BEFORE = {FIRST: 21.5, WITH_CHECKS: 21.2}
"""The floors that a resident without photo took before: in the first release's code, and with the
checks of photos, look-alikes and spreadsheets in it. Measured in turns with today's code."""

TIME_SHARE, PHOTO_SHARE, GROWTH, BYTES, JOBS_SHARE = 0.95, 3.8, 1.15, 600, 1.5
FEW, MANY, LARGE, WARM = 1_000, 20_000, 100_000, 50
TURNS, SLICE = 5, 50
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run measured of a resident: CPU s of the floor and of the work, of all processes.

    `memory` is all that the run took, in bytes.
    """

    floor: float
    time: float
    memory: float

    @property
    def floors(self) -> float:
        """The time in floors."""
        return self.time / self.floor


class Floor:
    """The floor, over the first 1,000 residents of a list again and again, in slices."""

    def __init__(self, source: Path) -> None:
        """Take the lines from a list."""
        with source.open(encoding="utf-8", newline="") as file:
            header, *lines = islice(file, 1 + FEW)
        slices = [[header, *lines[at : at + SLICE]] for at in range(0, len(lines), SLICE)]
        self._slices = cycle(slices)
        self._key = AESGCM(bytes(32))
        self.seconds, self.residents = 0.0, 0

    def between(self, items: Iterable[_T]) -> Iterator[_T]:
        """Give the items, and run a slice before every 50th."""
        for number, item in enumerate(items):
            if number % SLICE == 0:
                self.run()
            yield item

    def run(self) -> None:
        """Run a slice."""
        lines = next(self._slices)
        start = process_time()
        for row in csv.DictReader(lines):
            cells = b"".join([text.encode("gb18030") for text in row.values()])
            self._key.encrypt(bytes(12), cells, None)
        self.seconds += process_time() - start
        self.residents += len(lines) - 1


def prepare(source: Path, floor: Floor, workers: Workers | None = None) -> None:
    """Prepare and seal a list as `rhcard prepare --jobs 1` does, with keys in memory."""
    issuer, doing = LocalIssuer(KeyStore(new_roots())), workers or InProcess()
    residents, shop = read_list(source), PhotoShop(source.parent)
    checked = check_list(residents, shop, ISSUE_DATE, doing, lambda _: floor.run())
    assert not checked.faults
    cards = floor.between(made_cards(residents, checked, shop, issuer, ISSUE_DATE, doing))
    with tempfile.TemporaryDirectory() as folder:
        batch = Path(folder, "batch")
        seal(batch, residents, cards, issuer, keys=source, issue_date=ISSUE_DATE)


def prepare_in_two(source: Path, floor: Floor) -> None:
    """The same with two processes beside this one, as `--jobs 2` does."""
    with Processes(2) as workers:
        prepare(source, floor, workers)


def convert_photos(source: Path, floor: Floor) -> None:
    """The photos alone: read and convert each photo of a list, and do nothing else."""
    shop = PhotoShop(source.parent)
    with source.open(encoding="utf-8", newline="") as file:
        for row in floor.between(csv.DictReader(file)):
            shop.jpeg(row["photo_file"])


WORK: Mapping[str, Callable[[Path, Floor], None]] = {
    "prepare": prepare,
    "prepare in two": prepare_in_two,
    "photos": convert_photos,
}


def measured(work: str, source: Path, count: int, warm: Path) -> Measured:
    """Do the work once in this process, after a few other residents."""
    WORK[work](warm, Floor(warm))
    floor, before, start = Floor(source), _most_kilobytes(), _cpu_seconds()
    WORK[work](source, floor)
    seconds = _cpu_seconds() - start - floor.seconds
    bytes_taken = 1000 * (_most_kilobytes() - before)
    return Measured(floor.seconds / floor.residents, seconds / count, bytes_taken)


def _cpu_seconds() -> float:
    """What this process and those that it has ended took."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _most_kilobytes() -> float:
    """The most memory this process had so far, in kB. getrusage would count its parent's too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1.024


def _in_a_process(work: str, source: Path, count: int) -> Measured:
    code = (
        "import json, sys; from dataclasses import astuple; from pathlib import Path;"
        "from benchmarks.preparation import measured; work, source, count, warm = sys.argv[1:];"
        "print(json.dumps(astuple(measured(work, Path(source), int(count), Path(warm)))))"
    )
    warm = source.with_name("warm.csv")
    done = subprocess.run(
        [sys.executable, "-c", code, work, str(source), str(count), str(warm)],
        check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},
    )  # fmt: skip
    return Measured(*json.loads(done.stdout))


def measure(folder: Path, turns: int, *, large: bool) -> dict[str, Measured]:
    """Measure each kind in turns; the median of each figure."""
    most = LARGE if large else MANY
    draw_photos(folder / "photos", most + WARM)
    write_list(folder / "warm.csv", WARM, first=most, photos=True)
    kinds = {
        "few": ("prepare", FEW, False, turns),
        "few with photos": ("prepare", FEW, True, turns),
        "photos alone": ("photos", FEW, True, turns),
        "many": ("prepare", MANY, False, (turns + 1) // 2),
        "many with photos": ("prepare", MANY, True, 1),
        "many, --jobs 2": ("prepare in two", MANY, False, (turns + 1) // 2),
    }
    if large:
        kinds["large"] = ("prepare", LARGE, False, 1)
        kinds["large with photos"] = ("prepare", LARGE, True, 1)
    runs: dict[str, list[Measured]] = {name: [] for name in kinds}
    for turn in range(turns):
        for name, (work, count, photos, wanted) in kinds.items():
            source = folder / f"{count}-{photos}.csv"
            if turn < wanted:
                write_list(source, count, photos=photos)
                runs[name].append(_in_a_process(work, source, count))
    return {name: _median(found) for name, found in runs.items()}


def _median(runs: Sequence[Measured]) -> Measured:
    middle = sorted(runs, key=lambda run: run.floors)[len(runs) // 2]
    return Measured(middle.floor, middle.time, max(run.memory for run in runs))


def bars_of(found: Mapping[str, Measured], *, large: bool) -> list[Bar]:
    """What was promised: the cost of a resident, and that the length of the list changes little."""
    few = found["few"].floors
    with_photos, alone = found["few with photos"].floors, found["photos alone"].floors
    in_two = found["many, --jobs 2"].floors / found["many"].floors
    bars = [
        Bar.at_most(f"time / {FIRST}", few / BEFORE[FIRST], TIME_SHARE),
        Bar.at_most("with a photo each / photos alone", with_photos / alone, PHOTO_SHARE),
        Bar.at_most("CPU of --jobs 2 / --jobs 1", in_two, JOBS_SHARE),
    ]
    for name, count in (("many", MANY), ("large", LARGE))[: 1 + large]:
        for photos in ("", " with photos"):
            first, last = found[f"few{photos}"], found[f"{name}{photos}"]
            title = f"a resident{photos} of {count:,} / {FEW:,}"
            more = (last.memory - first.memory) / (count - FEW)
            bars.append(Bar.at_most(title, last.floors / first.floors, GROWTH))
            bars.append(Bar.at_most(f"bytes for each more{photos}, {count:,}", more, BYTES))
    return bars


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, report, and say by the exit code whether every bar is met."""
    parser = arguments(__doc__)
    parser.add_argument("--turns", type=int, default=TURNS, help="processes of each kind")
    parser.add_argument("--large", action="store_true", help=f"with {LARGE:,} residents too")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), options.turns, large=options.large)
    rates = {f"{name}, a second a core": 1 / each.time for name, each in found.items()}
    figures = rates | {"floor, ms a resident": 1000 * found["few"].floor}
    figures |= {"few, floors": found["few"].floors}
    figures |= {f"time / {WITH_CHECKS}": found["few"].floors / BEFORE[WITH_CHECKS]}
    return report(figures, bars_of(found, large=options.large), as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
