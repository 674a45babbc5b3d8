"""Reading a journal without changing anything in its folder, which may be on read-only media."""

import os
import shutil
import sqlite3
import tempfile
from pathlib import Path
from urllib.parse import quote

from ..preparation.batch import Batch
from .journal import NAME, Journal, JournalMissing, check_log, failed, is_there


def read_journal(batch: Batch) -> Journal:
    """Copy the journal of a batch into memory. Lock the folder first.

    JournalMissing when there is none; JournalConflict when it is damaged or of another batch, or
    the log beside it is not its own.
    """
    path = batch.folder / NAME
    if not is_there(path):
        raise JournalMissing(path)
    memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    journal = Journal(memory, path)
    try:
        check_log(path)
        _copy(path, memory)
        journal.check(batch.header, batch.holders)
        journal.renew()
        memory.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        journal.close()
        raise failed(path, error) from None
    except BaseException:
        journal.close()
        raise
    return journal


def _copy(path: Path, memory: sqlite3.Connection) -> None:
    """Copy a journal into memory. SQLite would write beside it if a cut left a log to read."""
    logs = [path.with_name(path.name + tail) for tail in ("-wal", "-journal")]
    left = [log for log in logs if is_there(log) and log.stat().st_size]
    if not left:
        return _back_up(f"file:{quote(os.fsencode(path))}?mode=ro&immutable=1", memory)
    with tempfile.TemporaryDirectory(prefix="rhcard.") as folder:
        for file in (path, *left):
            shutil.copyfile(file, Path(folder) / file.name)
        return _back_up(f"file:{quote(os.fsencode(folder))}/{path.name}", memory)


def _back_up(source: str, memory: sqlite3.Connection) -> None:
    database = sqlite3.connect(source, uri=True)
    try:
        database.backup(memory)
    finally:
        database.close()
