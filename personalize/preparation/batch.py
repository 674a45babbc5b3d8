"""Batches: prepared cards sealed in a folder, one record a card, for the stations to issue.

`manifest.cms` is the signed manifest, readable without keys. `records.bin` holds the sealed
records, `holders.bin` the keyed hashes of the holders' numbers; the manifest has a Merkle root over
each. The issuer seals and opens the records (`cardlib.issuance.batches`).
"""

import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from cardlib.crypto.merkle import leaf_hash, root_of
from cardlib.errors import CardKeyError, FormatError, KeysUnavailable
from cardlib.keys.issuer import Issuer, OldBatch, RecordRefused, SealedBatch
from cardlib.pki import SignatureRefused

from .batch_files import HOLDERS_FILE, RESTORE, Records, damaged, read_entries
from .batch_signature import MANIFEST_FILE, Trust, is_old, read_manifest, refuse_unfinished
from .batch_writing import write_batch
from .manifest import BatchError, BatchHeader, Manifest
from .old_batch import open_old_batch, read_old_header
from .prepared import PreparedCard

__all__ = ["Batch", "BatchError", "BatchHeader", "read_header", "write_batch"]


def read_header(folder: Path) -> BatchHeader:
    """Read the header without keys. Whose signature it has is not checked: `Batch.open` does that.

    BatchError when the folder holds no batch or the header is damaged.
    """
    refuse_unfinished(folder)
    return read_old_header(folder)[0] if is_old(folder) else read_manifest(folder)[0].header


class Batch:
    """An opened batch; decrypts one record at a time and keeps none.

    `holders` gives the card of the batch for each holder hash.
    """

    def __init__(
        self,
        folder: Path,
        header: BatchHeader,
        holders: Mapping[bytes, int],
        sealed: SealedBatch | OldBatch,
        records: Records,
    ) -> None:
        """Internal: use `Batch.open`."""
        self.folder, self.header, self.holders = folder, header, holders
        self._sealed, self._records = sealed, records
        self.uuid = uuid.UUID(header.batch_id)

    def __repr__(self) -> str:
        return f"Batch({str(self.folder)!r}, {self.header.count} cards)"

    @classmethod
    def open(cls, folder: Path, issuer: Issuer, trust: Trust | None = None) -> "Batch":
        """Open and authenticate, without decrypting a record.

        `trust` has the signers that are taken besides those with the issuer's own keys. BatchError
        for damage, an unknown signer or one whose certificate is not valid, or missing records.
        """
        refuse_unfinished(folder)
        if is_old(folder):
            header, holders, old = open_old_batch(folder, issuer)
            return cls(folder, header, holders, old, Records.read(folder, 1, header.count))
        manifest, signed = read_manifest(folder)
        header = manifest.header
        try:
            (trust or Trust()).with_own(issuer.preparation_certificate).check(signed)
        except SignatureRefused as error:
            raise BatchError(
                f"{folder / MANIFEST_FILE}: {error}. Perhaps the batch was prepared with another"
                f" key store than this one (it names {header.key_store_identity})"
            ) from None
        holders = _holders(folder, manifest)
        sealed = issuer.sealed_batch(uuid.UUID(header.batch_id), header.count, manifest.ranges)
        batch = cls(folder, header, holders, sealed, Records.read(folder, 1, header.count))
        batch._check_root(manifest)
        return batch

    def cards(self) -> Iterator[PreparedCard]:
        """Give every card in order. Each is decrypted when it is asked for."""
        for number in range(1, self.header.count + 1):
            yield self.card(number)

    def card(self, number: int) -> PreparedCard:
        """Card `number`, from 1; BatchError if there is none or its record is damaged.

        RecordRefused when the record is another site's, or may not be opened any more.
        """
        path = self._records.path
        if not 1 <= number <= self.header.count:
            raise BatchError(
                f"{path}: there is no record {number}, the batch has {self.header.count}"
            )
        sealed = self._records.sealed(number)
        try:
            return PreparedCard.from_bytes(self._sealed.unseal(number, sealed))
        except (KeysUnavailable, RecordRefused):
            raise
        except (CardKeyError, FormatError, ValueError):
            raise damaged(path, number) from None

    def _check_root(self, manifest: Manifest) -> None:
        """BatchError unless the signed root is right; it names the record if that is found."""
        if self._records.root == manifest.records_root:
            return
        for number in range(1, self.header.count + 1):
            try:
                self.card(number)
            except RecordRefused:
                continue
        raise BatchError(
            f"{self._records.path}: damaged: the records are not those that were signed; {RESTORE}"
        )


def _holders(folder: Path, manifest: Manifest) -> dict[bytes, int]:
    """The card of each holder hash; BatchError unless the file is the one that was signed."""
    entries = read_entries(folder, manifest.header.count)
    if root_of([leaf_hash(entry) for entry in entries]) != manifest.holders_root:
        raise BatchError(
            f"{folder / HOLDERS_FILE}: damaged, or copied from another batch; {RESTORE}"
        )
    return {entry[4:]: int.from_bytes(entry[:4], "big") for entry in entries}
