"""Transfers in the folder of a batch: `transfer-1.cms` and so on, each signed by the giving site.

A transfer moves records from the site that has them to another one. They are taken in the order of
their numbers: each record is always one site's.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from uuid import UUID

from cardlib.errors import FormatError, file_error
from cardlib.issuance.transfers import Transfer
from cardlib.keys.issuer import Issuer, RecordRange, Share
from cardlib.pki import SignatureRefused
from cardlib.pki.signed_data import SignedContent
from cardlib.pki.signed_data import opened as opened_signed
from cardlib.regular_file import read_regular
from cardlib.unfinished import write_new

from .manifest import BatchError, Manifest

LARGEST_TRANSFER = 512 * 1024
_NAME = re.compile(r"transfer-([1-9][0-9]{0,5})\.cms")


class TransferRegister(Protocol):
    """Where the bureau enters transfers: the register of each of the two sites.

    The giving site enters it before the transfer leaves it: its stations claim none of the records
    any more. The receiving site enters it before it issues the first of them. Both refuse records
    that are assigned already.
    """

    def enter(self, transfer: Transfer, *, giving: bool) -> None:
        """Enter a transfer in one transaction. Raises CardError when a record is in work."""
        ...


class NoRegister:
    """The register of a site that has none: the signed file in the folder is all there is."""

    def enter(self, transfer: Transfer, *, giving: bool) -> None:
        """Do nothing."""


def transfer_files(folder: Path) -> list[Path]:
    """The transfers in a folder, in the order of their numbers."""
    found = [(match, path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found, key=lambda each: int(each[0][1]))]


def read_transfers(
    folder: Path, manifest: Manifest, check: Callable[[SignedContent], None]
) -> list[Transfer]:
    """Read the transfers of a batch, in order. `check` raises SignatureRefused for a signer.

    BatchError, which names the file, when one is damaged, is of another batch, is signed by
    somebody unknown, or gives records that are not the giver's.
    """
    taken: list[Transfer] = []
    for path in transfer_files(folder):
        try:
            signed = opened_signed(read_regular(path, LARGEST_TRANSFER))
            check(signed)
            transfer = Transfer.from_json(signed.content)
        except OSError as error:
            raise file_error(BatchError, error, path) from None
        except (SignatureRefused, FormatError) as error:
            raise BatchError(f"{path}: {error}; take the file from the giving site again") from None
        header = manifest.header
        if (str(transfer.batch), transfer.count) != (header.batch_id, header.count):
            raise BatchError(f"{path} is a transfer of another batch: take it out of this folder")
        _check_giver(path, manifest, taken, transfer)
        taken.append(transfer)
    return taken


def owner(manifest: Manifest, taken: list[Transfer], number: int) -> tuple[RecordRange, bool]:
    """The range or the transfer that record `number` is of; True for a transfer."""
    for each in reversed(taken):
        if each.to.first <= number <= each.to.last:
            return each.to, True
    for of in manifest.ranges:
        if of.first <= number <= of.last:
            return of, False
    raise BatchError(f"there is no record {number}, the batch has {manifest.header.count}")


def transfer_records(
    folder: Path,
    manifest: Manifest,
    taken: list[Transfer],
    issuer: Issuer,
    to: Share,
    register: TransferRegister,
) -> Path:
    """Give records to another site: write the signed transfer beside the manifest; return its file.

    BatchError when the records are not all of one site, RecordRefused when they are not ours.
    """
    owned, transferred = owner(manifest, taken, to.first)
    if owner(manifest, taken, to.last) != (owned, transferred):
        raise BatchError(
            f"{folder}: records {to.first} to {to.last} are not all of one range or transfer: make"
            " a transfer for each"
        )
    header = manifest.header
    signed = issuer.transfer(
        UUID(header.batch_id), header.count, owned, to, transferred=transferred
    )
    register.enter(Transfer.from_json(opened_signed(signed).content), giving=True)
    files = transfer_files(folder)
    number = int(files[-1].stem.rpartition("-")[2]) + 1 if files else 1
    path = folder / f"transfer-{number}.cms"
    try:
        write_new(path, signed)
    except OSError as error:
        raise file_error(BatchError, error, path) from None
    return path


def _check_giver(path: Path, manifest: Manifest, taken: list[Transfer], new: Transfer) -> None:
    to = new.to
    if not 1 <= to.first <= to.last <= manifest.header.count:
        raise BatchError(f"{path}: there are no records {to.first} to {to.last} in this batch")
    for number in range(to.first, to.last + 1):
        of, _ = owner(manifest, taken, number)
        if of.key_id != new.giver:
            raise BatchError(
                f"{path}: record {number} is of site {of.site}, and another site gives it away:"
                " take the file out, and ask both sites which of two transfers counts"
            )
