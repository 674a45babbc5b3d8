"""The log of the key agent: numbered lines, each with the hash of the line before.

The number and hash of the newest line, the head, are kept in a second file, so that a log that was
cut is noticed too. Both are on the disk before the agent answers.
"""

import errno
import hashlib
import json
import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cardlib.errors import DAMAGE, CardError, StorageError

FIRST_BEFORE = "0" * 64
"""What the first entry has as the hash of the entry before."""
_HEAD_LINE = re.compile(rb"(\d{20}) ([0-9a-f]{64}) ([0-9a-f]{16})\n")
_HEAD_SIZE = 103
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_TO_DO = (
    "Somebody changed it, or it was put back from a copy. Keep both files, find out why, and move"
    " both away: then the agent begins a new log"
)


class LogDamaged(CardError):
    """The log of the key agent was changed, cut or lost. The agent does not start."""


class AgentLog:
    """The log, open for more entries. Only one process may have it open."""

    def __init__(self, path: Path, log: int, head: int, chain: "_Chain") -> None:
        """Use `open_log`."""
        self.path, self._log, self._head = path, log, head
        self.number, self.newest = chain.number, chain.newest
        self.counted = chain.counted
        self._lock, self._broken = threading.Lock(), False

    def __repr__(self) -> str:
        return f"<log {self.path}, {self.number} entries>"

    def append(self, entry: Mapping[str, Any]) -> int:
        """Write an entry to the disk, and its number and hash to the head; return its number.

        Raises StorageError when it cannot be written: the log is as before then.
        """
        with self._lock:
            number = self.number + 1
            line = _encoded({"number": number, **entry, "before": self.newest})
            newest = hashlib.sha256(line).hexdigest()
            self._write(line + b"\n")
            self._write_head(number, newest)
            self.number, self.newest = number, newest
            return number

    def close(self) -> None:
        """Close both files."""
        os.close(self._log)
        os.close(self._head)

    def _write(self, line: bytes) -> None:
        if self._broken:
            raise StorageError(errno.EIO, "the log cannot be written any more", str(self.path))
        size = os.fstat(self._log).st_size
        try:
            _write_all(self._log, line, self.path)
            os.fdatasync(self._log)
        except OSError as error:
            self._undo(size)
            raise StorageError(error.errno, error.strerror, str(self.path)) from None

    def _undo(self, size: int) -> None:
        """Take back half an entry. If that fails, nobody knows what is on the disk."""
        try:
            os.ftruncate(self._log, size)
            os.fdatasync(self._log)
        except OSError:
            self._broken = True

    def _write_head(self, number: int, newest: str) -> None:
        try:
            os.pwrite(self._head, _head_line(number, newest), number % 2 * _HEAD_SIZE)
            os.fdatasync(self._head)
        except OSError as error:
            self._broken = True
            raise StorageError(error.errno, error.strerror, str(self.path)) from None


def open_log(path: Path, head: Path) -> AgentLog:
    """Open the log and its head, and check every entry; make both if neither is there.

    Raises LogDamaged when they do not agree, StorageError when they cannot be used.
    """
    try:
        if not os.path.lexists(path) and not os.path.lexists(head):
            _make(head, _head_line(0, FIRST_BEFORE) + _head_line(0, FIRST_BEFORE))
            _make(path, b"")
        for each, name in ((path, "log"), (head, "head of the log")):
            if not os.path.lexists(each):
                raise LogDamaged(f"{each}: the {name} is lost. {_TO_DO}")
        return _opened(path, head)
    except OSError as error:
        if isinstance(error, CardError):
            raise
        raise StorageError(error.errno, error.strerror, error.filename or str(path)) from None


def _opened(path: Path, head: Path) -> AgentLog:
    opened = []
    try:
        opened.append(os.open(path, _FLAGS | os.O_APPEND))
        opened.append(os.open(head, _FLAGS))
        wanted, known = _read_head(head, opened[1])
        chain = _checked(path, opened[0], wanted, known)
        log = AgentLog(path, opened[0], opened[1], chain)
        if chain.whole < os.fstat(opened[0]).st_size:
            # A cut came while an entry was written: nobody got an answer to it.
            os.ftruncate(opened[0], chain.whole)
            os.fsync(opened[0])
        log._write_head(chain.number, chain.newest)
    except BaseException:
        for each in opened:
            os.close(each)
        raise
    return log


@dataclass(slots=True)
class _Chain:
    """The log up to a line: number and hash of the newest entry, and where it ends.

    `counted` are the numbers of the entries that changed the file of jobs.
    """

    number: int = 0
    newest: str = FIRST_BEFORE
    whole: int = 0
    counted: list[int] = field(default_factory=list)

    def add(self, line: bytes) -> None:
        """Follow one line, with its newline. Raises one of DAMAGE when it does not follow."""
        entry = json.loads(line)
        if entry["number"] != self.number + 1 or entry["before"] != self.newest:
            raise ValueError
        self.number += 1
        self.newest = hashlib.sha256(line[:-1]).hexdigest()
        self.whole += len(line)
        if entry.get("counted"):
            self.counted = [*self.counted[-1:], self.number]
        if entry.get("uncounted") in self.counted:
            self.counted.remove(entry["uncounted"])


def _checked(path: Path, log: int, wanted: int, known: str) -> _Chain:
    """Follow the chain to its end. Raises LogDamaged unless it fits the head, `wanted` `known`."""
    chain, at_head = _Chain(), wanted == 0
    with os.fdopen(os.dup(log), "rb") as file:
        file.seek(0)
        for line in file:
            if not line.endswith(b"\n"):
                break
            try:
                chain.add(line)
            except DAMAGE:
                number = chain.number + 1
                raise LogDamaged(
                    f"{path} entry {number}: changed, or one is missing. {_TO_DO}"
                ) from None
            at_head = at_head or (chain.number == wanted and chain.newest == known)
    if not at_head or chain.number > wanted + 1:
        raise LogDamaged(
            f"{path}: its newest entry is {chain.number}, and its head names {wanted}, or"
            f" another text. {_TO_DO}"
        )
    return chain


def _read_head(path: Path, head: int) -> tuple[int, str]:
    raw = os.pread(head, 3 * _HEAD_SIZE, 0)
    found = []
    for at in (0, _HEAD_SIZE):
        match = _HEAD_LINE.fullmatch(raw[at : at + _HEAD_SIZE])
        if match and _head_line(int(match[1]), match[2].decode()) == match[0]:
            found.append((int(match[1]), match[2].decode()))
    if not found:
        raise LogDamaged(f"{path}: the head of the log is damaged. {_TO_DO}")
    return max(found)


def _head_line(number: int, newest: str) -> bytes:
    """Number ‖ hash ‖ their own check, so that half a write is known as such."""
    text = f"{number:020} {newest}"
    return f"{text} {hashlib.sha256(text.encode()).hexdigest()[:16]}\n".encode()


def _encoded(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry, separators=(",", ":")).encode("ascii")


def _write_all(handle: int, content: bytes, path: Path) -> None:
    """Write all of it; a disk that takes a part only is full."""
    if os.write(handle, content) != len(content):
        raise StorageError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _make(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _write_all(handle, content, path)
        os.fsync(handle)
    finally:
        os.close(handle)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
