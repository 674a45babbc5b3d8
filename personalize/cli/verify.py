"""rhcard verify: read issued cards back and compare them with what was prepared."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cardlib.errors import TransportError

from .exits import Exit
from .failures import Stopped
from .options import (
    batch_argument,
    cards_option,
    json_option,
    keys_option,
    open_batch,
    passphrase_option,
)
from .output import print_json, print_line, print_table, progress

if TYPE_CHECKING:
    from cardlib.keys import Issuer

    from ..preparation.batch import Batch
    from ..production.report import Verified


@click.command(name="verify")
@batch_argument
@cards_option
@keys_option
@passphrase_option
@json_option
def command(
    folder: Path, *, cards: Path, keys: Path | None, passphrase_file: Path | None, as_json: bool
) -> int:
    """Read the cards of BATCH back as a terminal would, and try what must be refused.

    Each field is compared with what was prepared. No wrong key or PIN is ever presented.
    """
    from ..production.report import verified_as_dict

    if not cards.is_dir():
        raise TransportError(f"{cards}: there is no such folder of cards")
    batch, store = open_batch(folder, keys, passphrase_file)
    results = run(batch, store, cards)
    good = sum(1 for result in results if not result.findings)
    code = Exit.GOOD if good == len(results) else Exit.VERIFICATION_FAILED
    if as_json:
        print_json(
            {
                "batch": str(folder),
                "folder": str(cards),
                "cards": [verified_as_dict(result) for result in results],
                "verified": good,
                "failed": len(results) - good,
                "exit_code": int(code),
            }
        )
        return code
    if code:
        _print_findings(results)
    print_line(f"{good} of {len(results)} verified")
    return code


def run(batch: "Batch", issuer: "Issuer", cards: Path) -> "list[Verified]":
    """Verify with a progress bar; nothing is changed, so Ctrl-C leaves nothing behind."""
    from ..production.audit import audit
    from ..production.station import FolderFeed

    results: list[Verified] = []
    try:
        with progress("Verifying") as advance:
            for result in audit(batch, issuer, FolderFeed(cards)):
                results.append(result)
                advance(len(results), batch.header.count)
    except KeyboardInterrupt:
        raise Stopped(
            f"stopped after {len(results)} of {batch.header.count} cards; nothing was changed"
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
