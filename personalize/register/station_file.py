"""A station's own files: its last head and its events since the last checkpoint; older ones.

A database that is put back from a backup is behind this file. Then the station refuses it, and
`rhcard journal recover` puts the lost events back. One line of JSON is one event. Beside it stands
what the event must not hold: of a claim the sealed PINs, of a batch the tags and their salts.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cardlib.errors import DAMAGE, FormatError, StorageError
from cardlib.regular_file import read_regular
from cardlib.unfinished import sync_folder

from .conflict import JournalConflict
from .events import FIRST, Event, event_of_dict
from .states import Act

SUFFIX = ".station"
_LARGEST = 256 << 20
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_AT_ONCE = frozenset(Act) - {Act.ACTIVATING, Act.ACTIVATED}
"""The acts that are on the disk here before they are in the database.

The card itself shows the others, so they may wait for the next of these acts.
"""


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """An event in a station's file, and what stands beside it: a JSON object, bytes in hex."""

    event: Event
    beside: Mapping[str, Any]


class StationFile:
    """The open file. The station has it alone, until it is closed or the process ends.

    `count` is how many events it holds.
    """

    def __init__(
        self, path: Path, handle: int, start: tuple[int, bytes], kept: list[KeptEvent]
    ) -> None:
        """Use `open_station_file`."""
        self.path, self._handle, self.kept = path, handle, tuple(kept)
        self._last, self.count = _last(kept, start), len(kept)
        self._waiting = False

    @property
    def last(self) -> tuple[int, bytes]:
        """The number and the hash of the last event that was written here."""
        return self._last

    def add(self, events: Iterable[Event], beside: Mapping[str, Any]) -> None:
        """Append events, before their transaction is committed. StorageError when it cannot be.

        `beside` is a JSON object that is kept beside each of them.
        """
        listed = list(events)
        self._append(b"".join(_line(each, beside) for each in listed))
        self._waiting = True
        if any(event.act in _AT_ONCE for event in listed):
            self.sync()
        self._last = listed[-1].seq, listed[-1].hash
        self.count += len(listed)

    def sync(self) -> None:
        """Put what was appended on the disk."""
        if self._waiting:
            with _storage_errors(self.path):
                os.fsync(self._handle)
            self._waiting = False

    def begin_anew(self, last: tuple[int, bytes]) -> None:
        """Begin a new file after a checkpoint, which holds this head; the old file stays beside it.

        It is `NAME@NUMBER.station`, with the number of its last event, and helps to mend a copy of
        the database that is older than the checkpoint.
        """
        temporary = self.path.with_name(f"{self.path.name}.new")
        kept = self.path.with_name(f"{self.path.name.removesuffix(SUFFIX)}@{last[0]}{SUFFIX}")
        head = {"seq": last[0], "hash": last[1].hex()}
        with _storage_errors(self.path):
            temporary.unlink(missing_ok=True)
            handle = os.open(temporary, _FLAGS | os.O_EXCL, 0o600)
            try:
                _write_all(handle, _json({"after": head}))
                os.fsync(handle)
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                kept.unlink(missing_ok=True)
                kept.hardlink_to(self.path)
                temporary.rename(self.path)
            except BaseException:
                os.close(handle)
                raise
            # From here on the new file is the station's, also if the disk fails.
            os.close(self._handle)
            self._handle, self._last, self._waiting, self.count = handle, last, False, 0
            sync_folder(self.path.parent)

    def close(self) -> None:
        """Put everything on the disk, and let others have the file."""
        if self._handle >= 0:
            try:
                self.sync()
            finally:
                os.close(self._handle)
                self._handle = -1

    def _append(self, text: bytes) -> None:
        before = os.fstat(self._handle).st_size
        with _storage_errors(self.path):
            try:
                _write_all(self._handle, text)
            except OSError:
                os.ftruncate(self._handle, before)
                raise


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(error.errno or 0, str(error.strerror), str(path)) from None


def _write_all(handle: int, text: bytes) -> None:
    while text:
        text = text[os.write(handle, text) :]


def _json(members: Mapping[str, Any]) -> bytes:
    return json.dumps(members, sort_keys=True).encode("ascii") + b"\n"


def _line(event: Event, beside: Mapping[str, Any]) -> bytes:
    """One line; `sum` is over what stands beside the event, which its own hash does not cover."""
    digest = hashlib.sha256(_json(beside)).hexdigest()
    return _json({"event": event.as_dict(), "beside": beside, "sum": digest})


def open_station_file(folder: Path, station: str) -> StationFile:
    """Open or make the file of a station, and lock it.

    JournalConflict when a program with this station's name is at work, or the file is damaged.
    """
    path = folder / f"{station}{SUFFIX}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _storage_errors(path):
        handle = os.open(path, _FLAGS, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(handle), path.lstat()):
            raise BlockingIOError  # another program began the file anew just now
        start, kept = read_station_file(path)
        _check_name(path, station, kept)
        _drop_cut_line(path, handle)
    except BlockingIOError:
        os.close(handle)
        raise JournalConflict(
            f"station {station} is at work already in another program. Give this one another name:"
            " --station NAME"
        ) from None
    except BaseException:
        os.close(handle)
        raise
    sync_folder(folder)
    return StationFile(path, handle, start, kept)


def _check_name(path: Path, station: str, kept: Iterable[KeptEvent]) -> None:
    for each in kept:
        if each.event.station != station:
            raise JournalConflict(
                f"{path} is the file of station {each.event.station}, not of station {station}."
                " Give it its own name again"
            )


def _drop_cut_line(path: Path, handle: int) -> None:
    """Remove a last line that a cut left incomplete: its transaction was never committed."""
    raw = path.read_bytes()
    if raw and not raw.endswith(b"\n"):
        os.ftruncate(handle, raw.rfind(b"\n") + 1)


def read_station_file(path: Path) -> tuple[tuple[int, bytes], list[KeptEvent]]:
    """The head before the first event of a file, and its events. Nothing is changed.

    Of two events with one number the last counts: the transaction of the other was given up.
    JournalConflict when the file is damaged.
    """
    start, kept = (0, FIRST), list[KeptEvent]()
    try:
        *lines, _ = read_regular(path, _LARGEST).split(b"\n")
    except OSError as error:
        raise StorageError(error.errno or 0, str(error.strerror), str(path)) from None
    for line, text in enumerate(lines, 1):
        try:
            members = json.loads(text)
            if _json(members) != text + b"\n":
                raise FormatError("a byte of it was changed")
            if "after" in members:
                start, kept = _head(members["after"]), []
                continue
            found = _kept(members)
            while kept and kept[-1].event.seq >= found.event.seq:
                kept.pop()
            before = _last(kept, start)
            if (found.event.seq, found.event.previous) != (before[0] + 1, before[1]):
                raise FormatError("it does not follow the event before it")
        except DAMAGE as error:
            raise JournalConflict(
                f"{path} line {line} is damaged: {error}. Keep the file"
            ) from None
        kept.append(found)
    return start, kept


def _head(members: Mapping[str, Any]) -> tuple[int, bytes]:
    return int(members["seq"]), bytes.fromhex(members["hash"])


def _kept(members: Mapping[str, Any]) -> KeptEvent:
    kept = KeptEvent(event_of_dict(members["event"]), dict(members["beside"]))
    if _line(kept.event, kept.beside) != _json(members):
        raise FormatError("a byte of it was changed")
    return kept


def _last(kept: list[KeptEvent], start: tuple[int, bytes]) -> tuple[int, bytes]:
    return (kept[-1].event.seq, kept[-1].event.hash) if kept else start
