"""The books of a batch, opened and compared: in the bureau's register, or in the batch's folder."""

import errno
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cardlib.errors import DAMAGE, FormatError
from cardlib.keys.issuer import Issuer, PinUse
from cardlib.regular_file import read_regular
from cardlib.unfinished import write_new

from ..listing.holders import NUMBER_COLUMNS, holders
from ..preparation.batch import Batch
from ..register.bureau import BatchFacts, Register
from ..register.checkpoints import checkpoint_if_due
from ..register.conflict import JournalConflict
from ..register.opening import open_reader, open_register
from ..register.states import CardState
from ..register.view import BatchView
from ..register.work import LEASE, BatchWork
from .books import Books, ReadBooks, RegisterPins, folder_books, register_books
from .checkpoint_seal import CheckpointSeal
from .journal import NAME, Journal, JournalMissing, batch_journal
from .journal_copy import read_journal
from .pins import PinFile, open_pins
from .station import alone_with

MARK = "register.json"
"""The file in a batch's folder that names the register it was entered in."""
_MOST = 4096
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True, slots=True)
class Bureau:
    """The bureau's register, and the station that uses it.

    `where` is a path or a URL, `files` the folder of the stations' own files. `issuer_of` gives the
    issuer with the keys of an identity, for the tags of holders. `lease` is in ms.
    """

    where: str
    station: str
    files: Path
    issuer_of: Callable[[str], Issuer]
    lease: int = LEASE


@contextmanager
def opened_to_issue(batch: Batch, issuer: Issuer, bureau: Bureau | None = None) -> Iterator[Books]:
    """Open the books of a batch to issue it; begin them if there are none.

    In a register several stations may do so at once. Without one the folder of the batch is locked.
    JournalConflict when another run is working on it, when the batch belongs to another register
    or journal, or when there are PINs that the journal does not know: with a lost journal every
    resident would get a second card. FormatError when nothing in the PIN file can be read.
    """
    if bureau is not None:
        with _in_register(batch, issuer, bureau) as books:
            yield books
        return
    _check_unmarked(batch.folder)
    with alone_with(batch.folder):
        pins = open_pins(batch.folder, batch.uuid, issuer)
        if pins.faults and not pins.numbers:
            raise FormatError(pins.faults[0])
        with batch_journal(batch, begin=not pins.is_used) as journal:
            journal.check_pins(pins.numbers)
            bound = [each for each in journal.entries() if each.state is not CardState.PREPARED]
            if any(pins.get(each.number) is None for each in bound):
                pins.keep_rest()
            yield folder_books(journal, pins, issuer)


@contextmanager
def opened_to_read(
    batch: Batch, issuer: Issuer, bureau: Bureau | None = None
) -> Iterator[ReadBooks]:
    """Open the books of a batch to read them; nothing is changed.

    JournalConflict as for `opened_to_issue`, and when no card was issued yet.
    """
    if bureau is not None:
        _check_no_journal(batch.folder)
        facts = facts_of(batch)
        with open_reader(bureau.where) as reader:
            if not reader.check(facts, tags_of(batch, issuer, reader.tag_key, bureau)):
                raise _not_issued(batch)
            view = BatchView(reader, facts)
            yield ReadBooks(view, RegisterPins(view, batch.uuid, issuer, PinUse.MAILER))
        return
    _check_unmarked(batch.folder)
    with alone_with(batch.folder):
        pins = open_pins(batch.folder, batch.uuid, issuer)
        with _journal_beside(pins, batch) as journal:
            journal.check_pins(pins.numbers)
            yield ReadBooks(journal, pins)


@contextmanager
def _in_register(batch: Batch, issuer: Issuer, bureau: Bureau) -> Iterator[Books]:
    _check_no_journal(batch.folder)
    identity = batch.header.key_store_identity
    with open_register(bureau.where, bureau.station, bureau.files, identity) as register:
        of_tags = issuer if register.tag_key == identity else bureau.issuer_of(register.tag_key)
        facts, tags = facts_of(batch), tags_of(batch, issuer, register.tag_key, bureau)
        _mark(batch.folder, register)
        register.enter(facts, tags)
        work = BatchWork(register, facts, lease=bureau.lease)
        seal = CheckpointSeal(of_tags.holder_hash)
        checkpoint_if_due(register, seal)
        yield register_books(work, batch.uuid, issuer, of_tags.holder_hash)
        checkpoint_if_due(register, seal)


def facts_of(batch: Batch) -> BatchFacts:
    """What the register keeps of a batch."""
    header = batch.header
    return BatchFacts(
        header.batch_id, header.key_store_identity, header.key_version, header.count,
        batch.numbers.start, batch.numbers.stop - 1,
    )  # fmt: skip


def tags_of(batch: Batch, issuer: Issuer, tag_key: str, bureau: Bureau) -> Mapping[bytes, int]:
    """The tags of a batch's holders, made with the register's keys, and their card numbers.

    After a change of the keys each record is opened, and its tags are made again.
    """
    if issuer.identity == tag_key:
        return batch.holders
    of_tags, found = bureau.issuer_of(tag_key), dict[bytes, int]()
    for card in batch.cards():
        for holder in holders({name: card.value(name) for name in NUMBER_COLUMNS}):
            found[of_tags.holder_hash(holder)] = card.number
    return found


def _mark(folder: Path, register: Register) -> None:
    """Note in a batch's folder which register has it. A folder on read-only media stays as it is.

    It is on the disk before the batch is entered. JournalConflict when it is another register;
    OSError when there is no room.
    """
    found = _marked(folder)
    if found is None:
        text = json.dumps({"register": register.identity, "where": register.database.name})
        try:
            write_new(folder / MARK, text.encode() + b"\n")
        except FileExistsError:  # another station was faster
            _mark(folder, register)
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise
    elif found.get("register") != register.identity:
        raise JournalConflict(
            f"{folder} was entered in another register: {found.get('where')}. In this one its"
            " residents could get second cards. Use the register that has it: --database"
        )


def _marked(folder: Path) -> dict[str, object] | None:
    try:
        found = json.loads(read_regular(folder / MARK, _MOST))
    except FileNotFoundError:
        return None
    except (OSError, *DAMAGE):
        found = None
    return found if isinstance(found, dict) else {"where": f"{folder / MARK} is damaged"}


def _check_no_journal(folder: Path) -> None:
    if (folder / NAME).exists():
        raise JournalConflict(
            f"{folder} has a journal of its own, from an `issue` without the bureau's register."
            " Finish the batch without --database"
        )


def _check_unmarked(folder: Path) -> None:
    if found := _marked(folder):
        raise JournalConflict(
            f"{folder} was entered in the bureau's register: {found.get('where')}. Give it with"
            " --database, or set database in the configuration"
        )


def _journal_beside(pins: PinFile, batch: Batch) -> Journal:
    try:
        return read_journal(batch)
    except JournalMissing:
        if pins.is_used:
            raise
        raise _not_issued(batch) from None


def _not_issued(batch: Batch) -> JournalConflict:
    return JournalConflict(f"{batch.folder}: no card was issued yet. Run `rhcard issue` first")
