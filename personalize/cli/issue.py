"""rhcard issue: make the cards of a batch."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .exits import Exit
from .failures import Stopped
from .options import (
    batch_argument,
    cards_option,
    json_option,
    keys_option,
    open_batch,
    passphrase_option,
    test_keys_option,
)
from .output import print_json, print_line, print_table, progress, say

if TYPE_CHECKING:
    from cardlib.facts import ChipSerial

    from ..production.issue import CardResult, Job


@click.command(name="issue")
@batch_argument
@cards_option
@keys_option
@test_keys_option
@click.option(
    "--spoiled",
    multiple=True,
    metavar="CHIP",
    help="This chip is lost or broken: its resident gets another card. Not for active cards.",
)
@passphrase_option
@json_option
def command(
    folder: Path,
    *,
    cards: Path,
    keys: Path | None,
    test_keys: bool,
    spoiled: tuple[str, ...],
    passphrase_file: Path | None,
    as_json: bool,
) -> int:
    """Make the cards of BATCH: personalize, verify, activate, one after the other.

    Blank cards of the folder are used; where there are not enough, new ones are made. After a
    cut, the same command goes on where it was: nobody gets two cards, nobody gets none.
    """
    from ..production.issue import opened_job
    from ..production.report import throughput
    from ..production.station import FolderFeed

    chips = [_chip(text) for text in spoiled]
    batch, store = open_batch(folder, keys, passphrase_file)
    with opened_job(batch, store, FolderFeed(cards, store), test_keys=test_keys) as job:
        for chip in chips:
            job.journal.give_up(chip)
        results = run(job)
        problems = job.left_alone
    failed = [each for each in results if each.problem]
    code = Exit.FINISHED_WITH_FAILURES if failed else Exit.GOOD
    figures = throughput(results)
    if as_json:
        print_json(_document(folder, cards, results, problems, code))
        return code
    for problem in problems:
        say(problem)
    if failed:
        _print_failures(failed)
        say("Run the same command again to go on; --spoiled CHIP gives up a broken card.")
    new = f", {figures.cards} of them now" if figures.cards != len(results) else ""
    print_line(f"{len(results) - len(failed)} of {len(results)} cards active{new}")
    if figures.cards:
        say(figures.in_words())
    say(f"Next: rhcard verify {folder} --cards {cards}")
    return code


def run(job: "Job") -> "list[CardResult]":
    """Issue with a progress bar; Ctrl-C says how far things are."""
    from ..production.issue import issue
    from ..production.journal import Progress

    results: list[CardResult] = []
    total = job.batch.header.count
    try:
        with progress("Issuing") as advance:
            for result in issue(job):
                results.append(result)
                advance(len(results), total)
    except KeyboardInterrupt:
        steps = [entry.progress for entry in job.journal.entries()]
        active = steps.count(Progress.ACTIVE)
        begun = len(steps) - active - steps.count(Progress.PREPARED)
        raise Stopped(
            f"stopped: {active} of {total} cards are active, {begun} begun, none is lost; run the"
            " same command again to go on"
        ) from None
    return sorted(results, key=lambda result: result.number)


def _chip(text: str) -> "ChipSerial":
    from cardlib.errors import FormatError
    from cardlib.facts import ChipSerial

    try:
        return ChipSerial.parse(text)
    except FormatError as error:
        raise click.BadParameter(str(error), param_hint="--spoiled") from None


def _print_failures(failed: "Sequence[CardResult]") -> None:
    from ..production.report import chip_name

    rows = [
        (str(each.number), str(each.line), chip_name(each.chip), each.progress.value, each.problem)
        for each in failed
    ]
    print_table("Cards that failed", ("card", "line", "chip", "state", "problem"), rows)


def _document(
    folder: Path,
    cards: Path,
    results: "Sequence[CardResult]",
    problems: Iterable[str],
    code: Exit,
) -> dict[str, object]:
    from ..production.report import result_as_dict, throughput

    failed = sum(1 for each in results if each.problem)
    return {
        "batch": str(folder),
        "folder": str(cards),
        "cards": [result_as_dict(each) for each in results],
        "active": len(results) - failed,
        "failed": failed,
        "left_alone": list(problems),
        "figures": throughput(results).as_dict(),
        "exit_code": int(code),
    }
