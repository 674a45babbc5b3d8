"""Batches: prepared cards sealed in a folder, one record a card, for the stations to issue.

`manifest.cms` is the signed manifest, readable without keys. `records.bin` holds the sealed
records, `holders.bin` the keyed hashes of the holders' numbers; the manifest has a Merkle root over
each. The issuer seals and opens the records (`cardlib.issuance.batches`).
"""

import uuid
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from cardlib.errors import CardKeyError, FormatError, KeysUnavailable
from cardlib.keys.issuer import Issuer, OldBatch, RecordRefused, SealedBatch
from cardlib.pki import SignatureRefused

from .batch_files import Records, damaged
from .batch_part import RecordsDiffer, check_records, read_contents
from .batch_signature import MANIFEST_FILE, Trust, is_old, read_manifest, refuse_unfinished
from .batch_transfers import read_transfers
from .batch_writing import write_batch
from .manifest import BatchError, BatchHeader
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
        begins: Collection[int] = (),
    ) -> None:
        """Internal: use `Batch.open`."""
        self.folder, self.header, self.holders = folder, header, holders
        self._sealed, self._records, self._begins = sealed, records, begins
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
        known = (trust or Trust()).with_own(issuer.preparation_certificate)
        try:
            known.check(signed)
        except SignatureRefused as error:
            raise BatchError(
                f"{folder / MANIFEST_FILE}: {error}. Perhaps the batch was prepared with another"
                f" key store than this one (it names {header.key_store_identity})"
            ) from None
        contents = read_contents(folder, manifest)
        holders = {entry[4:]: int.from_bytes(entry[:4], "big") for entry in contents.entries}
        given = [each.to for each in read_transfers(folder, manifest, known.check)]
        begins = {each.first for each in (*manifest.ranges, *given)}
        begins |= {each.last + 1 for each in given}
        sealed = issuer.sealed_batch(
            uuid.UUID(header.batch_id), header.count, manifest.ranges, given
        )
        batch = cls(folder, header, holders, sealed, contents.records, begins)
        try:
            check_records(contents, manifest)
        except RecordsDiffer:
            batch._name_the_damaged()
            raise
        return batch

    @property
    def numbers(self) -> range:
        """The numbers of the cards that are here: all, or those of a part."""
        return range(self._records.first, self._records.first + len(self._records.ends))

    def cards(self) -> Iterator[PreparedCard]:
        """Give every card in order. Each is decrypted when it is asked for."""
        for number in self.numbers:
            yield self.card(number)

    def refuse_foreign(self) -> None:
        """Raise RecordRefused, before a card is made, unless all records here are of this site.

        It opens one record of each range and transfer.
        """
        here = {*self._begins, self.numbers.start} & set(self.numbers)
        for number in sorted(here):
            try:
                self.card(number)
            except RecordRefused as error:
                raise RecordRefused(
                    f"{self.folder}: {error}. If other records of this folder are this site's, take"
                    " them out of it first: `rhcard batch split`"
                ) from None

    def card(self, number: int) -> PreparedCard:
        """Card `number`, from 1; BatchError if there is none or its record is damaged.

        RecordRefused when the record is another site's, or may not be opened any more.
        """
        path = self._records.path
        if number not in self.numbers:
            here = f"the batch has {self.header.count}"
            if len(self.numbers) != self.header.count:
                here = f"this part has {self.numbers[0]} to {self.numbers[-1]}"
            raise BatchError(f"{path}: there is no record {number}, {here}")
        sealed = self._records.sealed(number)
        try:
            return PreparedCard.from_bytes(self._sealed.unseal(number, sealed))
        except (KeysUnavailable, RecordRefused):
            raise
        except (CardKeyError, FormatError, ValueError):
            raise damaged(path, number) from None

    def _name_the_damaged(self) -> None:
        """BatchError for the first record that does not open, if it can be found with our keys."""
        for number in self.numbers:
            try:
                self.card(number)
            except RecordRefused:
                continue
