"""Tie SQLite's log (-wal) to its journal: SQLite replays any log that it finds beside a database.

The database's header counts the runs (application_id). A run raises it to an odd number in the
database itself. Then each transaction of the run writes the next, even number into the log. So file
and log belong together if their numbers are equal, or the log's is the next one.
"""

import shutil
import sqlite3
import tempfile
from pathlib import Path

_COUNT_AT = slice(68, 72)
"""Where application_id is in the file (SQLite database file format, 1.3)."""


def connect(path: Path) -> sqlite3.Connection:
    """Open a journal for writing: each transaction is on the disk when it is committed.

    Threads may share it if they take turns.
    """
    database = sqlite3.connect(path, isolation_level=None, timeout=5, check_same_thread=False)
    try:
        path.chmod(0o600)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
    except BaseException:
        database.close()
        raise
    return database


def begin_run(database: sqlite3.Connection) -> int:
    """Count a run; return the number to `mark` each of its transactions with."""
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    last = _count(database)
    odd = last + 1 + last % 2
    for count in range(last + 1, odd + 1):
        mark(database, count)
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return odd + 1


def mark(database: sqlite3.Connection, count: int) -> None:
    """Write the number of the run into the header, in the transaction that is open."""
    database.execute(f"PRAGMA application_id = {count}")


def log_fits(path: Path) -> bool:
    """Whether the log beside a journal is its own; True when there is none. Nothing is changed."""
    log = path.with_name(f"{path.name}-wal")
    if not log.is_file() or not log.stat().st_size:
        return True
    with path.open("rb") as file:
        own = int.from_bytes(file.read(_COUNT_AT.stop)[_COUNT_AT], "big")
    with tempfile.TemporaryDirectory(prefix="rhcard.") as folder:
        for each in (path, log):
            shutil.copyfile(each, Path(folder) / each.name)
        database = sqlite3.connect(Path(folder) / path.name)
        try:
            return _count(database) - own in (0, 1)
        finally:
            database.close()


def _count(database: sqlite3.Connection) -> int:
    ((count,),) = database.execute("PRAGMA application_id")
    return int(count)
