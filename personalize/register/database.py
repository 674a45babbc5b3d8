"""The database of the register: SQLite or PostgreSQL, opened, and checked that it keeps its word.

What a transaction wrote is on the disk when it ends, also after a power cut. A database that is set
to promise less is refused.
"""

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import BigInteger, Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    SQLAlchemyError,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import NullPool
from sqlalchemy.sql.functions import FunctionElement

from cardlib.errors import StorageError

from .conflict import JournalConflict

T = TypeVar("T")
PATIENCE = 60.0
"""Seconds to wait for a database that is gone, before a station gives up."""
_RETRY, _BUSY, _FIRST = 0.2, 30_000, 3.0
_TRIES = 5
_NETWORK = frozenset(("9p", "afs", "ceph", "cifs", "fuse.sshfs", "nfs", "nfs4", "smb3", "smbfs"))
_DISK_FULL = ("53100", "disk is full", "No space left")


class DatabaseUnsafe(JournalConflict):
    """The database may lose what it said it had written, so it is not used."""


class now(FunctionElement[int]):  # an SQL function
    """The database's own time in ms since 1970: the clocks of the stations do not count."""

    type = BigInteger()
    inherit_cache = True


@compiles(now, "sqlite")
def _sqlite_now(*_: Any, **__: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


@compiles(now, "postgresql")
def _postgresql_now(*_: Any, **__: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"


class Database:
    """One open database. Threads may share it if they take turns."""

    def __init__(self, engine: Engine, name: str, patience: float = PATIENCE) -> None:
        """Use `open_database`."""
        self.name, self.patience, self._engine = name, patience, engine
        self._connection: Connection | None = None
        self._is_reading = False
        self._lock = threading.RLock()

    @property
    def is_sqlite(self) -> bool:
        """Whether it is an SQLite file."""
        return self._engine.dialect.name == "sqlite"

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()
            self._engine.dispose()

    def run(self, work: Callable[[Connection, bool], T], *, reads: bool = False) -> T:
        """Do `work` in one transaction: all of it is on the disk when this ends, or nothing is.

        If the connection is lost, it waits for the database and does `work` again. It is told then
        that the first try may be on the disk. Raises JournalConflict when the rows do not allow
        the change; StorageError when the database stays away or the disk is full.
        """
        with self._lock:
            again, tries, end = False, 0, time.monotonic() + self.patience
            while True:
                try:
                    with self._connected().execution_options(reads=reads).begin():
                        return work(self._open(), again)
                except DBAPIError as error:
                    lost, again = self._is_lost(error), True
                    tries += not lost
                    if not lost and not (self._may_work_again(error) and tries < _TRIES):
                        raise self._failed(error) from None
                    self._pause(error, end)
                except SQLAlchemyError as error:
                    raise JournalConflict(f"{self.name}: it cannot be used ({error})") from None

    def read(self, query: Callable[[Connection], T]) -> T:
        """Read, in a transaction of its own, while others write. Raises as `run`."""
        return self.run(lambda connection, _: query(connection), reads=True)

    def read_at_once(self, query: Callable[[Connection], T]) -> T:
        """Read as of one moment, also with several queries. Raises as `run`."""

        def work(connection: Connection) -> T:
            if not self.is_sqlite:  # SQLite always reads as of one moment
                connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            return query(connection)

        return self.read(work)

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection

    def _open(self) -> Connection:
        assert self._connection is not None
        return self._connection

    def _pause(self, error: DBAPIError, end: float) -> None:
        if time.monotonic() >= end:
            raise StorageError(
                errno.EIO, f"the database does not answer ({error.orig})", self.name
            ) from None
        if self._is_lost(error):
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.invalidate()
                connection.close()
            time.sleep(_RETRY)

    def _is_lost(self, error: DBAPIError) -> bool:
        """Whether the server is gone, or not there again yet."""
        if self.is_sqlite:
            return False
        state = getattr(error.orig, "sqlstate", None)
        return error.connection_invalidated or state is None or state[:2] in ("08", "57")

    def _may_work_again(self, error: DBAPIError) -> bool:
        """Whether another station was faster, so that the same work may do now."""
        state = getattr(error.orig, "sqlstate", "") or ""
        return isinstance(error, IntegrityError) or state in ("40001", "40P01")

    def _failed(self, error: DBAPIError) -> Exception:
        words = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else "no reason"
        state = str(getattr(error.orig, "sqlstate", ""))
        name = str(getattr(error.orig, "sqlite_errorname", ""))
        if any(each in f"{state} {words}" for each in _DISK_FULL):
            return StorageError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.name)
        if name.startswith("SQLITE_BUSY"):
            return JournalConflict(
                f"{self.name}: another station has kept it for {_BUSY // 1000} s. Is a station"
                " stopped? Let it go on, or end it, and run the command again"
            )
        if name.startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
            return StorageError(errno.EIO, words, self.name)
        return JournalConflict(
            f"{self.name}: it cannot be used ({words}). Check the name, or put its newest copy back"
        )


def open_database(where: str, *, patience: float = PATIENCE, must_exist: bool = False) -> Database:
    """Open the database at a path, or at a URL such as postgresql://user@host/name.

    JournalConflict for another kind of URL, DatabaseUnsafe when it may lose what was written,
    StorageError when it cannot be reached.
    """
    url = _url(where)
    if url.get_backend_name() == "sqlite":
        if must_exist and not os.path.exists(str(url.database)):
            raise JournalConflict(
                f"{url.database}: there is no register yet. `rhcard issue` with this database"
                " begins it. Check the name"
            )
        return _open_sqlite(url, patience)
    return _open_postgresql(url, patience)


def _url(where: str) -> URL:
    if "://" not in where:
        return URL.create("sqlite", database=os.path.abspath(where))
    try:
        url = make_url(where)
    except ArgumentError:
        raise JournalConflict(
            "the database's URL is not right. Write postgresql://USER@HOST/NAME"
        ) from None
    if url.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    if url.drivername == "sqlite" and url.database not in (None, "", ":memory:") and not url.query:
        return URL.create("sqlite", database=os.path.abspath(str(url.database)))
    raise JournalConflict(
        f"{url.drivername}: give the path of an SQLite file, or postgresql://USER@HOST/NAME"
    )


def _open_sqlite(url: URL, patience: float) -> Database:
    path = Path(str(url.database))
    _check_place(path)
    # NullPool: the one connection is kept by Database, and closed with it.
    engine = create_engine(
        url,
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={"check_same_thread": False, "isolation_level": None},
    )

    def connected(connection: Any, _: object) -> None:
        path.chmod(0o600)
        for pragma in (f"busy_timeout = {_BUSY}", "journal_mode = WAL", "synchronous = FULL"):
            connection.execute(f"PRAGMA {pragma}")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", _begin)
    return Database(engine, str(path), patience)


def _begin(connection: Connection) -> None:
    """Who writes waits for others here, and not in the middle of the work."""
    reads = connection.get_execution_options().get("reads")
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _check_place(path: Path) -> None:
    """DatabaseUnsafe on a network file system: SQLite's locks do not hold there."""
    folder = path.parent
    if not folder.is_dir():
        raise StorageError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
    if path.exists() and not path.is_file():
        raise JournalConflict(f"{path}: it must be a regular file")
    if (kind := file_system_of(folder)) in _NETWORK:
        raise DatabaseUnsafe(
            f"{path} is on a network file system ({kind}), where two stations could take the same"
            " card. Use a disk of this computer, or PostgreSQL for several computers"
        )


def file_system_of(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """The type of the file system that a folder is on, such as ext4; "" when it is not known."""
    device = f"{os.major(folder.stat().st_dev)}:{os.minor(folder.stat().st_dev)}"
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    for words in map(str.split, lines):
        if len(words) > 4 and words[2] == device and "-" in words:
            return words[words.index("-") + 1]
    return ""


def _open_postgresql(url: URL, patience: float) -> Database:
    name = url.render_as_string(hide_password=True)
    try:
        engine = create_engine(
            url, poolclass=NullPool, hide_parameters=True, connect_args={"connect_timeout": 10}
        )
    except (ImportError, NoSuchModuleError):
        raise JournalConflict(
            "PostgreSQL needs psycopg: run `pip install rhcard[postgresql]`"
        ) from None
    # A wrong name or password looks like a server that is away: do not wait long for the first.
    database = Database(engine, name, min(patience, _FIRST))
    try:
        database.read(_check_promises(name))
        database.patience = patience
    except BaseException:
        database.close()
        raise
    return database


def _check_promises(name: str) -> Callable[[Connection], None]:
    def check(connection: Connection) -> None:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            value = connection.execute(text(f"SHOW {setting}")).scalar_one()
            if value == "off" or (setting == "synchronous_commit" and value == "local"):
                raise DatabaseUnsafe(
                    f"{name}: {setting} is {value}, so after a power cut the database may have"
                    f" forgotten cards that were made. Set {setting} = on in postgresql.conf"
                )

    return check
