"""rhcard batch: look at a batch, check it, split it, and move records between sites."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .batch_sites import certificate, offer, purge, transfer
from .context import Context
from .exits import Exit
from .options import (
    NewPath,
    batch_argument,
    json_option,
    keys_option,
    passphrase_option,
    trusted_option,
)
from .output import print_line, print_table, say

if TYPE_CHECKING:
    from cardlib.issuance.transfers import Transfer
    from cardlib.pki.signed_data import SignedContent

    from ..preparation.batch_part import Contents
    from ..preparation.manifest import Manifest


@click.group(name="batch")
def command() -> None:
    """Look at, check and split batches; give records to sites.

    \b
    Examples:
      rhcard batch show batch
      rhcard batch split batch --records 1-2 --out desk-1
    """


class RecordSpan(click.ParamType[tuple[int, int]]):
    """FIRST-LAST: two numbers of records."""

    name = "records"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """The two numbers; BadParameter when they are none."""
        first, dash, last = str(value).partition("-")
        if dash and first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last):
            return int(first), int(last)
        self.fail(f"{value!r} is not FIRST-LAST: write two numbers of records, as in 1-500")


@command.command()
@batch_argument
@json_option
@click.pass_obj
def show(context: Context, folder: Path) -> int:
    """Show what a batch says about itself.

    This needs no keys. It does not say who may sign a batch: `rhcard batch check` does.

    \b
    Examples:
      rhcard batch show batch
    """
    from ..preparation.batch import read_header
    from ..preparation.batch_part import read_contents
    from ..preparation.batch_signature import is_old, read_manifest, refuse_unfinished
    from ..preparation.batch_transfers import read_transfers
    from ..preparation.seal import described

    refuse_unfinished(folder)
    if is_old(folder):
        header = described(read_header(folder))
        if context.as_json:
            return context.answer({"batch": str(folder), "format": 2, **header})
        print_line(f"{folder}: a batch of format 2, of an older version: {header['count']} cards")
        return Exit.GOOD
    manifest, signed = read_manifest(folder)
    contents = read_contents(folder, manifest)
    transfers = read_transfers(folder, manifest, lambda _: None)
    if context.as_json:
        return context.answer(_in_json(folder, manifest, signed, contents, transfers))
    _print(folder, manifest, signed, contents, transfers)
    return Exit.GOOD


@command.command()
@batch_argument
@keys_option
@trusted_option
@passphrase_option
@json_option
@click.pass_obj
def check(context: Context, folder: Path) -> int:
    """Check that a batch is whole and is as it was signed.

    Every byte of its files is checked: manifest, records, holders, transfers. This needs no keys.
    With --keys or --trusted it is also checked who signed. With --keys a damaged record is named.

    \b
    Examples:
      rhcard batch check batch
      rhcard batch check batch --keys keys.json
    """
    from ..preparation.batch_signature import read_manifest
    from ..preparation.batch_split import whole_or_part
    from ..preparation.batch_transfers import read_transfers

    if context.keys is not None:
        batch, _, _ = context.batch(folder)
        count = len(batch.numbers)
    else:
        manifest, contents = whole_or_part(folder)
        trust = context.trust()
        checked = trust.check if context.trusted else (lambda _: None)
        _check_signer(folder, checked)
        read_transfers(folder, manifest, checked)
        count = contents.last - contents.first + 1
    signer = read_manifest(folder)[1].signer.name
    is_known = context.keys is not None or context.trusted is not None
    if context.as_json:
        members = {"records": count, "signer": signer, "signer_checked": is_known}
        return context.answer({"batch": str(folder), **members})
    print_line(f"{folder}: {count} records, all as they were signed by {signer}")
    if not is_known:
        say("Whether this signer may sign was not checked: give --keys FILE or --trusted DIR.")
    return Exit.GOOD


def _check_signer(folder: Path, checked: Any) -> None:
    from cardlib.pki import SignatureRefused

    from ..preparation.batch_signature import MANIFEST_FILE, read_manifest
    from ..preparation.manifest import BatchError

    try:
        checked(read_manifest(folder)[1])
    except SignatureRefused as error:
        raise BatchError(f"{folder / MANIFEST_FILE}: {error}") from None


@command.command()
@batch_argument
@click.option(
    "--records",
    required=True,
    type=RecordSpan(),
    metavar="FIRST-LAST",
    help="The records of the part. They must be in one range, so for one site.",
)
@click.option(
    "--out", required=True, type=NewPath(), metavar="PART", help="The new folder of the part."
)
@json_option
@click.pass_obj
def split(context: Context, folder: Path, *, records: tuple[int, int], out: Path) -> int:
    """Copy some records of a batch to a folder of their own.

    The part has the signed manifest, and a proof that its records belong to it. This needs no keys.
    A part is issued like a batch.

    \b
    Examples:
      rhcard batch split batch --records 1-2 --out part
    """
    from ..preparation.batch_split import split as split_batch

    split_batch(folder, out, *records)
    first, last = records
    if context.as_json:
        return context.answer({"part": str(out), "first": first, "last": last})
    print_line(f"{out}: records {first} to {last} of {folder}")
    return Exit.GOOD


@command.command()
@click.argument(
    "folders",
    metavar="PART...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
)
@click.option(
    "--out", required=True, type=NewPath(), metavar="BATCH", help="The new folder of the batch."
)
@json_option
@click.pass_obj
def merge(context: Context, folders: tuple[Path, ...], *, out: Path) -> int:
    """Join parts of one batch to the whole, or to a larger part.

    This needs no keys. A part of another batch, a doubled record and a missing one are refused.

    \b
    Examples:
      rhcard batch merge part-1 part-2 --out batch-again
    """
    from ..preparation.batch_split import merge as merge_parts
    from ..preparation.batch_split import whole_or_part

    merge_parts(folders, out)
    _, contents = whole_or_part(out)
    is_whole = contents.part is None
    if context.as_json:
        members = {"first": contents.first, "last": contents.last, "whole": is_whole}
        return context.answer({"batch": str(out), **members})
    what = "the whole batch" if is_whole else "a part of it"
    print_line(f"{out}: records {contents.first} to {contents.last}, {what}")
    return Exit.GOOD


def _in_json(
    folder: Path,
    manifest: "Manifest",
    signed: "SignedContent",
    contents: "Contents",
    transfers: "list[Transfer]",
) -> dict[str, Any]:
    from ..preparation.seal import described

    rows = [(each.to, True) for each in transfers] + [(each, False) for each in manifest.ranges]
    return {
        "batch": str(folder),
        "format": 3,
        **described(manifest.header),
        "first": contents.first,
        "last": contents.last,
        "signer": signed.signer.name,
        "signed": signed.time.isoformat(),
        "valid_from": signed.signer.begins.isoformat(),
        "valid_to": signed.signer.ends.isoformat(),
        "sites": [
            {
                "site": each.site, "first": each.first, "last": each.last,
                "key_id": str(each.key_id), "transfer": is_transfer,
            }
            for each, is_transfer in rows
        ],
    }  # fmt: skip


def _print(
    folder: Path,
    manifest: "Manifest",
    signed: "SignedContent",
    contents: "Contents",
    transfers: "list[Transfer]",
) -> None:
    header = manifest.header
    print_line(f"{folder}: batch {header.batch_id}, {header.count} cards")
    if contents.part is not None:
        print_line(f"a part: records {contents.first} to {contents.last}")
    print_line(f"made {header.created} of {header.source_name}, issue date {header.issue_date}")
    print_line(f"keys {header.key_store_identity}, version {header.key_version}")
    print_line(f"signed {signed.time.isoformat()} by {signed.signer.name}")
    print_line(f"its certificate ends {signed.signer.ends:%Y-%m-%d}")
    rows = [
        (f"{each.first} to {each.last}", each.site, "as prepared") for each in manifest.ranges
    ] + [(f"{each.to.first} to {each.to.last}", each.to.site, "transferred") for each in transfers]
    print_table("Sites", ("records", "site", "how"), rows)


for _each in (offer, transfer, purge, certificate):
    command.add_command(_each)
