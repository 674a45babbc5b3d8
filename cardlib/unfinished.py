"""Files and folders that are made beside their place and moved there whole.

Until then the name is `.NAME.rhcard-unfinished-` and eight characters, and the program holds a
lock, which the kernel takes back if the program is killed. So what a killed program left can be
told from what another program still writes.
"""

import errno
import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_MARK = ".rhcard-unfinished-"
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}
"""What a file system without hard links, such as FAT, says to one."""
_NAME = re.compile(rf"\.(.+){re.escape(_MARK)}\w{{8}}", re.DOTALL)
LONGEST_NAME = 220
"""Bytes of a name whose unfinished name fits into a folder entry too (255 bytes)."""


@contextmanager
def unfinished_file(
    path: Path, *, left_by: type[Exception] | tuple[type[Exception], ...] = ()
) -> Iterator[Path]:
    """Make an empty file (mode 0600) to write before it is moved to `path`; remove what is left.

    It stays only when an error of `left_by` ends the block. Raises OSError when the folder cannot
    be written.
    """
    from tempfile import mkstemp  # here: a card in memory starts faster without it

    def make() -> str:
        handle, name = mkstemp(prefix=f".{path.name}{_MARK}", dir=path.parent)
        os.close(handle)
        return name

    with _locked(make) as place:
        stays = False
        try:
            yield place
        except left_by:
            stays = True
            raise
        finally:
            if not stays:
                with suppress(FileNotFoundError):
                    place.unlink()


@contextmanager
def unfinished_folder(
    path: Path, *, left_by: type[BaseException] | tuple[type[BaseException], ...] = ()
) -> Iterator[Path]:
    """Make a folder (mode 0700) to fill before it is moved to `path`; remove what is left.

    It stays only when an error of `left_by` ends the block. Raises OSError when the folder around
    it cannot be written.
    """
    import shutil
    from tempfile import mkdtemp

    with _locked(lambda: mkdtemp(prefix=f".{path.name}{_MARK}", dir=path.parent)) as place:
        stays = False
        try:
            yield place
        except left_by:
            stays = True
            raise
        finally:
            if not stays:
                shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _locked(make: Callable[[], str]) -> Iterator[Path]:
    """Make something and lock it; again, if another program took it for left behind meanwhile."""
    while True:
        place = Path(make())
        with lock(place) as ours:
            if ours and os.path.lexists(place):
                yield place
                return


@contextmanager
def lock(place: Path) -> Iterator[bool]:
    """Lock a file or folder that is there; give whether nobody else had locked it."""
    try:
        handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def wanted_name(place: Path) -> str | None:
    """Return the name that an unfinished file or folder was to get; None for any other name."""
    found = _NAME.fullmatch(place.absolute().name)
    return found[1] if found else None


def unfinished_in(folder: Path) -> list[Path]:
    """Return what has an unfinished name in a folder and belongs to this user, by name."""
    with suppress(OSError):
        mine = os.geteuid()
        return sorted(
            folder / name
            for name in os.listdir(folder)
            if _NAME.fullmatch(name) and (folder / name).lstat().st_uid == mine
        )
    return []


def remove_unfinished_files(folder: Path) -> list[Path]:
    """Remove the files in a folder that killed programs left; return them.

    Only regular files that no program has locked: one that is still written stays.
    """
    removed = []
    for place in unfinished_in(folder):
        with suppress(OSError), lock(place) as ours:
            if ours and stat.S_ISREG(place.lstat().st_mode):
                place.unlink()
                removed.append(place)
    return removed


def write_new(path: Path, content: bytes) -> None:
    """Write a new file, mode 0600, whole or not at all. It also works on FAT, without hard links.

    Only there, a program that is killed at the last step can leave an empty file. Raises
    FileExistsError when something is at `path`, else OSError; then nothing is left.
    """
    with unfinished_file(path) as place:
        _write(place, content)
        try:
            os.link(place, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _take_place(place, path)
    sync_folder(path.parent)


def write_over(path: Path, content: bytes, kept: Path) -> None:
    """Write a file anew, mode 0600, and keep what it held before as `kept`, which is replaced.

    At every moment `path` is the old or the new file, whole. Raises OSError, and then `path` is the
    old one.
    """
    with unfinished_file(path) as place, unfinished_file(kept) as before:
        _write(place, content)
        _write(before, path.read_bytes())
        os.replace(before, kept)
        sync_folder(path.parent)
        os.replace(place, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the disk write the entries of a folder."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(place: Path, content: bytes) -> None:
    with place.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _take_place(place: Path, path: Path) -> None:
    """Move a file to a name that nobody has: take the name with an empty file, then replace it."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    try:
        os.replace(place, path)
    except OSError:
        path.unlink()
        raise
