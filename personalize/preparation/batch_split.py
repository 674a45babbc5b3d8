"""Splitting a batch into parts that are carried to stations, and joining parts again.

Neither needs a key: the manifest is the same in each part, and a part has its proof beside it.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from cardlib.crypto.merkle import leaf_hash, outside, range_proof
from cardlib.errors import file_error
from cardlib.regular_file import read_regular
from cardlib.unfinished import sync_folder, unfinished_folder

from .batch_files import HOLDERS_FILE, RECORDS_FILE, sync
from .batch_part import PART_FILE, BatchPart, Contents, check_records, read_contents
from .batch_signature import (
    LARGEST_MANIFEST,
    MANIFEST_FILE,
    is_old,
    read_manifest,
    refuse_unfinished,
)
from .batch_transfers import LARGEST_TRANSFER, transfer_files
from .batch_writing import move_into_place
from .manifest import BatchError, Manifest


def split(folder: Path, out: Path, first: int, last: int) -> None:
    """Write records `first` to `last` of a batch as a part, in a new folder.

    BatchError when they are not in one range, or the batch is damaged, is a part itself, or is of
    an older format.
    """
    manifest, contents = whole_or_part(folder)
    if contents.part is not None:
        raise BatchError(
            f"{folder} is a part already, of records {contents.first} to {contents.last}: split the"
            " whole batch, or merge the parts first"
        )
    if all(not (each.first <= first <= last <= each.last) for each in manifest.ranges):
        ranges = ", ".join(f"{each.first} to {each.last}" for each in manifest.ranges)
        raise BatchError(
            f"{folder}: records {first} to {last} are not in one range. A part has records of one"
            f" site: take them from one of {ranges}"
        )
    numbers = [int.from_bytes(entry[:4], "big") for entry in contents.entries]
    mine = [at for at, number in enumerate(numbers) if first <= number <= last]
    start, end = mine[0], mine[-1] + 1
    before = contents.entries[start - 1] if start else b""
    after = contents.entries[end] if end < len(numbers) else b""
    begin, stop = start - bool(before), end + bool(after)
    part = BatchPart(
        first, last,
        range_proof(list(contents.records.all_leaves()), first - 1, last),
        begin, before, after,
        range_proof([leaf_hash(each) for each in contents.entries], begin, stop),
    )  # fmt: skip
    records = (contents.records.sealed(number) for number in range(first, last + 1))
    _write([folder], out, records, contents.entries[start:end], part)


def merge(folders: Sequence[Path], out: Path) -> None:
    """Join parts of one batch to the whole, or to a larger part, in a new folder.

    BatchError when a part is of another batch, when records are doubled or missing between two
    parts, or when one is damaged.
    """
    found = [(folder, *whole_or_part(folder)) for folder in folders]
    found.sort(key=lambda each: each[2].first)
    one, manifest = found[0][0], found[0][1]
    signed = _manifest_bytes(one)
    for (before, _, left), (folder, _, right) in pairwise(found):
        if _manifest_bytes(folder) != signed:
            raise BatchError(f"{folder} is a part of another batch than {one}: leave it out")
        if right.first <= left.last:
            raise BatchError(
                f"{folder} has record {right.first}, and {before} has it too: leave one of them out"
            )
        if right.first != left.last + 1:
            raise BatchError(
                f"records {left.last + 1} to {right.first - 1} are missing between {before} and"
                f" {folder}: add the part that has them"
            )
    parts = [contents for _, _, contents in found]
    records = (each.records.sealed(n) for each in parts for n in range(each.first, each.last + 1))
    entries = [entry for each in parts for entry in each.entries]
    _write(folders, out, records, entries, _joined(manifest, parts))


def whole_or_part(folder: Path) -> tuple[Manifest, Contents]:
    """Read a batch or a part and check that all is as it was signed. BatchError if not."""
    refuse_unfinished(folder)
    if is_old(folder):
        raise BatchError(
            f"{folder} is a batch of format 2, of an older version: it is issued as a whole. To"
            " split it, prepare the list again"
        )
    manifest, _ = read_manifest(folder)
    contents = read_contents(folder, manifest)
    check_records(contents, manifest)
    return manifest, contents


def _joined(manifest: Manifest, parts: Sequence[Contents]) -> BatchPart | None:
    left, right = parts[0], parts[-1]
    if left.part is None or right.part is None:
        return None
    count, first, last = manifest.header.count, left.first, right.last
    if (first, last) == (1, count):
        return None
    records = _known(count, left.part, right.part)
    begin = left.part.first_entry
    shown = sum(len(each.entries) for each in parts)
    stop = begin + shown + bool(left.part.before) + bool(right.part.after)
    holders = _known_holders(manifest.holders, left, right)
    return BatchPart(
        first, last, tuple(records[span] for span in outside(count, first - 1, last)),
        begin, left.part.before, right.part.after,
        tuple(holders[span] for span in outside(manifest.holders, begin, stop)),
    )  # fmt: skip


def _known(count: int, *parts: BatchPart) -> dict[tuple[int, int], bytes]:
    """The roots of subtrees that the proofs of parts have."""
    return {
        span: node
        for part in parts
        for span, node in zip(
            outside(count, part.first - 1, part.last), part.records_proof, strict=True
        )
    }


def _known_holders(size: int, *parts: Contents) -> dict[tuple[int, int], bytes]:
    found: dict[tuple[int, int], bytes] = {}
    for each in parts:
        if (part := each.part) is not None:
            stop = part.first_entry + len(each.entries) + bool(part.before) + bool(part.after)
            spans = outside(size, part.first_entry, stop)
            found.update(zip(spans, part.holders_proof, strict=True))
    return found


def _manifest_bytes(folder: Path) -> bytes:
    return read_regular(folder / MANIFEST_FILE, LARGEST_MANIFEST)


def _transfers(folders: Iterable[Path]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for path in (each for folder in folders for each in transfer_files(folder)):
        content = read_regular(path, LARGEST_TRANSFER)
        if found.setdefault(path.name, content) != content:
            raise BatchError(
                f"{path}: another part has another transfer of this name: give one of them the"
                " next free number"
            )
    return found


def _write(
    sources: Sequence[Path],
    out: Path,
    records: Iterable[bytes],
    entries: list[bytes],
    part: BatchPart | None,
) -> None:
    small = {MANIFEST_FILE: _manifest_bytes(sources[0]), HOLDERS_FILE: b"".join(entries)}
    small |= _transfers(sources)
    if part is not None:
        small[PART_FILE] = part.to_json()
    try:
        with unfinished_folder(out) as temporary:
            with (temporary / RECORDS_FILE).open("xb") as file:
                for sealed in records:
                    file.write(len(sealed).to_bytes(4, "big") + sealed)
                sync(file)
            for name, content in small.items():
                with (temporary / name).open("xb") as file:
                    file.write(content)
                    sync(file)
            sync_folder(temporary)
            move_into_place(temporary, out)
    except OSError as error:
        raise file_error(BatchError, error, out) from None
