"""Opening a register for a station, after it was compared with the station's own file."""

import hashlib
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from cardlib.errors import DAMAGE
from cardlib.regular_file import read_regular
from cardlib.unfinished import write_new

from .bureau import Register, RegisterReader, add_station, begin_tables, find_register
from .conflict import JournalConflict
from .database import PATIENCE, Database, open_database
from .recovery import put_back
from .station_file import StationFile, open_station_file

_KNOWN, _DIGITS, _MOST = ".register", 16, 100
_RECOVER = (
    "It may be an older copy that was put back: cards may exist that it does not know, and a"
    " resident could get a second one. Put the newest copy back, or run `rhcard journal recover`"
    " with the files of all stations. No card was changed"
)


def open_register(
    where: str, station: str, folder: Path, tag_key: str, *, patience: float = PATIENCE
) -> Register:
    """Open the register at a path or URL for a station whose own file is in `folder`.

    `tag_key` names the keys that the tags of holders in a new register are made with. Raises what
    `open_database` does; JournalConflict when the station is at work already, or when the database
    is behind the station's own file, or when another register was in its place before.
    """
    database = open_database(where, patience=patience)
    try:
        known = known_register(folder, database.name)
        identity, tag_key = begin_tables(database, tag_key, known)
        if known is None:
            _know(folder, database.name, identity)
        file = open_station_file(folder / identity, station)
        try:
            _compare(database, station, file)
        except BaseException:
            file.close()
            raise
    except BaseException:
        database.close()
        raise
    return Register(database, identity, tag_key, station, file)


def _note_of(folder: Path, name: str) -> Path:
    return folder / f"{hashlib.sha256(name.encode()).hexdigest()[:_DIGITS]}{_KNOWN}"


def known_register(folder: Path, name: str) -> str | None:
    """The register that this computer's stations have seen in a database; None if none yet.

    JournalConflict when the note of it is damaged.
    """
    path = _note_of(folder, name)
    try:
        return str(UUID(read_regular(path, _MOST).decode().strip()))
    except FileNotFoundError:
        return None
    except (OSError, *DAMAGE):
        raise JournalConflict(
            f"{path} is damaged: it names the register in {name}. Put it back from a copy"
        ) from None


def _know(folder: Path, name: str, identity: str) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):  # another station of this computer noted it just now
        write_new(_note_of(folder, name), f"{identity}\n".encode())


def open_reader(where: str, *, patience: float = PATIENCE) -> RegisterReader:
    """Open a register to read it, also while stations work. Raises as `open_database`.

    JournalConflict when there is no register.
    """
    database = open_database(where, patience=patience, must_exist=True)
    try:
        return RegisterReader(database, *find_register(database))
    except BaseException:
        database.close()
        raise


def _compare(database: Database, station: str, file: StationFile) -> None:
    seq, head = add_station(database, station)
    own, own_head = file.last
    if own == seq + 1 and file.kept and file.kept[-1].event.previous == head:
        # The last transaction was cut. Its card may have been begun, so it is put back, unless
        # another station has made it since: then it was never committed.
        with suppress(JournalConflict):
            put_back(database, [file.kept[-1]])
        return
    if own > seq:
        raise JournalConflict(
            f"{database.name} ends with event {seq} of station {station}, whose own last one is"
            f" {own}. {_RECOVER}"
        )
    if own < seq:
        raise JournalConflict(
            f"{database.name} has {seq} events of station {station}, whose own file {file.path} has"
            f" {own}. It is the file of another computer, or an older copy. Give this station"
            " another name: --station NAME"
        )
    if own_head != head:
        raise JournalConflict(
            f"{database.name}: event {seq} of station {station} is another than in the station's"
            f" own file {file.path}. {_RECOVER}"
        )
