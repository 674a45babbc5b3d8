"""What a killed `rhcard prepare` left beside a batch: unfinished folders, to remove or to name."""

import os
from collections.abc import Iterator
from pathlib import Path

from cardlib.regular_file import read_regular
from cardlib.unfinished import lock, unfinished_in, wanted_name

from .batch import BATCH_FILES, HEADER_FILE, LARGEST_HEADER, BatchError


class BatchInUse(BatchError):
    """Another program is writing a batch of this name."""


def clear_unfinished(folder: Path) -> list[str]:
    """Remove the unfinished batches beside the place of a new batch; say what was found, in lines.

    A folder that holds a whole header, or anything that is no part of a batch, is left and named.
    So is one of another user. BatchInUse when a batch of this name is being written now.
    """
    return list(_cleared(folder))


def _cleared(folder: Path) -> Iterator[str]:
    for place in unfinished_in(folder.absolute().parent):
        if place.is_symlink() or not place.is_dir():
            continue
        with lock(place) as ours:
            if ours:
                yield _removed(place)
            elif wanted_name(place) == folder.name:
                raise BatchInUse(
                    f"another rhcard prepares {folder} now. Wait until it has ended, or give"
                    " another name"
                )


def _removed(place: Path) -> str:
    """Remove an unfinished batch, file by file; say that, or why it was left."""
    names = set(os.listdir(place))
    if HEADER_FILE in names and names <= BATCH_FILES and _has_whole_header(place):
        return (
            f"{place} is a complete batch, but a stopped `rhcard prepare` did not give it its name."
            " No card of it was made. It was left there: remove it"
        )
    if not names <= BATCH_FILES:
        return f"{place} was left by a stopped `rhcard prepare`, but has other files: look at it"
    try:
        for name in names:
            (place / name).unlink()
        place.rmdir()
    except OSError as error:
        return f"{place} was left by a stopped `rhcard prepare`: {error.strerror}. Remove it"
    return f"Removed {place}: a stopped `rhcard prepare` left it, and it was not complete"


def _has_whole_header(place: Path) -> bool:
    """Whether the header was written to its end: it is the last file of a batch."""
    try:
        return read_regular(place / HEADER_FILE, LARGEST_HEADER).endswith(b"}\n")
    except OSError:
        return False
