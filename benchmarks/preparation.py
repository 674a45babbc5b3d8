"""Preparing and sealing made-up residents: time and memory of each, with and without photos.

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
from time import perf_counter
from typing import TypeVar

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks.made_up_residents import draw_photos, write_list
from benchmarks.report import Bar, arguments, report
from cardlib.issuance.local import LocalIssuer
from cardlib.keys.roots import new_roots
from cardlib.keys.store import KeyStore
from personalize.listing.photos import PhotoShop
from personalize.preparation.prepare import all_faults, make_all, read_list, validate_all
from personalize.preparation.seal import seal
from personalize.sample.sample_batch import ISSUE_DATE

FIRST, WITH_CHECKS = "985b096 (2026-11-23)", "ba34c19 (2026-11-27)"
BEFORE = {FIRST: 21.5, WITH_CHECKS: 21.2}
"""The floors that a resident without photo took before: in the first release's code, and with the
checks of photos, look-alikes and spreadsheets in it. Measured in turns with today's code."""

TIME_SHARE, PHOTO_SHARE, GROWTH, KILOBYTES = 0.78, 2.0, 1.15, 9.0
FEW, MANY, WARM = 1_000, 20_000, 50
TURNS, SLICE = 5, 50
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Measured:
    """What one process measured of a resident: s of the floor and of the work, kB of memory."""

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
                self._run(next(self._slices))
            yield item

    def _run(self, lines: Sequence[str]) -> None:
        start = perf_counter()
        for row in csv.DictReader(lines):
            cells = b"".join([text.encode("gb18030") for text in row.values()])
            self._key.encrypt(bytes(12), cells, None)
        self.seconds += perf_counter() - start
        self.residents += len(lines) - 1


def prepare(source: Path, floor: Floor) -> None:
    """Prepare and seal a list as `rhcard prepare` does, with keys in memory."""
    store = KeyStore(new_roots())
    residents, shop = read_list(source), PhotoShop(source.parent)
    validated = list(floor.between(validate_all(residents, shop, ISSUE_DATE)))
    assert not all_faults(residents, validated)
    cards = floor.between(make_all(validated, shop, LocalIssuer(store), ISSUE_DATE))
    with tempfile.TemporaryDirectory() as folder:
        batch = Path(folder, "batch")
        seal(batch, residents, cards, LocalIssuer(store), keys=source, issue_date=ISSUE_DATE)


def convert_photos(source: Path, floor: Floor) -> None:
    """The photos alone: read and convert each photo of a list, and do nothing else."""
    shop = PhotoShop(source.parent)
    with source.open(encoding="utf-8", newline="") as file:
        for row in floor.between(csv.DictReader(file)):
            shop.jpeg(row["photo_file"])


WORK: Mapping[str, Callable[[Path, Floor], None]] = {
    "prepare": prepare,
    "photos": convert_photos,
}


def measured(work: str, source: Path, count: int, warm: Path) -> Measured:
    """Do the work once in this process, after a few other residents."""
    WORK[work](warm, Floor(warm))
    floor, before, start = Floor(source), _most_kilobytes(), perf_counter()
    WORK[work](source, floor)
    seconds = perf_counter() - start - floor.seconds
    kilobytes = _most_kilobytes() - before
    return Measured(floor.seconds / floor.residents, seconds / count, kilobytes / count)


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


def measure(folder: Path, turns: int) -> dict[str, Measured]:
    """Measure each kind in turns; the median of each figure."""
    draw_photos(folder / "photos", MANY + WARM)
    write_list(folder / "warm.csv", WARM, first=MANY, photos=True)
    kinds = {
        "few": ("prepare", FEW, False, turns),
        "few with photos": ("prepare", FEW, True, turns),
        "photos alone": ("photos", FEW, True, turns),
        "many": ("prepare", MANY, False, (turns + 1) // 2),
        "many with photos": ("prepare", MANY, True, 1),
    }
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


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, report, and say by the exit code whether every bar is met."""
    parser = arguments(__doc__)
    parser.add_argument("--turns", type=int, default=TURNS, help="processes of each kind")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), options.turns)
    few, many = found["few"].floors, found["many"].floors
    with_photos, alone = found["few with photos"].floors, found["photos alone"].floors
    figures = {f"{name}, ms a resident": 1000 * each.time for name, each in found.items()}
    figures |= {"floor, ms a resident": 1000 * found["few"].floor, "few, floors": few}
    figures |= {f"time / {WITH_CHECKS}": few / BEFORE[WITH_CHECKS]}
    bars = [
        Bar.at_most(f"time / {FIRST}", few / BEFORE[FIRST], TIME_SHARE),
        Bar.at_most("with a photo each / photos alone", with_photos / alone, PHOTO_SHARE),
        Bar.at_most(f"a resident of {MANY:,} / {FEW:,}", many / few, GROWTH),
        Bar.at_most("memory, kB a resident", found["many"].memory, KILOBYTES),
        Bar.at_most("with photos, kB a resident", found["many with photos"].memory, KILOBYTES),
    ]
    return report(figures, bars, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
