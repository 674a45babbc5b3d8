"""Turns an exception into one clear line and a documented exit code."""

import errno
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from traceback import extract_tb

import click

from cardlib.errors import CardError, FileRefused

from .exits import Exit
from .output import print_error, print_json, say

_WRONG_PATH = {
    errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.ENAMETOOLONG, errno.ELOOP,
}  # fmt: skip
"""What is wrong with the path itself. Any other error of the operating system is the computer's."""

_FULL = "Make room on the disk, then run the same command again"
_DENIED = "Give your user the right to this path, then run the same command again"
_TO_DO = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EROFS: "The disk is read-only: use another one, or make it writable",
    errno.EIO: "Check that the disk works and has room, and that your user may write to it",
}

_EXITS = {
    "CardError": Exit.REFUSED,
    "BatchError": Exit.BAD_INPUT,
    "BatchInUse": Exit.JOURNAL_CONFLICT,
    "CardImageError": Exit.NO_CARD,
    "CardKeyError": Exit.KEY_PROBLEM,
    "ChannelError": Exit.REFUSED,
    "ClusterError": Exit.ENVIRONMENT,
    "ClusterRefused": Exit.USAGE,
    "ConfigError": Exit.USAGE,
    "ExtraMissing": Exit.ENVIRONMENT,
    "FormatError": Exit.BAD_INPUT,
    "ListChanged": Exit.BAD_INPUT,
    "JournalConflict": Exit.JOURNAL_CONFLICT,
    "LogDamaged": Exit.KEY_PROBLEM,
    "NotGenuine": Exit.KEY_PROBLEM,
    "NotPersonalized": Exit.VERIFICATION_FAILED,
    "PolicyError": Exit.USAGE,
    "PrintingUnavailable": Exit.ENVIRONMENT,
    "ProfileNeeded": Exit.VERIFICATION_FAILED,
    "StatusWordError": Exit.REFUSED,
    "TransportError": Exit.NO_CARD,
    "WorkerDied": Exit.ENVIRONMENT,
    "WorkerFault": Exit.INTERNAL,
}


@dataclass(frozen=True, slots=True)
class Failure:
    """What to say, and how to exit."""

    exit: Exit
    message: str


class Stopped(CardError):
    """A signal came during work, such as Ctrl-C. The message says what is done and what is not."""


def report(error: BaseException, *, as_json: bool) -> int:
    """Say what went wrong, as text on stderr or as JSON on stdout; return the exit code."""
    failure = explain(error)
    try:
        _print(failure, error, as_json=as_json)
    except OSError:
        # Nobody reads stdout or stderr, or its disk is full.
        with suppress(OSError):
            print_error(failure.message)
        _discard_output()
    return int(failure.exit)


def _print(failure: Failure, error: BaseException, *, as_json: bool) -> None:
    if as_json:
        print_json({"error": failure.message, "exit_code": int(failure.exit)})
    elif isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
    else:
        print_error(failure.message)
        if isinstance(error, click.UsageError) and error.ctx:
            say(f"See: {error.ctx.command_path} --help")


def _discard_output() -> None:
    """Let Python find nothing to complain about when it writes the rest of the output."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            os.dup2(nowhere, stream.fileno())


def explain(error: BaseException) -> Failure:
    """The exit code and the line for an exception of any kind."""
    if isinstance(error, click.ClickException):
        return Failure(Exit.USAGE, error.format_message())
    if isinstance(error, Stopped):
        return Failure(_told_by(error), str(error))
    if isinstance(error, click.Abort | KeyboardInterrupt):
        return Failure(_told_by(error), "stopped; nothing was changed")
    if isinstance(error, OSError):
        return _operating_system(error)
    if isinstance(error, CardError):
        return Failure(_exit_of(error), str(error))
    return Failure(Exit.INTERNAL, f"an error in rhcard itself, please report it: {_where(error)}")


def _exit_of(error: CardError) -> Exit:
    """The code of the nearest class that has one. Classes are named, so that none is imported."""
    names = (kind.__name__ for kind in type(error).__mro__)
    return next(_EXITS[name] for name in names if name in _EXITS)


def _told_by(error: BaseException) -> Exit:
    """The shell's code for a program that a signal stopped: 128 and the signal's number."""
    from .signals import number_behind

    number = number_behind(error)
    return next(each for each in Exit if each == 128 + number)


def _operating_system(error: OSError) -> Failure:
    wrong_path = isinstance(error, FileRefused) or error.errno in _WRONG_PATH
    code = Exit.USAGE if wrong_path else Exit.ENVIRONMENT
    place = f"{error.filename}: " if error.filename is not None else ""
    to_do = f". {_TO_DO[error.errno]}" if error.errno in _TO_DO else ""
    return Failure(code, f"{place}{error.strerror or type(error).__name__}{to_do}")


def _where(error: BaseException) -> str:
    """The kind of the error and its place, but not its text: that may hold a resident's data."""
    frames = extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"
