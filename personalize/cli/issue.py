"""rhcard issue: make the cards of a batch."""

from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cardlib.errors import CardError

from .bureau_choice import chosen_bureau, database_option, station_option
from .context import Context
from .exits import Exit
from .failures import Stopped
from .options import (
    batch_argument,
    batch_keys_option,
    check_output_folder,
    json_option,
    passphrase_option,
    trial_option,
    trusted_option,
)
from .output import print_error, print_line, print_table, progress, say, say_removed, say_where
from .places import Place, chosen, hand_fed, of_files, place_options, watch

if TYPE_CHECKING:
    from cardlib.facts import ChipSerial

    from ..production.job import CardResult, Job
    from ..production.reader_feed import ReaderFeed


_NAMED = 5


@dataclass(frozen=True, slots=True)
class Run:
    """What a run did, and which active cards of the batch are not in its folder, if it has one.

    `doubles` tells of each resident who has a card that this batch did not make; `makes_blanks`
    is whether --make-blanks would help.
    """

    batch: Path
    place: Place
    results: "list[CardResult]"
    left_alone: "list[str]"
    elsewhere: "list[ChipSerial]"
    pin_faults: tuple[str, ...]
    doubles: "dict[int, str]"
    makes_blanks: bool

    @property
    def failed(self) -> "list[CardResult]":
        """Cards that are not active, or whose PIN is lost."""
        return [each for each in self.results if each.problem]

    @property
    def active(self) -> int:
        """How many cards are active, with or without a PIN."""
        return sum(1 for each in self.results if each.was_active or not each.problem)

    @property
    def held(self) -> int:
        """How many cards must not be made or finished, because their residents have another."""
        return sum(1 for each in self.failed if not each.was_active and each.number in self.doubles)

    @property
    def lacking(self) -> int:
        """For how many cards there was no blank."""
        without = [each.number for each in self.failed if each.chip is None]
        return sum(1 for number in without if number not in self.doubles)

    @property
    def code(self) -> Exit:
        """Whether each resident has one active card, all in the folder, and a whole PIN file."""
        bad = self.failed or self.elsewhere or self.pin_faults or self.doubles
        return Exit.FINISHED_WITH_FAILURES if bad else Exit.GOOD

    @property
    def error(self) -> str:
        """What is wrong with the folder; "" when nothing is."""
        from ..register.conflict import LOST

        if self.elsewhere:
            return (
                f"{len(self.elsewhere)} of {len(self.results)} residents have an active card, but"
                f" their cards are not in {self.place.folder}. Check that --cards is the folder"
                f" used before. {LOST}"
            )
        if not self.lacking or not self.place.is_software:
            return ""
        are = "card is" if self.lacking == 1 else "cards are"
        if self.place.folder is None:
            return (
                f"{self.lacking} blank {are} lacking. Run it again with other blanks: --card FILE"
            )
        or_make = ", or add --make-blanks to make software cards" if self.makes_blanks else ""
        return (
            f"{self.lacking} blank {are} lacking in {self.place.folder}. Put blank cards there"
            + or_make
        )


@click.command(name="issue")
@batch_argument
@place_options
@click.option(
    "--make-blanks",
    is_flag=True,
    help="Make new software cards in the folder, if there are not enough blank ones.",
)
@batch_keys_option
@click.option(
    "--test-keys",
    is_flag=True,
    help="Allow the published test keys. Never use them for real residents.",
)
@trial_option
@database_option
@station_option
@trusted_option
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
    context: Context,
    folder: Path,
    *,
    cards: Path | None,
    files: tuple[Path, ...],
    readers: tuple[str, ...],
    make_blanks: bool,
    test_keys: bool,
    spoiled: tuple[str, ...],
) -> int:
    """Make the cards of a batch.

    Each card is written, read back, compared with the batch, and activated. With --reader 0 you put
    blank cards into the first reader, one after the other. With --cards the blank software cards
    of a folder are used, with --card those in certain files. A card that is not a blank of this key
    store is named and not changed.

    Only cards of our own specification are made: a deployed card, which somebody else issued, is
    named and handed back.

    A key store that one passphrase opens is not for residents: with --reader it needs --trial.

    With --database the cards are recorded in the bureau's register: several stations may work on
    one batch, and nobody gets a second card from another batch. Residents' cards need it. Without
    it a batch has a journal of its own, in its folder.

    If it stops early, run the same command again: it continues, and every resident gets exactly
    one card.

    \b
    Examples:
      rhcard issue batch --cards cards
      rhcard issue batch --cards cards --make-blanks
      rhcard issue batch --card BLANK.card
      rhcard issue batch --reader 0 --trial
      rhcard issue batch --reader 0 --reader 1 --trial
      rhcard issue batch-2 --cards cards --database bureau.sqlite
    """
    from ..production.job import doubles, give_up, opened_job

    chips = [_chip(text) for text in spoiled]
    place = _place(context, cards, files, readers, make_blanks=make_blanks)
    real = not (place.is_software or context.trial)
    batch, issuer, maker = context.batch(folder, issuing=True, for_residents=real)
    bureau = chosen_bureau(context, issuer, for_residents=real)
    hands = hand_fed(place)
    feed = hands or of_files(place, maker if make_blanks else None)
    with opened_job(batch, issuer, feed, test_keys=test_keys, bureau=bureau) as job:
        _remove_unfinished(place)
        for chip in chips:
            give_up(job, chip)
        results = run(job, hands)
        elsewhere = [] if job.books.is_shared else _elsewhere(results, place)
        faults = job.pins.faults
        makes_blanks = context.agent is None or issuer.is_test
        done = Run(
            folder, place, results, job.left_alone, elsewhere, faults, doubles(job), makes_blanks
        )
    if context.as_json:
        return context.answer(_document(done), done.code)
    _print(done)
    if not (done.error or done.lacking or done.doubles or place.files):
        context.suggest("verify", folder, *place.words, *_database(context))
    return done.code


def _database(context: Context) -> tuple[str, ...]:
    return () if context.database is None else ("--database", context.database)


def _place(
    context: Context,
    cards: Path | None,
    files: tuple[Path, ...],
    readers: tuple[str, ...],
    *,
    make_blanks: bool,
) -> Place:
    if make_blanks and cards is None:
        raise click.UsageError("--make-blanks makes software cards: it needs --cards DIR")
    place = chosen(context, cards, files, readers)
    if place.folder is not None:
        check_output_folder(place.folder, "--cards")
    return place


def _remove_unfinished(place: Place) -> None:
    from cardlib.unfinished import remove_unfinished_files

    if place.folder is not None:
        say_removed(remove_unfinished_files(place.folder))


def _elsewhere(results: "Sequence[CardResult]", place: Place) -> "list[ChipSerial]":
    """The chips of cards that an earlier run activated and that are not in the folder."""
    from .cards import files_of

    if place.folder is None:
        return []
    chips = [each.chip for each in results if each.was_active and each.chip]
    there = files_of(place.folder, chips)
    return [chip for chip in chips if chip not in there]


def run(job: "Job", hands: "ReaderFeed | None" = None) -> "list[CardResult]":
    """Issue with a progress bar, or with the lines for the people who feed the readers.

    A signal lets the cards in hand be finished, and stops then.
    """
    from ..production.issue import issue
    from .signals import held_back

    results: list[CardResult] = []
    total = len(job.batch.numbers)
    try:
        with (
            held_back() as stop_here,
            progress("Issuing", shown=hands is None) as advance,
            closing(issue(job)) as issued,
        ):
            stop = partial(_stop_in_order, stop_here) if hands else stop_here
            watch(hands, stop)
            for result in issued:
                results.append(result)
                advance(len(results), total)
                stop()
    except KeyboardInterrupt:
        raise Stopped(_so_far(job)) from None
    except (CardError, OSError):
        with suppress(OSError):
            say(_so_far(job))
        raise
    return sorted(results, key=lambda result: result.number)


def _stop_in_order(stop_here: "Callable[[], None]") -> None:
    try:
        stop_here()
    except KeyboardInterrupt:
        with suppress(OSError):  # the terminal may be closed
            say(
                "Stopping. The cards in the readers are finished first. Ctrl-C again stops at once."
            )
        raise


def _so_far(job: "Job") -> str:
    """What to say when issuing stops early: how far it is, and which chips are not finished."""
    from ..register.conflict import JournalConflict
    from ..register.states import CardState

    try:
        steps = [entry.state for entry in job.journal.entries()]
        chips = [f"{chip} (card {number})" for number, chip in sorted(job.journal.begun().items())]
    except JournalConflict:
        return "stopped."
    more = f" and {len(chips) - _NAMED} more" if len(chips) > _NAMED else ""
    named = f" on chip {', '.join(chips[:_NAMED])}{more}" if chips else ""
    return (
        f"stopped: {steps.count(CardState.ACTIVE)} of {len(steps)} cards are active, {len(chips)}"
        f" begun{named}, none is lost. Run the same command again to continue."
    )


def _chip(text: str) -> "ChipSerial":
    from cardlib.errors import FormatError
    from cardlib.facts import ChipSerial

    try:
        return ChipSerial.parse(text)
    except FormatError as error:
        raise click.BadParameter(str(error), param_hint="--spoiled") from None


def _print(done: Run) -> None:
    from ..production.report import left_out_in_words, lines_in_words, throughput

    results, figures = done.results, throughput(done.results)
    for problem in done.left_alone if done.place.is_software else ():
        say(problem)
    if shown := [each for each in done.failed if each.chip]:
        _print_failures(shown)
        if done.place.folder is not None:
            say_where(done.place.folder)
    without_blank = done.lacking if done.place.is_software else 0
    if done.active + done.held + without_blank < len(results):
        say("Run the same command again to continue. --spoiled CHIP gives up a broken card.")
    if without := lines_in_words(results):
        say(without)
    new = f", {figures.cards} of them now" if figures.cards != len(results) else ""
    print_line(f"{done.active} of {len(results)} cards active{new}")
    if figures.cards:
        say(figures.in_words(software=done.place.is_software))
    if left_out := left_out_in_words([each.left_out for each in results]):
        say(left_out)
    for fault in (*done.doubles.values(), *done.pin_faults):
        print_error(fault)
    if done.error:
        print_error(done.error)


def _print_failures(failed: "Sequence[CardResult]") -> None:
    from ..production.report import chip_name

    rows = [
        (str(each.number), str(each.line), chip_name(each.chip), each.state.value, each.problem)
        for each in failed
    ]
    print_table("Cards that failed", ("card", "line", "chip", "state", "problem"), rows)


def _document(done: Run) -> dict[str, Any]:
    from ..production.report import result_as_dict, throughput

    return {
        "batch": str(done.batch),
        **done.place.as_dict(),
        "cards": [result_as_dict(each) for each in done.results],
        "active": done.active,
        "failed": len(done.failed),
        "not_in_folder": [str(chip) for chip in done.elsewhere],
        "left_alone": list(done.left_alone),
        **({"doubles": list(done.doubles.values())} if done.doubles else {}),
        **({"pin_file": list(done.pin_faults)} if done.pin_faults else {}),
        "figures": throughput(done.results).as_dict(),
        **({"error": done.error} if done.error else {}),
    }
