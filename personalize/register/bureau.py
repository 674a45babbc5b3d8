"""The register of a bureau: its stations and its batches, in one database."""

import hashlib
import secrets
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, insert, inspect, select, text

from . import schema
from .conflict import JournalConflict
from .database import Database
from .events import FIRST, Event
from .states import Act, CardState
from .station_file import StationFile
from .writing import Writing, events_of, new_transaction_id

T = TypeVar("T")
_SALT = 16


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """What the register keeps of a batch of `count` records.

    A part of a batch has records `first` to `last` of it; `last` is 0 for the end of the batch.
    """

    batch: str
    key_store_identity: str
    key_version: int
    count: int
    first: int = 1
    last: int = 0

    @property
    def numbers(self) -> range:
        """The numbers of the records that are here."""
        return range(self.first, (self.last or self.count) + 1)


class RegisterReader:
    """The register, to be read; a context manager that closes it.

    `identity` names the register, `tag_key` the keys that its holders' tags are made with.
    """

    def __init__(self, database: Database, identity: str, tag_key: str) -> None:
        """Use `open_reader`."""
        self.database, self.identity, self.tag_key = database, identity, tag_key

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def read(self, query: Callable[[Connection], T]) -> T:
        """Read in a transaction of its own."""
        return self.database.read(query)

    def check(self, facts: BatchFacts, tags: Mapping[bytes, int]) -> bool:
        """Whether a batch is entered. JournalConflict when it is, with other facts or tags."""
        there = self.read(lambda connection: check_batch(connection, facts, tags))
        return there >= set(facts.numbers)


class Register(RegisterReader):
    """The register, as one station uses it."""

    def __init__(
        self, database: Database, identity: str, tag_key: str, station: str, file: StationFile
    ) -> None:
        """Use `open_register`."""
        super().__init__(database, identity, tag_key)
        self.station, self.file = station, file

    def close(self) -> None:
        """Close the station's file and the database."""
        self.file.close()
        super().close()

    def write(self, work: Callable[[Writing], T], recall: Callable[[list[Event]], T]) -> T:
        """Do `work` in one transaction, with its events in the station's file before it ends.

        `recall` gives the result from the events, when the transaction was done but its end was not
        heard of. Raises as `Database.run`.
        """
        transaction = new_transaction_id()

        def attempt(connection: Connection, again: bool) -> T:
            writing = Writing(connection, self.station, transaction)
            # The first try may still be at its COMMIT: then this waits for the station's row.
            writing.begin()
            if again and (found := events_of(connection, transaction)):
                return recall(found)
            result = work(writing)
            if writing.events:
                writing.end()
                self.file.add(writing.events, writing.beside)
            return result

        return self.database.run(attempt)

    def enter(self, facts: BatchFacts, tags: Mapping[bytes, int]) -> bool:
        """Enter a batch with a card `prepared` for each record; False when it is there already.

        `tags` are those of its holders. JournalConflict when it is there with other facts or tags.
        """

        def work(writing: Writing) -> bool:
            there = check_batch(writing.connection, facts, tags)
            new = [number for number in facts.numbers if number not in there]
            if not new:
                return False
            if new != list(range(new[0], new[-1] + 1)):
                raise JournalConflict(
                    f"of batch {facts.batch} only records between those of this part are in the"
                    " register. Enter the smaller parts one by one"
                )
            rest = replace(facts, first=new[0], last=new[-1])
            rows = [
                holder_row(facts.batch, number, secrets.token_bytes(_SALT), tag)
                for tag, number in tags.items()
                if number in rest.numbers
            ]
            named = {"register": self.identity, "tag_key": self.tag_key}
            _insert_batch(writing, rest, rows, named, is_new=not there)
            writing.beside = {"holders": [holder_as_list(row) for row in rows]}
            return True

        return self.write(work, lambda _: True)


def check_batch(
    connection: Connection, facts: BatchFacts, tags: Mapping[bytes, int]
) -> frozenset[int]:
    """The records of a batch that are entered. JournalConflict for other facts or tags of them."""
    table, card = schema.batch, schema.card
    found = connection.execute(select(table).where(table.c.id == facts.batch)).one_or_none()
    if found is None:
        return frozenset()
    query = select(card.c.number).where(card.c.batch == facts.batch, card.c.is_current)
    there = frozenset(row.number for row in connection.execute(query))
    named = (facts.key_store_identity, facts.key_version, facts.count)
    own = {tag: number for tag, number in tags.items() if number in there}
    stored = _tags_of(connection, facts.batch)
    known = {tag: number for tag, number in stored.items() if number in facts.numbers}
    if tuple(found)[1:4] != named or known != own:
        raise JournalConflict(
            f"the register has batch {facts.batch} with other residents or keys. One of the two"
            " copies of the batch folder is not the real one"
        )
    return there


def tags_commitment(rows: Iterable[tuple[int, bytes]]) -> str:
    """One hash over the holders of a batch: of each the card number and its commitment."""
    ordered = sorted(number.to_bytes(4, "big") + commitment for number, commitment in rows)
    return hashlib.sha256(b"".join(ordered)).hexdigest()


def commitment(salt: bytes, tag: bytes) -> bytes:
    """What the journal holds of a tag: after salt and tag were erased, it names nobody."""
    return hashlib.sha256(salt + tag).digest()


HolderRow = dict[str, Any]
"""One number of a holder, as a row of the table."""


def holder_row(batch: str, number: int, salt: bytes, tag: bytes) -> HolderRow:
    """The row of a holder whose card was not begun."""
    return {
        "batch": batch, "number": number, "commitment": commitment(salt, tag), "salt": salt,
        "tag": tag, "in_use": False,
    }  # fmt: skip


def holder_as_list(row: HolderRow) -> list[int | str]:
    """A holder's row in a station's file: number, salt and tag in hex."""
    return [row["number"], row["salt"].hex(), row["tag"].hex()]


def _insert_batch(
    writing: Writing,
    facts: BatchFacts,
    holders: list[HolderRow],
    named: Mapping[str, str],
    *,
    is_new: bool,
) -> None:
    insert_batch(writing.connection, facts, holders, writing.at, is_new=is_new)
    held = tags_commitment((each["number"], each["commitment"]) for each in holders)
    detail = {
        "count": facts.count, "key_store_identity": facts.key_store_identity,
        "key_version": facts.key_version, "holders": held,
        "first": facts.numbers[0], "last": facts.numbers[-1], **named,
    }  # fmt: skip
    writing.record(Act.ENTERED, batch=facts.batch, detail=detail)


def insert_batch(
    connection: Connection,
    facts: BatchFacts,
    holders: list[HolderRow],
    at: int,
    *,
    is_new: bool = True,
) -> None:
    """Insert the rows of a batch: the batch if it is new, its cards, prepared, its holders."""
    row = {
        "id": facts.batch, "key_store_identity": facts.key_store_identity,
        "key_version": facts.key_version, "count": facts.count, "entered": at,
    }  # fmt: skip
    if is_new:
        connection.execute(insert(schema.batch), row)
    cards = [
        {
            "batch": facts.batch, "number": number, "attempt": 1, "is_current": True,
            "state": CardState.PREPARED.value, "step": 0, "token": 0, "problem": "", "changed": at,
        }
        for number in facts.numbers
    ]  # fmt: skip
    if cards:
        connection.execute(insert(schema.card), cards)
    if holders:
        connection.execute(insert(schema.holder), holders)


def _tags_of(connection: Connection, batch: str) -> dict[bytes, int]:
    table = schema.holder
    query = select(table.c.tag, table.c.number).where(table.c.batch == batch)
    return {row.tag: row.number for row in connection.execute(query)}


def begin_tables(database: Database, tag_key: str, known: str | None = None) -> tuple[str, str]:
    """Make the tables if there are none; return the register's identity and its tag key.

    JournalConflict when the tables are of another program, or of another version of this one, or
    when they are not those of the register that this computer knows here by its identity.
    """

    def work(connection: Connection, _: bool) -> tuple[str, str]:
        if not database.is_sqlite:
            # Two stations that start at once must not both make the tables.
            connection.execute(text("SELECT pg_advisory_xact_lock(7265)"))
        tables = set(inspect(connection).get_table_names())
        if known is not None and not tables:
            raise _not_known(database, known)
        if tables and schema.register.name not in tables:
            raise JournalConflict(
                f"{database.name} has tables of another program. Give a new file, or an empty"
                " database, for the register. Nothing was changed"
            )
        schema.metadata.create_all(connection)
        row = connection.execute(select(schema.register)).one_or_none()
        if row is not None:
            if known not in (None, row.id):
                raise _not_known(database, str(known))
            return _checked(database, row.id, row.format, row.tag_key)
        identity = str(uuid.uuid4())
        new = {"id": identity, "format": schema.FORMAT, "tag_key": tag_key}
        connection.execute(insert(schema.register), new)
        return identity, tag_key

    return database.run(work)


def _not_known(database: Database, known: str) -> JournalConflict:
    return JournalConflict(
        f"{database.name} is not the register that was here: this computer knows register {known}."
        " In a new one, residents who have a card could get a second. Put the newest copy back. For"
        " another bureau give another name. Nothing was changed"
    )


def find_register(database: Database) -> tuple[str, str]:
    """The register's identity and its tag key. JournalConflict when there is no register."""

    def query(connection: Connection) -> tuple[str, str]:
        if not inspect(connection).has_table(schema.register.name):
            raise JournalConflict(
                f"{database.name} has no register yet: `rhcard issue` with this database begins it"
            )
        row = connection.execute(select(schema.register)).one()
        return _checked(database, row.id, row.format, row.tag_key)

    return database.read(query)


def _checked(database: Database, identity: str, version: int, tag_key: str) -> tuple[str, str]:
    if version != schema.FORMAT:
        raise JournalConflict(
            f"{database.name} was written by another version of this program (register version"
            f" {version}, this one reads {schema.FORMAT})"
        )
    return identity, tag_key


def add_station(database: Database, name: str) -> tuple[int, bytes]:
    """The last event's number and hash of a station; a new station begins at 0."""

    def work(connection: Connection, _: bool) -> tuple[int, bytes]:
        table = schema.station
        row = connection.execute(select(table).where(table.c.name == name)).one_or_none()
        if row is not None:
            return row.seq, row.head
        connection.execute(insert(table), {"name": name, "seq": 0, "head": FIRST})
        return 0, FIRST

    return database.run(work)
