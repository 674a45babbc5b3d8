"""Writing a new batch: the records in a stream, then the holders, and the signed manifest last.

A cut leaves the unfinished folder, with the keys of the batch, sealed, in `unfinished.json`. The
same command with the same list then makes the same bytes again and goes on.
"""

import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from cardlib.crypto.merkle import MerkleRoot, leaf_hash
from cardlib.errors import DAMAGE, CardKeyError, KeysUnavailable, file_error
from cardlib.keys.issuer import Issuer, SealingBatch, Share
from cardlib.regular_file import read_regular
from cardlib.unfinished import lock, sync_folder, unfinished_folder, unfinished_in, wanted_name

from ..listing.holders import NUMBER_COLUMNS, holders
from .batch_files import HOLDERS_FILE, RECORDS_FILE, record_leaf, sync
from .batch_signature import LARGEST_MANIFEST, MANIFEST_FILE
from .manifest import BatchError, BatchHeader, Manifest
from .prepared import PreparedCard

UNFINISHED_FILE = "unfinished.json"
BATCH_FILES = frozenset((MANIFEST_FILE, RECORDS_FILE, HOLDERS_FILE, UNFINISHED_FILE))
"""Those that a batch has while it is made; `issue` adds its own to a finished one."""
_CUTS = (KeyboardInterrupt, KeysUnavailable)
"""What leaves an unfinished batch to be continued, as a power cut does."""
OWN_SITE = "here"
"""The name of the site that prepares, if the records are for no other."""


@dataclass(frozen=True, slots=True)
class _Begun:
    """A batch that is being made in a folder; with `again` some of its records are there."""

    folder: Path
    header: BatchHeader
    batch: SealingBatch
    again: bool


def write_batch(
    folder: Path,
    header: BatchHeader,
    cards: Iterable[PreparedCard],
    issuer: Issuer,
    shares: Sequence[Share] = (),
) -> BatchHeader:
    """Seal the cards, numbered 1 to `header.count`, into a new folder (mode 0700).

    Each record is for the site of its share, or all are for our own. If a batch of this name and
    list was cut, it is continued: its id and time are those of before, in the header that is
    returned. The folder appears whole or not at all: BatchError when it exists already, when the
    cards are not those counted, when two are for one holder, when a continued batch has other
    records, or when it cannot be written; nothing is left behind then.
    """
    _check_new(folder)
    own = [Share(OWN_SITE, 1, header.count)] if header.count else []
    try:
        with _begun(folder, header, issuer, shares or own) as begun:
            _fill(begun, cards, issuer)
            sync_folder(begun.folder)
            move_into_place(begun.folder, folder)
            return begun.header
    except OSError as error:
        raise file_error(BatchError, error, folder) from None


@contextmanager
def _begun(
    folder: Path, header: BatchHeader, issuer: Issuer, shares: Sequence[Share]
) -> Iterator[_Begun]:
    """Continue the batch that was cut, or begin a new one."""
    for place in cut_batches(folder):
        with lock(place) as ours:
            found = _continued(place, header, issuer, shares) if ours else None
            if found is not None:
                with _removed_unless_cut(place):
                    yield found
                return
            if ours:
                shutil.rmtree(place, ignore_errors=True)
    with unfinished_folder(folder, left_by=_CUTS) as temporary:
        batch = issuer.new_batch(uuid.UUID(header.batch_id), header.count, shares)
        _keep(temporary, header, batch, shares)
        yield _Begun(temporary, header, batch, again=False)


@contextmanager
def _removed_unless_cut(place: Path) -> Iterator[None]:
    stays = False
    try:
        yield
    except _CUTS:
        stays = True
        raise
    finally:
        if not stays:
            shutil.rmtree(place, ignore_errors=True)


def cut_batches(folder: Path) -> dict[Path, str]:
    """The unfinished folders of a batch of this name that can be continued, with its id."""
    found = {
        place: unfinished_plan(place)
        for place in unfinished_in(folder.absolute().parent)
        if wanted_name(place) == folder.name and not place.is_symlink()
    }
    return {place: plan["batch_id"] for place, plan in found.items() if plan is not None}


def plan_of(header: BatchHeader, shares: Sequence[Share]) -> str:
    """What must be the same, as text, for a batch that was cut to be continued."""
    same = {
        name: getattr(header, name)
        for name in sorted(header.__dataclass_fields__)
        if name not in ("batch_id", "created", "key_store_hint")
    }
    sites = [
        [each.site, each.first, each.last, str(each.offer.key_id) if each.offer else ""]
        for each in shares
    ]
    return json.dumps([same, sites], sort_keys=True)


def _keep(folder: Path, header: BatchHeader, batch: SealingBatch, shares: Sequence[Share]) -> None:
    members = {
        "plan": plan_of(header, shares),
        "batch_id": header.batch_id,
        "created": header.created,
        "kept": batch.kept.hex(),
    }
    with (folder / UNFINISHED_FILE).open("x", encoding="ascii") as file:
        json.dump(members, file)
        sync(file)
    sync_folder(folder)


def unfinished_plan(place: Path) -> dict[str, str] | None:
    """What an unfinished folder says of its batch; None when it says nothing that is whole."""
    try:
        found = json.loads(read_regular(place / UNFINISHED_FILE, LARGEST_MANIFEST))
        names = ("plan", "batch_id", "created", "kept")
        if not set(os.listdir(place)) <= BATCH_FILES or set(found) != set(names):
            return None
        return {name: str(found[name]) for name in names}
    except (*DAMAGE, OSError):
        return None


def _continued(
    place: Path, header: BatchHeader, issuer: Issuer, shares: Sequence[Share]
) -> _Begun | None:
    """The batch that was cut in a folder; None when it was another list, or other keys."""
    found = unfinished_plan(place)
    if found is None or found["plan"] != plan_of(header, shares):
        return None
    try:
        batch_id = uuid.UUID(found["batch_id"])
        batch = issuer.continued_batch(batch_id, header.count, bytes.fromhex(found["kept"]))
    except KeysUnavailable:
        raise
    except (CardKeyError, *DAMAGE):
        return None
    named = replace(header, batch_id=str(batch_id), created=found["created"])
    return _Begun(place, named, batch, again=True)


def _fill(begun: _Begun, cards: Iterable[PreparedCard], issuer: Issuer) -> None:
    header, folder = begun.header, begun.folder
    records = MerkleRoot()
    found: dict[bytes, int] = {}
    number = 0
    with (folder / RECORDS_FILE).open("a+b" if begun.again else "x+b") as file:
        file.seek(0)
        for number, card in enumerate(cards, 1):
            if card.number != number:
                raise BatchError(f"card {card.number} was given where card {number} was expected")
            if number > header.count:
                raise BatchError(f"more cards were given than {header.count}, as the header says")
            _note_holder(found, card, issuer)
            sealed = begun.batch.seal(number, card.to_bytes())
            _put(file, number, len(sealed).to_bytes(4, "big") + sealed)
            records.add(record_leaf(number, sealed))
        if number == header.count and file.read(1):
            raise _differs(number + 1)
        sync(file)
    if number != header.count:
        raise BatchError(f"{number} cards were given, but the header says {header.count}")
    holders_root = _write_holders(folder, found)
    ranges = tuple(begun.batch.ranges)
    manifest = Manifest(header, records.value, holders_root, len(found), ranges)
    with (folder / MANIFEST_FILE).open("wb") as signed:
        signed.write(begun.batch.sign(manifest.to_json()))
        sync(signed)
    (folder / UNFINISHED_FILE).unlink()


def _put(file: IO[bytes], number: int, entry: bytes) -> None:
    """Write a record, or compare it with the one that was made before the cut."""
    there = file.read(len(entry))
    if there != entry[: len(there)]:
        raise _differs(number)
    if len(there) < len(entry):
        file.write(entry[len(there) :])


def _differs(number: int) -> BatchError:
    """No second record is ever made under the key and the number of another one."""
    return BatchError(
        f"the batch that was cut has another record {number} than the list gives now: a photo was"
        " changed, perhaps. What was made of it was removed. Run the same command again: it makes a"
        " new batch"
    )


def _note_holder(found: dict[bytes, int], card: PreparedCard, issuer: Issuer) -> None:
    for holder in holders({name: card.value(name) for name in NUMBER_COLUMNS}):
        first = found.setdefault(issuer.holder_hash(holder), card.number)
        if first != card.number:
            raise BatchError(f"cards {first} and {card.number} are for the same resident")


def _write_holders(folder: Path, found: dict[bytes, int]) -> bytes:
    """Write the file of holders; return the Merkle root over its entries."""
    tree = MerkleRoot()
    with (folder / HOLDERS_FILE).open("wb") as file:
        for holder, number in found.items():
            entry = number.to_bytes(4, "big") + holder
            tree.add(leaf_hash(entry))
            file.write(entry)
        sync(file)
    return tree.value


def move_into_place(temporary: Path, folder: Path) -> None:
    """Move a finished folder into place in one step: a kill leaves no empty folder there."""
    _check_new(folder)
    try:
        temporary.rename(folder)
    except OSError:
        _check_new(folder)
        raise
    sync_folder(folder.parent)


def _check_new(folder: Path) -> None:
    if os.path.lexists(folder):
        raise BatchError(f"{folder} exists already: give the name of a new folder")
