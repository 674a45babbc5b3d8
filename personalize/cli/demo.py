"""rhcard demo: the whole way, from made-up residents to verified cards."""

import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from .exits import Exit
from .failures import Stopped
from .issue import run as issue_all
from .options import json_option
from .output import print_json, print_line, print_table
from .verify import run as verify_all

if TYPE_CHECKING:
    from cardlib.keys.software import SoftwareKeySet

    from ..preparation.batch import Batch
    from ..production.issue import CardResult
    from ..production.report import Throughput, Verified
    from ..terminal.reading import Reading

_DEFAULT = Path("rhcard-demo")
_HEADINGS = ("card", "name", "chip", "result", "APDUs", "bytes", "ms")


@dataclass(frozen=True, slots=True)
class Demo:
    """What a demonstration made and found."""

    folder: Path
    batch: "Batch"
    made: "list[CardResult]"
    results: "list[Verified]"
    chosen: Path
    emergency: "Reading"

    @property
    def good(self) -> int:
        """Cards that were verified."""
        return sum(1 for result in self.results if not result.findings)

    @property
    def summary(self) -> str:
        """The last word."""
        return f"{self.good} of {len(self.results)} verified"

    @property
    def figures(self) -> "Throughput":
        """How fast the cards were made, and what went to and from them."""
        from ..production.report import throughput

        return throughput(self.made)

    @property
    def exit(self) -> Exit:
        """Whether everything went as it should."""
        if any(each.problem for each in self.made):
            return Exit.FINISHED_WITH_FAILURES
        return Exit.GOOD if self.good == len(self.results) else Exit.VERIFICATION_FAILED


@click.command(name="demo")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder for the cards, new or empty. Else a new rhcard-demo, -2, -3 ... here.",
)
@json_option
def command(*, out: Path | None, as_json: bool) -> int:
    """Make cards for 50 made-up residents, verify them all, and read one.

    Keys are made for this run alone. Nothing that exists is touched.
    """
    folder = _folder(out)
    try:
        demo = _run(folder)
    except (KeyboardInterrupt, Stopped):
        raise Stopped(f"stopped; {folder} is unfinished: remove it and start again") from None
    if as_json:
        print_json(_document(demo))
    else:
        _print(demo)
    return demo.exit


def _folder(out: Path | None) -> Path:
    from ..sample.demo import fresh_folder

    if out is None:
        return fresh_folder(_DEFAULT)
    if out.is_dir() and any(out.iterdir()):
        raise click.UsageError(f"{out} is not empty: name another --out DIR")
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    return out


def _run(folder: Path) -> Demo:
    from ..production.issue import opened_job
    from ..production.station import FolderFeed
    from ..sample.demo import CARDS, keep_keys, new_passphrase, prepare_sample

    passphrase, cards = new_passphrase(), folder / CARDS
    with TemporaryDirectory(prefix="rhcard-demo-") as name:
        batch, store = prepare_sample(folder, Path(name), passphrase)
        with opened_job(batch, store, FolderFeed(cards, store), test_keys=False) as job:
            made = issue_all(job)
        results = verify_all(batch, store, cards)
        keep_keys(folder, Path(name), passphrase)
    chosen = _chosen(batch, made, cards)
    emergency = _emergency(store.terminal_keys, chosen)
    return Demo(folder, batch, made, results, chosen, emergency)


def _chosen(batch: "Batch", made: "list[CardResult]", cards: Path) -> Path:
    """The file of the card that shows most of what an emergency room wants to know."""
    from ..production.station import card_path
    from ..sample.demo import most_telling

    number = most_telling(batch.cards())
    chips = {each.number: each.chip for each in made if each.chip}
    return card_path(cards, chips.get(number) or next(iter(chips.values())))


def _emergency(keys: "SoftwareKeySet", card: Path) -> "Reading":
    """Read a card with the two keys that an emergency room's terminal has, and no PIN."""
    from ..production.station import in_reader
    from ..terminal.reading import EMERGENCY_FILES, EMERGENCY_KEYS, read_card

    with in_reader(card) as connection:
        return read_card(connection, keys.only(EMERGENCY_KEYS), EMERGENCY_FILES)


def _print(demo: Demo) -> None:
    from .read import show

    print_table("Cards", _HEADINGS, _rows(demo))
    print_line(f"\n{demo.chosen} as an emergency room reads it, without the PIN:")
    show(demo.emergency, "en", collapse=False)
    print_line(f"\nThe cards are in {demo.chosen.parent}. Try next:\n")
    for line in _next_commands(demo):
        print_line(f"    {line}")
    print_line(f"\n{demo.figures.in_words()}")
    print_line(demo.summary)


def _rows(demo: Demo) -> list[tuple[str, ...]]:
    from ..production.report import chip_name

    verified = {result.number for result in demo.results if not result.findings}
    return [
        (
            str(each.number),
            demo.batch.card(each.number).name,
            chip_name(each.chip),
            "verified" if each.number in verified else each.problem or "not verified",
            str(each.figures.commands),
            str(each.figures.sent + each.figures.received),
            f"{1000 * each.seconds:.0f}",
        )
        for each in demo.made
    ]


def _next_commands(demo: Demo) -> list[str]:
    """Three commands that work as they stand, in this folder and shell."""
    from ..sample.demo import BATCH, KEYS, PASSPHRASE

    secret = ("--passphrase-file", demo.folder / PASSPHRASE)
    batch, keys = demo.folder / BATCH, demo.folder / KEYS
    commands: list[tuple[object, ...]] = [
        ("read", demo.chosen, "--keys", keys, *secret, "--lang", "zh"),
        ("verify", batch, "--cards", demo.chosen.parent, *secret),
        ("pins", batch, *secret),
    ]
    return [shlex.join([_program(), *map(str, words)]) for words in commands]


def _program() -> str:
    """How this program was called: by its name if the shell finds it so, else by its path."""
    called = Path(sys.argv[0])
    found = shutil.which("rhcard")
    if called.name != "rhcard" or (found and Path(found).resolve() == called.resolve()):
        return "rhcard"
    return str(called)


def _document(demo: Demo) -> dict[str, Any]:
    from cardlib.layout.words import as_json

    from ..production.report import result_as_dict, verified_as_dict

    return {
        "folder": str(demo.folder),
        "cards": [result_as_dict(each) for each in demo.made],
        "verification": [verified_as_dict(result) for result in demo.results],
        "emergency": {
            "card": str(demo.chosen),
            "fields": [as_json(v) for _, values in demo.emergency.files for v in values],
        },
        "figures": demo.figures.as_dict(),
        "summary": demo.summary,
        "next": _next_commands(demo),
        "exit_code": int(demo.exit),
    }
