"""rhcard demo: make and verify cards for made-up residents."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from .context import Context
from .exits import Exit
from .failures import Stopped
from .issue import run as issue_all
from .options import check_output_folder, json_option
from .output import command_line, print_line, print_table
from .places import Place
from .verify import run as verify_all

if TYPE_CHECKING:
    from cardlib.keys.software import SoftwareKeySet

    from ..preparation.batch import Batch
    from ..production.job import CardResult
    from ..production.report import Throughput, Verified
    from ..terminal.reading import Reading

_DEFAULT = Path("rhcard-demo")
_SHOWN = 5
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
    def chip(self) -> str:
        """The chip of the card that is shown."""
        return self.emergency.identity.chip.hex().upper()

    @property
    def summary(self) -> str:
        """The last line: how many cards were verified."""
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
    help="New or empty folder for the cards. Default: a new folder rhcard-demo here.",
)
@json_option
@click.pass_obj
def command(context: Context, *, out: Path | None) -> int:
    """Make and verify cards for 50 made-up residents.

    It also reads one card, as an emergency room does. It makes keys for this run alone, and
    changes no file that exists.

    \b
    Examples:
      rhcard demo
      rhcard demo --out my-demo
    """
    folder = _folder(out)
    try:
        demo = _run(folder)
    except (KeyboardInterrupt, Stopped):
        raise Stopped(f"stopped; {folder} is not complete. Remove it and start again.") from None
    if context.as_json:
        return context.answer(_document(demo), demo.exit)
    _print(demo)
    return demo.exit


def _folder(out: Path | None) -> Path:
    from ..sample.sample_batch import fresh_folder, was_stopped

    if out is None:
        return fresh_folder(_DEFAULT)
    check_output_folder(out, "--out")
    if out.is_dir() and any(out.iterdir()):
        why = "holds a demonstration that was stopped" if was_stopped(out) else "is not empty"
        raise click.BadParameter(f"{out} {why}. Give a new or empty folder.", param_hint="'--out'")
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    return out


def _run(folder: Path) -> Demo:
    from cardlib.issuance.local import LocalIssuer

    from ..production.job import opened_job
    from ..production.station import FolderFeed
    from ..sample.sample_batch import CARDS, TEMPORARY, keep_keys, new_passphrase, prepare_sample

    passphrase, cards = new_passphrase(), folder / CARDS
    with TemporaryDirectory(prefix=TEMPORARY, dir=folder) as name:
        batch, store = prepare_sample(folder, Path(name), passphrase)
        issuer = LocalIssuer(store)
        with opened_job(batch, issuer, FolderFeed(cards, store), test_keys=False) as job:
            made = issue_all(job)
        results = verify_all(batch, issuer, Place(cards))
        keep_keys(folder, Path(name), passphrase)
    chosen = _chosen(batch, made, cards)
    emergency = _emergency(store.terminal_keys, chosen)
    return Demo(folder, batch, made, results, chosen, emergency)


def _chosen(batch: "Batch", made: "list[CardResult]", cards: Path) -> Path:
    """The file of the card that shows most of what an emergency room wants to know."""
    from ..production.station import card_path
    from ..sample.sample_batch import most_telling

    number = most_telling(batch.cards())
    chips = {each.number: each.chip for each in made if each.chip}
    return card_path(cards, chips.get(number) or next(iter(chips.values())))


def _emergency(keys: "SoftwareKeySet", card: Path) -> "Reading":
    """Read a card with the two keys that an emergency room's terminal has, and no PIN."""
    from ..production.station import in_reader
    from ..terminal.reading import EMERGENCY_FILES, EMERGENCY_KEYS, read_card

    with in_reader(card, read_only=True) as connection:
        return read_card(connection, keys.only(EMERGENCY_KEYS), EMERGENCY_FILES)


def _print(demo: Demo) -> None:
    from .read import show

    rows = _rows(demo)
    print_table("Cards", _HEADINGS, rows[:_SHOWN])
    if len(rows) > _SHOWN:
        print_line(f"{len(rows) - _SHOWN} more")
    print_line("", f"{demo.chosen} as an emergency room reads it, without the PIN:")
    show(demo.emergency, "en", collapse=False)
    print_line("", f"The cards are in {demo.chosen.parent}. Try next:", "")
    for line in _next_commands(demo):
        print_line(f"    {line}")
    print_line("", demo.figures.in_words())
    print_line(demo.summary)


def _rows(demo: Demo) -> list[tuple[str, ...]]:
    """A row for each card; cards that failed come first."""
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
        for each in sorted(demo.made, key=lambda card: card.number in verified)
    ]


def _next_commands(demo: Demo) -> list[str]:
    """Three commands that work as they stand, in this folder and shell."""
    from ..sample.sample_batch import BATCH, KEYS, PASSPHRASE

    secret = ("--passphrase-file", demo.folder / PASSPHRASE)
    batch, keys, cards = demo.folder / BATCH, demo.folder / KEYS, demo.chosen.parent
    return [
        command_line("read", demo.chip, "--cards", cards, "--keys", keys, *secret, "--lang", "zh"),
        command_line("verify", batch, "--cards", cards, *secret),
        command_line("pins", batch, *secret),
    ]


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
    }
