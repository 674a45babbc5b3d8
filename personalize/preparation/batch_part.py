"""A part of a batch: some of its records, with the proof that they are those that were signed.

`part.json` in the folder says which records and which entries of `holders.bin` there are, and has
the Merkle proofs of both ranges. The holders' range is one entry longer on each side, if there is
one: the numbers of these two show that no holder of the part was left out.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cardlib.crypto.merkle import leaf_hash, root_of, root_of_range
from cardlib.errors import DAMAGE, FormatError, file_error
from cardlib.regular_file import read_regular

from .batch_files import ENTRY_LENGTH, HOLDERS_FILE, RESTORE, Records, read_entries
from .manifest import BatchError, Manifest

PART_FILE = "part.json"
FORMAT = "rhcard batch part 1"
_LARGEST_PART = 64 * 1024


@dataclass(frozen=True, slots=True)
class BatchPart:
    """What a part says: its records, its entries with their two neighbours, and the proofs.

    `first_entry` is the index of the first one, a neighbour too. `before` and `after` are these
    neighbours, empty at the ends of the batch.
    """

    first: int
    last: int
    records_proof: tuple[bytes, ...]
    first_entry: int
    before: bytes
    after: bytes
    holders_proof: tuple[bytes, ...]

    def to_json(self) -> bytes:
        """The content of the file."""
        members = {
            "format": FORMAT, "first": self.first, "last": self.last,
            "records_proof": [each.hex() for each in self.records_proof],
            "first_entry": self.first_entry, "before": self.before.hex(),
            "after": self.after.hex(), "holders_proof": [each.hex() for each in self.holders_proof],
        }  # fmt: skip
        return json.dumps(members, sort_keys=True, separators=(",", ":")).encode("ascii")

    @classmethod
    def from_json(cls, raw: bytes) -> "BatchPart":
        """Read a part. Raises FormatError when it is none."""
        try:
            members: Mapping[str, Any] = json.loads(raw)
            found = cls(
                members["first"], members["last"], _hashes(members["records_proof"]),
                members["first_entry"], bytes.fromhex(members["before"]),
                bytes.fromhex(members["after"]), _hashes(members["holders_proof"]),
            )  # fmt: skip
            if found.to_json() == raw and {len(found.before), len(found.after)} <= {
                0,
                ENTRY_LENGTH,
            }:
                return found
        except DAMAGE:
            pass
        raise FormatError(f"it is no part of the format {FORMAT!r}")


@dataclass(frozen=True, slots=True)
class Contents:
    """The records and the holders' entries that are in a folder; `part` is None if all are."""

    records: Records
    entries: list[bytes]
    part: BatchPart | None

    @property
    def first(self) -> int:
        """The number of the first record."""
        return self.records.first

    @property
    def last(self) -> int:
        """The number of the last record."""
        return self.first + len(self.records.ends) - 1


class RecordsDiffer(BatchError):
    """The records in a folder are not those that were signed."""


def read_contents(folder: Path, manifest: Manifest) -> Contents:
    """Read the records and holders of a batch or a part of one.

    BatchError unless the holders are those that were signed. Whether the records are is a question
    of `check_records`.
    """
    part = _read_part(folder)
    count = manifest.header.count
    first, last = (part.first, part.last) if part else (1, count)
    if part and not 1 <= first <= last <= count:
        raise BatchError(f"{folder / PART_FILE}: damaged: it has records {first} to {last}")
    entries = read_entries(folder, last - first + 1)
    if _holders_root(manifest, entries, part) != manifest.holders_root:
        raise BatchError(
            f"{folder / HOLDERS_FILE}: damaged, or copied from another batch; {RESTORE}"
        )
    return Contents(Records.read(folder, first, last - first + 1), entries, part)


def check_records(contents: Contents, manifest: Manifest) -> None:
    """Raise RecordsDiffer unless the records are those that were signed."""
    part, records = contents.part, contents.records
    try:
        root = records.root
        if part is not None:
            leaves = list(records.all_leaves())
            root = root_of_range(manifest.header.count, part.first - 1, leaves, part.records_proof)
    except FormatError:
        root = b""
    if root != manifest.records_root:
        raise RecordsDiffer(
            f"{records.path}: damaged: the records are not those that were signed; {RESTORE}"
        )


def _holders_root(manifest: Manifest, entries: list[bytes], part: BatchPart | None) -> bytes:
    """The root over the entries; nothing when those of a part are not all that it must have."""
    if part is None:
        return root_of([leaf_hash(entry) for entry in entries])
    numbers = [int.from_bytes(entry[:4], "big") for entry in entries]
    around = [part.before, *entries, part.after]
    shown = [leaf_hash(entry) for entry in around if entry]
    end = part.first_entry + len(shown)
    begins = 0 < _number(part.before) < part.first if part.before else part.first_entry == 0
    ends = _number(part.after) > part.last if part.after else end == manifest.holders
    if not (begins and ends and all(part.first <= each <= part.last for each in numbers)):
        return b""
    try:
        return root_of_range(manifest.holders, part.first_entry, shown, part.holders_proof)
    except FormatError:
        return b""


def _number(entry: bytes) -> int:
    return int.from_bytes(entry[:4], "big")


def _hashes(values: list[str]) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(each) for each in values)


def _read_part(folder: Path) -> BatchPart | None:
    path = folder / PART_FILE
    try:
        return BatchPart.from_json(read_regular(path, _LARGEST_PART))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise file_error(BatchError, error, path) from None
    except FormatError as error:
        raise BatchError(f"{path}: damaged: {error}; {RESTORE}") from None
