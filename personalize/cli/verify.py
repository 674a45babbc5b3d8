"""rhcard verify: read issued cards back and compare them with what was prepared."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cardlib.errors import TransportError

from .bureau_choice import chosen_bureau, database_option
from .context import Context
from .exits import Exit
from .failures import Stopped
from .options import (
    batch_argument,
    batch_keys_option,
    json_option,
    passphrase_option,
    sam_options,
    trusted_option,
)
from .output import print_error, print_line, print_table, progress, say, say_where
from .places import Place, chosen, hand_fed, of_files, place_options, watch

if TYPE_CHECKING:
    from cardlib.keys import KeySet
    from cardlib.keys.issuer import Issuer

    from ..preparation.batch import Batch
    from ..production.bookkeeping import Bureau
    from ..production.report import Verified


@click.command(name="verify")
@batch_argument
@place_options
@batch_keys_option
@trusted_option
@sam_options
@click.option(
    "--full",
    is_flag=True,
    help="Read every byte of every file, and try each protected file without keys.",
)
@database_option
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
    full: bool,
) -> int:
    """Read issued cards and compare them with their batch.

    Every field on every card is compared with the batch. It also checks that the card refuses
    access that must be refused. No file is changed, and no wrong key or PIN is tried. With --reader
    you put the cards into a reader, in any order. Enter ends it, and the cards that did not come
    are listed.

    Only cards of our own specification are verified: a deployed card, which somebody else issued,
    is named and handed back.

    With --sam the keys are those of a SAM, as a terminal has it; the batch is still opened with its
    key store. Keys that the SAM does not hold are named and not tried.

    Without --full the middle of blank files is not read, and one file of each directory is tried
    without keys. A line says what was left out. The first card is always checked in full.

    \b
    Examples:
      rhcard verify batch --cards cards
      rhcard verify batch --cards cards --full
      rhcard verify batch --reader 0
    """
    from ..production.report import left_out_in_words, verified_as_dict
    from .sam_choice import sam_keys

    place = chosen(context, cards, files, readers)
    if cards is not None and not cards.is_dir():
        raise TransportError(f"{cards}: there is no such folder. Give the folder used for `issue`")
    batch, issuer, _ = context.batch(folder)
    keys = sam_keys(context) if context.sam else None
    if keys and context.sam_reader in place.readers:
        raise click.UsageError(f"the SAM is in reader {context.sam_reader}: name another one")
    bureau = chosen_bureau(context, issuer)
    results = run(batch, issuer, place, full=full, keys=keys, bureau=bureau)
    good = sum(1 for result in results if not result.findings)
    code = Exit.GOOD if good == len(results) else Exit.VERIFICATION_FAILED
    error = _none_there(results, cards) if cards is not None else ""
    if context.as_json:
        return context.answer(
            {
                "batch": str(folder),
                **place.as_dict(),
                "cards": [verified_as_dict(result) for result in results],
                "verified": good,
                "failed": len(results) - good,
                **({"error": error} if error else {}),
            },
            code,
        )
    if error:
        print_error(error)
    elif code:
        _print_findings(results)
        if cards is not None:
            say_where(cards)
    if left_out := left_out_in_words([each.left_out for each in results]):
        say(left_out)
    print_line(f"{good} of {len(results)} verified")
    return code


def _none_there(results: "Sequence[Verified]", cards: Path) -> str:
    """What to say, once, when the batch was issued and none of its cards is in the folder."""
    from .cards import files_of

    chips = [result.chip for result in results if result.chip]
    if not chips or len(chips) < len(results) or files_of(cards, chips):
        return ""
    return (
        f"none of the {len(chips)} cards of this batch is in {cards}. Check that --cards is the"
        " folder used for `issue`."
    )


def run(
    batch: "Batch",
    issuer: "Issuer",
    place: Place,
    *,
    full: bool = False,
    keys: "KeySet | None" = None,
    bureau: "Bureau | None" = None,
) -> "list[Verified]":
    """Verify with a progress bar, or with the lines for the people who feed the readers.

    Nothing is changed, so it may be stopped at any time.
    """
    from ..production.audit import audit

    results: list[Verified] = []
    try:
        hands = hand_fed(place)
        feed = hands or of_files(place, read_only=True)
        watch(hands, lambda: None)
        with (
            progress("Verifying", shown=hands is None) as advance,
            closing(audit(batch, issuer, feed, full=full, keys=keys, bureau=bureau)) as audited,
        ):
            for result in audited:
                results.append(result)
                advance(len(results), len(batch.numbers))
    except KeyboardInterrupt:
        raise Stopped(
            f"stopped after {len(results)} of {len(batch.numbers)} cards; nothing was changed"
        ) from None
    return sorted(results, key=lambda result: result.number)


def _print_findings(results: "Sequence[Verified]") -> None:
    from ..production.report import chip_name

    rows = [
        (
            str(result.number),
            chip_name(result.chip),
            finding.path,
            str(finding.record or ""),
            finding.field,
            finding.problem,
            finding.expected,
            finding.found,
            finding.state,
        )
        for result in results
        for finding in result.findings
    ]
    headings = ("card", "chip", "file", "record", "field", "problem", "expected", "found", "state")
    print_table("Differences", headings, rows)
