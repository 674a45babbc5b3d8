"""Issuing and checking a card on one core: beside the card alone, and beside the code of before.

The floor is the card alone: the same APDUs, replayed raw on a card that is in the same state and
has the same random numbers. A faster card lowers that share, so the check's time is also counted
in calls of a bare card, and compared with the count of the code of before (2026-11-23).
"""

import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from benchmarks.emulator import READ_BINARY, bare_card
from benchmarks.report import Bar, arguments, report
from benchmarks.rounds import Run, Start, times
from cardlib.checks.verify import verify_card
from cardlib.crypto import Cipher
from cardlib.emulator import SoftwareCard
from cardlib.emulator.chip.memory import Memory
from cardlib.exchange import Connection, observed
from cardlib.facts import ChipSerial, Pin
from cardlib.issuance import personalize
from cardlib.issuance.local import LocalIssuer
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.layout.load import records
from cardlib.transport.meter import Figures, Meter
from personalize.listing.photos import PhotoShop
from personalize.preparation.batch import Batch
from personalize.preparation.prepare import ResidentList, make_all, read_list, validate_all
from personalize.preparation.prepared import PreparedCard
from personalize.preparation.seal import seal
from personalize.production.issue import issue
from personalize.production.job import opened_job
from personalize.production.station import FolderFeed
from personalize.sample.sample_batch import ISSUE_DATE, SAMPLE

CHIP, PIN = ChipSerial(b"MEASURED"), Pin("802143")
SEED = 1
ROUNDS = 151
BARE_CALLS = 20_000


@dataclass(frozen=True, slots=True)
class Version:
    """One kind of card, its bars, and how many bare-card calls the check of before took."""

    name: str
    protocol: int
    check_share: float
    of_before: float
    before: float


VERSIONS = (
    Version("v2 SM4", 2, 0.42, 0.72, 51_500),
    Version("v1 SM4", 1, 0.38, 0.45, 26_900),
)
PERSONALIZATION_SHARE = 0.58
ISSUED_APDUS = 230
TWO_AT_ONCE = 1.7
BATCHES, SAMPLE_SIZE = 4, 50
STATION_ROUNDS = 3


class Bureau:
    """One prepared card, and how it is personalized and checked on seeded software cards."""

    def __init__(self, protocol: int) -> None:
        self.keys = KeyStore(public_test_roots(protocol, Cipher.SM4))
        prepared = _prepared(self.keys)[1][0]
        self.loaded = records(prepared.groupings, CHIP)
        self.groupings = [
            *self.loaded.items(), *self.keys.groupings(CHIP, prepared.region, PIN)
        ]  # fmt: skip
        self.transport, self.issuer = self.keys.transport_keys(CHIP), self.keys.issuer_keys(CHIP)
        made = self.blank()
        self.personalize(made)
        self.pages = made.memory.pages

    def blank(self) -> SoftwareCard:
        """A blank card with random numbers that are the same in every run."""
        return SoftwareCard.blank(CHIP, self.keys.blank_keys(CHIP), seed=SEED)

    def personalized(self) -> SoftwareCard:
        """A card that is personalized and not active yet, in the same state in every run."""
        return SoftwareCard(Memory(dict(self.pages)), random.Random(SEED).randbytes)

    def personalize(self, card: Connection) -> None:
        """Load the card, as `rhcard issue` does."""
        personalize(card, self.transport, self.issuer, self.groupings)

    def check(self, card: Connection) -> None:
        """Check the card before its activation, as `rhcard issue` does."""
        keys = self.keys.terminal_keys
        found = verify_card(card, keys, self.loaded, CHIP, active=False, pin=PIN)
        if found.findings:
            raise AssertionError(found.findings)


def work(make: Callable[[], SoftwareCard], act: Callable[[Connection], object]) -> Start:
    """Runs of one piece of work, each on a card of its own."""

    def start() -> Run:
        card = make()
        return lambda: act(card)

    return start


def replay(make: Callable[[], SoftwareCard], act: Callable[[Connection], object]) -> Start:
    """Runs of the same APDUs and resets, sent raw to cards that are in the same state."""
    recorder = _Recorder(make())
    act(recorder)
    sent = recorder.sent

    def start() -> Run:
        card = make()

        def run() -> None:
            transmit, reset = card.transmit, card.reset
            for raw in sent:
                if raw:
                    transmit(raw)
                else:
                    reset()

        return run

    return start


class _Recorder:
    """A connection that keeps what is sent; an empty command is a reset."""

    def __init__(self, card: SoftwareCard) -> None:
        self._card = card
        self.sent: list[bytes] = []

    @property
    def atr(self) -> bytes:
        return self._card.atr

    def reset(self) -> bytes:
        self.sent.append(b"")
        return self._card.reset()

    def transmit(self, command: bytes) -> bytes:
        self.sent.append(command)
        return self._card.transmit(command)


def bare() -> Run:
    """Calls of the bare card of benchmarks.emulator: the unit in which times are counted."""
    transmit = bare_card()

    def run() -> None:
        for _ in range(BARE_CALLS):
            transmit(READ_BINARY)

    return run


def measure_cards(version: Version, rounds: int) -> tuple[dict[str, float], list[Bar]]:
    """Personalization and check beside their replays and beside the bare card."""
    bureau = Bureau(version.protocol)
    found = times(
        {
            "personalize": work(bureau.blank, bureau.personalize),
            "personalize raw": replay(bureau.blank, bureau.personalize),
            "check": work(bureau.personalized, bureau.check),
            "check raw": replay(bureau.personalized, bureau.check),
            "bare": bare,
        },
        rounds,
    )
    name, count = version.name, BARE_CALLS * found.ratio("check", "bare")
    made, checked = (_figures(bureau.blank, bureau.personalize),
                     _figures(bureau.personalized, bureau.check))  # fmt: skip
    both = made + checked
    figures = {
        f"{name}: personalize, ms": 1000 * found.median("personalize"),
        f"{name}: check, ms": 1000 * found.median("check"),
        f"{name}: check, bare-card calls": count,
        f"{name}: APDUs to personalize": made.commands,
        f"{name}: APDUs to check": checked.commands,
        f"{name}: bytes both ways": both.bytes_both_ways,
        f"{name}: a real card, s": both.card_ms / 1000,
    }
    share = found.ratio
    bars = [
        Bar.at_least(f"{name}: personalize, share of raw replay",
                     share("personalize raw", "personalize"), PERSONALIZATION_SHARE),
        Bar.at_least(f"{name}: check, share of raw replay",
                     share("check raw", "check"), version.check_share),
        Bar.at_most(f"{name}: check / before", count / version.before, version.of_before),
        Bar.at_most(f"{name}: APDUs to issue and check", both.commands, ISSUED_APDUS),
    ]  # fmt: skip
    return figures, bars


def _figures(make: Callable[[], SoftwareCard], act: Callable[[Connection], object]) -> Figures:
    meter = Meter()
    with observed(make(), meter) as card:
        act(card)
    return meter.figures


def measure_stations() -> tuple[dict[str, float], list[Bar]]:
    """Two processes that issue at once, each its own batches, beside one that issues alone."""
    ratios, alone = [], []
    for _ in range(STATION_ROUNDS):
        alone += _seconds(1)
        ratios.append(2 * alone[-1] / max(_seconds(2)))
    cards_a_minute = 60 * BATCHES * SAMPLE_SIZE / statistics.median(alone)
    figures = {"one station, cards a minute": cards_a_minute}
    ratio = statistics.median(ratios)
    return figures, [Bar.at_least("two stations at once / one", ratio, TWO_AT_ONCE)]


def _seconds(stations: int) -> list[float]:
    """Start stations, let all of them begin at once, and return the time of each."""
    command = [sys.executable, "-c", "from benchmarks.bureau import station; station()"]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(stations)
    ]
    for each in started:
        assert each.stdout is not None
        each.stdout.readline()
    for each in started:
        assert each.stdin is not None
        each.stdin.write("begin\n")
        each.stdin.flush()
    return [float(each.communicate()[0]) for each in started]


def station() -> None:
    """Seal some batches, wait for a line, issue them, and print how many seconds that took."""
    issuer = KeyStore(public_test_roots(2))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        batches = [sealed(folder / f"batch-{n}", issuer) for n in range(BATCHES)]
        print("ready", flush=True)
        sys.stdin.readline()
        start = perf_counter()
        for batch in batches:
            feed = FolderFeed(folder / f"{batch.folder.name}-cards", issuer)
            with opened_job(batch, LocalIssuer(issuer), feed, test_keys=True) as job:
                made = list(issue(job))
            if any(each.problem for each in made):
                raise AssertionError
        print(perf_counter() - start)


def sealed(folder: Path, issuer: KeyStore) -> Batch:
    """A batch of the sample, in a new folder."""
    residents, cards = _prepared(issuer)
    seal(folder, residents, cards, LocalIssuer(issuer), keys=folder, issue_date=ISSUE_DATE)
    return Batch.open(folder, LocalIssuer(issuer))


def _prepared(issuer: KeyStore) -> tuple[ResidentList, list[PreparedCard]]:
    residents, photos = read_list(SAMPLE), PhotoShop(SAMPLE.parent)
    validated = list(validate_all(residents, photos, ISSUE_DATE))
    return residents, list(make_all(validated, photos, LocalIssuer(issuer), ISSUE_DATE))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, report, and say by the exit code whether every bar is met."""
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each is measured")
    options = parser.parse_args(argv)
    figures: dict[str, float] = {}
    bars: list[Bar] = []
    parts = [measure_cards(version, options.rounds) for version in VERSIONS]
    for more_figures, more_bars in (*parts, measure_stations()):
        figures |= more_figures
        bars += more_bars
    return report(figures, bars, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
