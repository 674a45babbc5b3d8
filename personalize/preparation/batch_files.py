"""The files of a batch with many entries: `records.bin` and `holders.bin`, and their leaves.

`records.bin` holds length (4) ‖ sealed record for each card. `holders.bin` holds card number in the
batch (4) ‖ holder hash (32) for each number of each holder, in the order of the cards.
"""

import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from cardlib.crypto.merkle import HASH_LENGTH, MerkleRoot, leaf_hash
from cardlib.errors import file_error
from cardlib.regular_file import open_regular, read_regular

from ..listing.holders import NUMBER_COLUMNS
from .manifest import BatchError

RECORDS_FILE = "records.bin"
HOLDERS_FILE = "holders.bin"
ENTRY_LENGTH = 4 + HASH_LENGTH
"""The bytes of an entry in the file of holders."""

_BUFFER = 1 << 20
_TAG_LENGTH = 16
_LARGEST_RECORD = 1024 * 1024
RESTORE = "restore the folder of the batch from a copy"


def record_leaf(number: int, sealed: bytes) -> bytes:
    """Return the hash of a record's leaf: 00 ‖ number (4) ‖ sealed record."""
    return leaf_hash(number.to_bytes(4, "big") + sealed)


@dataclass(slots=True)
class Records:
    """The records `first` to `first + count - 1` in a file: where each ends, and its leaf."""

    path: Path
    first: int
    ends: "array[int]" = field(default_factory=lambda: array("Q"), repr=False)
    leaves: bytearray = field(default_factory=bytearray, repr=False)

    @classmethod
    def read(cls, folder: Path, first: int, count: int) -> "Records":
        """Read where each record ends. BatchError unless they are `count`, to the last byte."""
        records = cls(folder / RECORDS_FILE, first)
        for number, sealed in records._all(count):
            records.leaves += record_leaf(number, sealed)
        return records

    @property
    def root(self) -> bytes:
        """The Merkle root of these records."""
        tree = MerkleRoot()
        for leaf in self.all_leaves():
            tree.add(leaf)
        return tree.value

    def all_leaves(self) -> Iterator[bytes]:
        """Give the hash of each leaf."""
        for at in range(0, len(self.leaves), HASH_LENGTH):
            yield bytes(self.leaves[at : at + HASH_LENGTH])

    def sealed(self, number: int) -> bytes:
        """Read a record again. BatchError when the file was changed since it was opened."""
        which = number - self.first
        start = (self.ends[which - 1] if which else 0) + 4
        try:
            with open_regular(self.path) as file:
                file.seek(start)
                sealed = file.read(self.ends[which] - start)
        except OSError as error:
            raise file_error(BatchError, error, self.path) from None
        known = self.leaves[HASH_LENGTH * which : HASH_LENGTH * (which + 1)]
        if record_leaf(number, sealed) != known:
            raise damaged(self.path, number)
        return sealed

    def _all(self, count: int) -> Iterator[tuple[int, bytes]]:
        path, at = self.path, 0
        last = self.first + count - 1
        try:
            with open_regular(path) as file:
                size = os.fstat(file.fileno()).st_size
                for number in range(self.first, self.first + count):
                    length = int.from_bytes(file.read(4), "big")
                    at += 4 + length
                    if not _TAG_LENGTH < length <= _LARGEST_RECORD or at > size:
                        raise BatchError(
                            f"{path}: record {number} of {last} is damaged or incomplete; {RESTORE}"
                        )
                    self.ends.append(at)
                    yield number, file.read(length)
        except OSError as error:
            raise file_error(BatchError, error, path) from None
        if at != size:
            raise BatchError(f"{path}: damaged: {size - at} bytes follow the last record, {last}")


def damaged(path: Path, number: int) -> BatchError:
    """What to raise for a record that is not the one that was sealed there."""
    return BatchError(
        f"{path}: record {number} is damaged, or another record is in its place; {RESTORE}"
    )


def read_entries(folder: Path, count: int) -> list[bytes]:
    """Read the entries of the file of holders of `count` cards. BatchError when it is too large."""
    path = folder / HOLDERS_FILE
    most = count * len(NUMBER_COLUMNS) * ENTRY_LENGTH
    try:
        raw = read_regular(path, most)
    except OSError as error:
        raise file_error(BatchError, error, path) from None
    if len(raw) % ENTRY_LENGTH:
        raise BatchError(f"{path}: damaged: it ends inside an entry; {RESTORE}")
    return [raw[at : at + ENTRY_LENGTH] for at in range(0, len(raw), ENTRY_LENGTH)]


def sync(file: IO[Any]) -> None:
    """Have the disk write a new file, which only its owner may read."""
    file.flush()
    os.fchmod(file.fileno(), 0o600)
    os.fsync(file.fileno())
