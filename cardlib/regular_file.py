"""Read regular files only, and only up to a bound: no device, pipe or folder, nothing without end.

A pipe is not even opened, so that the program never waits for who would write to it.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from .errors import FileRefused

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFLNK: "a symbolic link",
}


def open_regular(path: Path, flags: int = os.O_RDONLY) -> BinaryIO:
    """Open a regular file with the flags of `os.open`; to write, it is unbuffered.

    Raises FileRefused when it is a folder, a pipe, a device or a socket; with `os.O_NOFOLLOW` also
    when it is a symbolic link. Raises OSError when it cannot be opened.
    """
    _check(os.stat(path, follow_symlinks=not flags & os.O_NOFOLLOW).st_mode, path)
    # Another program may put a pipe there just now: without O_NONBLOCK we would wait in it.
    handle = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _check(os.fstat(handle).st_mode, path)
    except FileRefused:
        os.close(handle)
        raise
    return os.fdopen(handle, "r+b", buffering=0) if flags & os.O_RDWR else os.fdopen(handle, "rb")


def read_regular(path: Path, most: int, flags: int = os.O_RDONLY) -> bytes:
    """Read a regular file of `most` bytes or less.

    Raises FileRefused when it is larger, or no regular file. Raises OSError when it cannot be read.
    """
    with open_regular(path, flags) as file:
        return read_to_end(file, path, most)


def read_to_end(file: BinaryIO, path: Path, most: int) -> bytes:
    """Read an open file. Raises FileRefused when it has more than `most` bytes."""
    found = os.fstat(file.fileno()).st_size
    raw = b"" if found > most else _read(file, most + 1)
    if found > most or len(raw) > most:
        why = f"the file is too large: {most:,} bytes are the most"
        raise FileRefused(errno.EFBIG, why, str(path))
    return raw


def _read(file: BinaryIO, most: int) -> bytes:
    """Read to the end of the file, or `most` bytes; one read may give less."""
    parts = []
    while most and (part := file.read(min(most, 1 << 20))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def _check(mode: int, path: Path) -> None:
    if not stat.S_ISREG(mode):
        what = _KINDS.get(stat.S_IFMT(mode), "no file")
        why = f"it is {what}, not a regular file"
        raise FileRefused(errno.EISDIR, why, str(path))
