"""The tables of a journal, and the versions of them that this program reads."""

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path

VERSION = 4
READABLE = (2, 3, VERSION)

_OTHER_CARDS = """
CREATE TABLE other_card (
    number  INTEGER NOT NULL,
    chip    BLOB NOT NULL CHECK (length(chip) = 8),
    changed TEXT NOT NULL,
    PRIMARY KEY (number, chip)
)"""
_TABLES = (
    """
CREATE TABLE batch (
    batch_id           TEXT NOT NULL,
    key_store_identity TEXT NOT NULL,
    key_version        INTEGER NOT NULL
)""",
    "CREATE TABLE holder (hash BLOB NOT NULL UNIQUE, number INTEGER NOT NULL)",
    """
CREATE TABLE card (
    number  INTEGER PRIMARY KEY,
    chip    BLOB UNIQUE CHECK (length(chip) = 8),
    state   TEXT NOT NULL,
    problem TEXT NOT NULL DEFAULT '',
    changed TEXT NOT NULL,
    CHECK ((state = 'prepared') = (chip IS NULL))
)""",
    "CREATE TABLE spoiled (chip BLOB PRIMARY KEY, number INTEGER NOT NULL, changed TEXT NOT NULL)",
    _OTHER_CARDS,
)


def begin(
    database: sqlite3.Connection,
    named: tuple[str, str, int],
    holders: Mapping[bytes, int],
    cards: Iterable[tuple[int, str, str]],
) -> None:
    """Make the tables of a new journal in the transaction that is open, and fill them.

    `named` is the row that names the batch, `cards` are number, state and time of each card.
    """
    for table in _TABLES:
        database.execute(table)
    database.execute("INSERT INTO batch VALUES (?, ?, ?)", named)
    database.executemany("INSERT INTO holder VALUES (?, ?)", holders.items())
    database.executemany("INSERT INTO card (number, state, changed) VALUES (?, ?, ?)", cards)
    database.execute(f"PRAGMA user_version = {VERSION}")


_RENAMED = {"started": "personalizing", "verified": "activating"}
"""States that versions 2 and 3 called otherwise."""


def renew(database: sqlite3.Connection) -> None:
    """Give a journal of version 2 or 3 the table and the names of the states that it lacks."""
    if database.execute("PRAGMA user_version").fetchone() == (2,):
        database.execute(_OTHER_CARDS)
    for old, new in _RENAMED.items():
        database.execute("UPDATE card SET state = ? WHERE state = ?", (new, old))
    database.execute(f"PRAGMA user_version = {VERSION}")


def of_version(path: Path, version: int) -> str:
    """What to say about a journal of a version that cannot be read."""
    older = version < VERSION
    remedy = "; prepare the list again with `rhcard prepare`" if older else ""
    return (
        f"{path} was written by {'an older' if older else 'a newer'} version of this program"
        f" (journal version {version}, this one reads {VERSION}){remedy}"
    )
