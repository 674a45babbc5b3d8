"""rhcard issue: make the cards of a batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .context import Context
from .exits import Exit
from .failures import Stopped
from .options import (
    batch_argument,
    batch_keys_option,
    cards_option,
    check_output_folder,
    json_option,
    passphrase_option,
)
from .output import print_error, print_line, print_table, progress, say, say_removed, say_where

if TYPE_CHECKING:
    from cardlib.facts import ChipSerial

    from ..production.job import CardResult, Job


@dataclass(frozen=True, slots=True)
class Run:
    """What a run did, and which active cards of the batch are not in its folder."""

    batch: Path
    cards: Path
    results: "list[CardResult]"
    left_alone: "list[str]"
    elsewhere: "list[ChipSerial]"
    pin_faults: tuple[str, ...]

    @property
    def failed(self) -> "list[CardResult]":
        """Cards that are not active, or whose PIN is lost."""
        return [each for each in self.results if each.problem]

    @property
    def active(self) -> int:
        """How many cards are active, with or without a PIN."""
        return sum(1 for each in self.results if each.was_active or not each.problem)

    @property
    def code(self) -> Exit:
        """Whether every card is active and in the folder, and the PIN file is whole."""
        bad = self.failed or self.elsewhere or self.pin_faults
        return Exit.FINISHED_WITH_FAILURES if bad else Exit.GOOD

    @property
    def error(self) -> str:
        """What is wrong with the folder; "" when nothing is."""
        from ..production.journal import LOST

        if not self.elsewhere:
            return ""
        return (
            f"{len(self.elsewhere)} of {len(self.results)} residents have an active card, but their"
            f" cards are not in {self.cards}. Check that --cards is the folder used before. {LOST}"
        )


@click.command(name="issue")
@batch_argument
@cards_option
@batch_keys_option
@click.option(
    "--test-keys",
    is_flag=True,
    help="Allow the published test keys. Never use them for real residents.",
)
@click.option(
    "--spoiled",
    multiple=True,
    metavar="CHIP",
    help="This chip is lost or broken: its resident gets another card. Not for active cards.",
)
@passphrase_option
@json_option
@click.pass_obj
def command(
    context: Context, folder: Path, *, cards: Path, test_keys: bool, spoiled: tuple[str, ...]
) -> int:
    """Make the cards of a batch.

    Each card is written, read back, compared with the batch, and activated. Blank cards in the
    folder are used first. If there are not enough, new ones are made.

    If it stops early, run the same command again: it continues, and every resident gets exactly
    one card.

    \b
    Examples:
      rhcard issue batch --cards cards
    """
    from cardlib.unfinished import remove_unfinished_files

    from ..production.job import opened_job
    from ..production.station import FolderFeed

    chips = [_chip(text) for text in spoiled]
    check_output_folder(cards, "--cards")
    batch, store = context.batch(folder)
    with opened_job(batch, store, FolderFeed(cards, store), test_keys=test_keys) as job:
        say_removed(remove_unfinished_files(cards))
        for chip in chips:
            job.journal.give_up(chip)
        results = run(job)
        elsewhere = _elsewhere(results, cards)
        done = Run(folder, cards, results, job.left_alone, elsewhere, job.pins.faults)
    if context.as_json:
        return context.answer(_document(done), done.code)
    _print(done)
    if not done.error:
        context.suggest("verify", folder, "--cards", cards)
    return done.code


def _elsewhere(results: "Sequence[CardResult]", cards: Path) -> "list[ChipSerial]":
    """The chips of cards that an earlier run activated and that are not in the folder."""
    from .cards import files_of

    chips = [each.chip for each in results if each.was_active and each.chip]
    there = files_of(cards, chips)
    return [chip for chip in chips if chip not in there]


def run(job: "Job") -> "list[CardResult]":
    """Issue with a progress bar. A signal lets the card in hand be finished, and stops then."""
    from ..production.issue import issue
    from .signals import held_back

    results: list[CardResult] = []
    total = job.batch.header.count
    try:
        with progress("Issuing") as advance, held_back() as stop_here:
            for result in issue(job):
                results.append(result)
                advance(len(results), total)
                stop_here()
    except KeyboardInterrupt:
        raise Stopped(_so_far(job)) from None
    except OSError:
        say(_so_far(job))
        raise
    return sorted(results, key=lambda result: result.number)


def _so_far(job: "Job") -> str:
    """What to say when issuing stops early."""
    from ..production.journal import Progress

    steps = [entry.progress for entry in job.journal.entries()]
    active = steps.count(Progress.ACTIVE)
    begun = len(steps) - active - steps.count(Progress.PREPARED)
    return (
        f"stopped: {active} of {len(steps)} cards are active, {begun} begun, none is lost. Run the"
        " same command again to continue."
    )


def _chip(text: str) -> "ChipSerial":
    from cardlib.errors import FormatError
    from cardlib.facts import ChipSerial

    try:
        return ChipSerial.parse(text)
    except FormatError as error:
        raise click.BadParameter(str(error), param_hint="--spoiled") from None


def _print(done: Run) -> None:
    from ..production.report import left_out_in_words, throughput

    results, figures = done.results, throughput(done.results)
    for problem in done.left_alone:
        say(problem)
    if done.failed:
        _print_failures(done.failed)
        say_where(done.cards)
    if done.active < len(results):
        say("Run the same command again to continue. --spoiled CHIP gives up a broken card.")
    new = f", {figures.cards} of them now" if figures.cards != len(results) else ""
    print_line(f"{done.active} of {len(results)} cards active{new}")
    if figures.cards:
        say(figures.in_words())
    if left_out := left_out_in_words([each.left_out for each in results]):
        say(left_out)
    for fault in done.pin_faults:
        print_error(fault)
    if done.error:
        print_error(done.error)


def _print_failures(failed: "Sequence[CardResult]") -> None:
    from ..production.report import chip_name

    rows = [
        (str(each.number), str(each.line), chip_name(each.chip), each.progress.value, each.problem)
        for each in failed
    ]
    print_table("Cards that failed", ("card", "line", "chip", "state", "problem"), rows)


def _document(done: Run) -> dict[str, Any]:
    from ..production.report import result_as_dict, throughput

    return {
        "batch": str(done.batch),
        "folder": str(done.cards),
        "cards": [result_as_dict(each) for each in done.results],
        "active": done.active,
        "failed": len(done.failed),
        "not_in_folder": [str(chip) for chip in done.elsewhere],
        "left_alone": list(done.left_alone),
        **({"pin_file": list(done.pin_faults)} if done.pin_faults else {}),
        "figures": throughput(done.results).as_dict(),
        **({"error": done.error} if done.error else {}),
    }
