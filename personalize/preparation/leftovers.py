"""What a killed `rhcard prepare` left beside a batch: unfinished folders, to remove or to name."""

import os
from collections.abc import Iterator
from pathlib import Path

from cardlib.unfinished import lock, unfinished_in, wanted_name

from .batch_signature import MANIFEST_FILE, read_manifest
from .batch_writing import BATCH_FILES, unfinished_plan
from .manifest import BatchError


class BatchInUse(BatchError):
    """Another program is writing a batch of this name."""


def clear_unfinished(folder: Path) -> list[str]:
    """Remove the unfinished batches beside the place of a new batch; say what was found, in lines.

    One that can be continued is left: `write_batch` continues that of this name. A folder that
    holds a whole batch, or anything that is no part of a batch, is left and named. So is one of
    another user. BatchInUse when a batch of this name is being written now.
    """
    return list(_cleared(folder))


def _cleared(folder: Path) -> Iterator[str]:
    for place in unfinished_in(folder.absolute().parent):
        if place.is_symlink() or not place.is_dir():
            continue
        with lock(place) as ours:
            if ours:
                yield _looked_at(place, folder)
            elif wanted_name(place) == folder.name:
                raise BatchInUse(
                    f"another rhcard prepares {folder} now. Wait until it has ended, or give"
                    " another name"
                )


def _looked_at(place: Path, folder: Path) -> str:
    """Remove an unfinished batch, file by file; say that, or why it was left."""
    name, names = wanted_name(place), set(os.listdir(place))
    if unfinished_plan(place) is not None:
        if name == folder.name:
            return (
                f"Found {place}: a stopped `rhcard prepare` left it. It is continued if this is the"
                " same list with the same settings; else it is removed"
            )
        return (
            f"{place} was left by a stopped `rhcard prepare` of {name}: run that again to continue"
            " it, or remove it"
        )
    if names <= BATCH_FILES and _is_whole(place):
        return (
            f"{place} is a complete batch, but a stopped `rhcard prepare` did not give it its name."
            " No card of it was made. It was left there: remove it"
        )
    if not names <= BATCH_FILES:
        return f"{place} was left by a stopped `rhcard prepare`, but has other files: look at it"
    try:
        for each in names:
            (place / each).unlink()
        place.rmdir()
    except OSError as error:
        return f"{place} was left by a stopped `rhcard prepare`: {error.strerror}. Remove it"
    return f"Removed {place}: a stopped `rhcard prepare` left it, and it was not complete"


def _is_whole(place: Path) -> bool:
    """Whether the manifest was written to its end: it is the last file of a batch."""
    if not (place / MANIFEST_FILE).exists():
        return False
    try:
        read_manifest(place)
    except BatchError:
        return False
    return True
