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
    from ..production.issue import Job, Outcome

_CHIP_BYTES = 8


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

    chips = [_chip(text) for text in spoiled]
    batch, store = open_batch(folder, keys, passphrase_file)
    with opened_job(batch, store, cards, test_keys=test_keys) as job:
        for chip in chips:
            job.journal.give_up(chip)
        outcomes = run(job)
        problems = job.folder.problems
    failed = [outcome for outcome in outcomes if outcome.problem]
    code = Exit.FINISHED_WITH_FAILURES if failed else Exit.GOOD
    figures = throughput(outcomes)
    if as_json:
        print_json(_document(folder, cards, outcomes, problems, code))
        return code
    for problem in problems:
        say(problem)
    if failed:
        _print_failures(failed)
        say("Run the same command again to go on; --spoiled CHIP gives up a broken card.")
    new = f", {figures.cards} of them now" if figures.cards != len(outcomes) else ""
    print_line(f"{len(outcomes) - len(failed)} of {len(outcomes)} cards active{new}")
    if figures.cards:
        say(figures.in_words())
    say(f"Next: rhcard verify {folder} --cards {cards}")
    return code


def run(job: "Job") -> "list[Outcome]":
    """Issue with a progress bar; Ctrl-C says how far things are."""
    from ..production.issue import issue
    from ..production.journal import Stage

    outcomes: list[Outcome] = []
    total = job.batch.header.count
    try:
        with progress("Issuing") as advance:
            for outcome in issue(job):
                outcomes.append(outcome)
                advance(len(outcomes), total)
    except KeyboardInterrupt:
        stages = [entry.stage for entry in job.journal.entries()]
        active = stages.count(Stage.ACTIVE)
        begun = len(stages) - active - stages.count(Stage.PREPARED)
        raise Stopped(
            f"stopped: {active} of {total} cards are active, {begun} begun, none is lost; run the"
            " same command again to go on"
        ) from None
    return outcomes


def _chip(text: str) -> bytes:
    try:
        chip = bytes.fromhex(text)
    except ValueError:
        chip = b""
    if len(chip) != _CHIP_BYTES:
        raise click.BadParameter(
            f"{text!r} is no chip serial: 16 hex digits", param_hint="--spoiled"
        )
    return chip


def _print_failures(failed: "Sequence[Outcome]") -> None:
    from ..production.report import chip_name

    rows = [
        (str(each.number), str(each.line), chip_name(each.chip), each.stage.value, each.problem)
        for each in failed
    ]
    print_table("Cards that failed", ("card", "line", "chip", "state", "problem"), rows)


def _document(
    folder: Path,
    cards: Path,
    outcomes: "Sequence[Outcome]",
    problems: Iterable[str],
    code: Exit,
) -> dict[str, object]:
    from ..production.report import outcome_as_dict, throughput

    failed = sum(1 for outcome in outcomes if outcome.problem)
    return {
        "batch": str(folder),
        "folder": str(cards),
        "cards": [outcome_as_dict(outcome) for outcome in outcomes],
        "active": len(outcomes) - failed,
        "failed": failed,
        "left_alone": list(problems),
        "figures": throughput(outcomes).as_dict(),
        "exit_code": int(code),
    }
