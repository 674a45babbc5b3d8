"""Cards a minute of issuing in pcscd's virtual readers, beside the same in one process.

Each slot is served by a process of its own, which puts the next blank in when it is told to. A
virtual card cannot be changed faster than pcscd looks for it (every 0.4 s), so the time that a card
is worked on is told apart from the time of the whole run.
"""

import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter

from benchmarks.bureau import sealed
from benchmarks.report import Bar, arguments, report
from cardlib.emulator import SoftwareCard
from cardlib.emulator.bench.virtual_reader import FIRST_PORT, VirtualReader
from cardlib.issuance.local import LocalIssuer
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.transport.slot import PcscSlot
from personalize.production.feed import Feed
from personalize.production.issue import issue
from personalize.production.job import opened_job
from personalize.production.reader_feed import ReaderFeed
from personalize.production.report import throughput
from personalize.production.station import FolderFeed
from tests.programs.pcscd import SLOTS, CannotStart, running_pcscd

PROTOCOL, TOGETHER = 2, 1.7
COUNTS = {1: "1 reader", 2: "2 readers"}


def serve_blanks(port: int) -> None:
    """Put a new blank into a slot at "in", take it out at "out", until stdin ends."""
    store = KeyStore(public_test_roots(PROTOCOL))
    with VirtualReader(port) as reader:
        for order in sys.stdin:
            if order == "out\n":
                reader.remove()
                continue
            chip = secrets.token_bytes(8)
            reader.insert(SoftwareCard.blank(chip, store.blank_keys(chip)))


class Robot:
    """Serves one slot from another process."""

    def __init__(self, port: int) -> None:
        call = f"from benchmarks import issue_pcsc as m; m.serve_blanks({port})"
        self._process = subprocess.Popen(
            [sys.executable, "-c", call],
            cwd=Path(__file__).parents[1], stdin=subprocess.PIPE, text=True,
        )  # fmt: skip

    def put(self, where: str) -> None:
        """Put the next card in, or take the card out."""
        if self._process.stdin is not None:
            self._process.stdin.write(f"{where}\n")
            self._process.stdin.flush()

    def end(self) -> None:
        """Take the card out."""
        self._process.communicate()


@contextmanager
def fed(count: int) -> Iterator[Feed]:
    """So many of pcscd's slots, each fed by a robot."""
    with ExitStack() as stack:
        robots = {}
        for number, name in enumerate(SLOTS[:count]):
            robots[name] = Robot(FIRST_PORT + number)
            stack.callback(robots[name].end)

        def tell(line: str) -> None:
            name = next(name for name in robots if line.startswith(name))
            if "insert a blank" in line:
                robots[name].put("in")
            elif line.endswith("Take the card out"):
                robots[name].put("out")

        yield ReaderFeed([PcscSlot(name) for name in robots], tell)


def rates(name: str, feed: Feed, folder: Path, issuer: KeyStore) -> dict[str, float]:
    """Issue the sample; cards a minute of the work alone, and of the whole run."""
    batch = sealed(folder, issuer)
    start = perf_counter()
    with opened_job(batch, LocalIssuer(issuer), feed, test_keys=True) as job:
        results = list(issue(job))
    seconds = perf_counter() - start
    if any(each.problem for each in results):
        raise AssertionError
    return {
        f"{name}, card in, 1/min": throughput(results).cards_a_minute,
        f"{name}, whole run, 1/min": 60 * len(results) / seconds,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report; without pcscd only what is in one process."""
    options = arguments(__doc__).parse_args(argv)
    issuer = KeyStore(public_test_roots(PROTOCOL))
    bars: list[Bar] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = rates("in process", FolderFeed(folder / "cards", issuer), folder / "0", issuer)
        try:
            with running_pcscd():
                for count, words in COUNTS.items():
                    with fed(count) as feed:
                        figures |= rates(f"pcscd, {words}", feed, folder / str(count), issuer)
            one, two = (figures[f"pcscd, {words}, whole run, 1/min"] for words in COUNTS.values())
            bars.append(Bar.at_least("two readers at once / one", two / one, TOGETHER))
        except CannotStart as reason:
            print(f"not through pcscd: {reason}", file=sys.stderr)
    return report(figures, bars, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
