"""Where the cards of `issue` and `verify` are: in readers that people feed, or in files."""

import os
import select
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .context import Context
from .output import say
from .reader_choice import configured_readers

if TYPE_CHECKING:
    from ..production.reader_feed import ReaderFeed
    from ..production.station import BlankMaker, FilesFeed, FolderFeed

FC = TypeVar("FC", bound="Callable[..., Any] | click.Command")

_NOBODY_CHOSE = (
    "where are the cards? Give --reader NAME|NUMBER for each reader; for software cards --card FILE"
    " for each, or --cards DIR"
)
_HOW_TO_END = "Press Enter to end; the cards in the readers are finished first."
_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of software cards, certain card files, or the names of readers."""

    folder: Path | None = None
    files: tuple[Path, ...] = ()
    readers: tuple[str, ...] = ()

    @property
    def is_software(self) -> bool:
        """Whether the cards are software cards."""
        return not self.readers

    @property
    def words(self) -> list[object]:
        """The options that name this place."""
        if self.folder is not None:
            return ["--cards", self.folder]
        named: list[tuple[str, object]] = [("--card", path) for path in self.files]
        named += [("--reader", name) for name in self.readers]
        return [word for pair in named for word in pair]

    def as_dict(self) -> dict[str, Any]:
        """The place as JSON members."""
        if self.folder is not None:
            return {"folder": str(self.folder)}
        if self.files:
            return {"files": [str(path) for path in self.files]}
        return {"readers": list(self.readers)}


def place_options(command: FC) -> FC:
    """The three ways to say where the cards are; `chosen` takes them."""
    cards = click.option(
        "--cards",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="Folder of the software cards (*.card).",
    )
    readers = click.option(
        "--reader",
        "readers",
        multiple=True,
        metavar="NAME|NUMBER",
        help="Cards that you put into this PC/SC reader. May be repeated: all are used at once.",
    )
    files = click.option(
        "--card",
        "files",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        multiple=True,
        metavar="FILE",
        help="The software card in this file. May be repeated.",
    )
    return cards(files(readers(command)))


def chosen(
    context: Context, cards: Path | None, files: Sequence[Path], readers: Sequence[str]
) -> Place:
    """The place that the operator named, or chose when asked; UsageError when there is none.

    If he named none, the readers of the configuration are used, and he is told. Raises what
    `find_reader` does. No reader is used that nobody named.
    """
    if (cards is not None) + bool(files) + bool(readers) > 1:
        raise click.UsageError("give only one of --reader, --card and --cards")
    if cards is not None:
        return Place(cards)
    if files:
        return Place(files=_once(files))
    from cardlib.transport.pcsc import find_reader

    if not readers and (named := configured_readers(context)):
        return Place(readers=tuple(reader.name for reader in named))
    names = [find_reader(choice).name for choice in readers or _asked()]
    if twice := [name for name in names if names.count(name) > 1]:
        raise click.UsageError(f"--reader: {twice[0]} is given twice")
    return Place(readers=tuple(names))


def _once(files: Sequence[Path]) -> tuple[Path, ...]:
    found = [path.resolve() for path in files]
    if twice := [path for path in files if found.count(path.resolve()) > 1]:
        raise click.UsageError(f"--card: {twice[0]} is given twice")
    return tuple(files)


def _asked() -> Sequence[str]:
    """The numbers of the readers that a person at the terminal chooses."""
    if not _at_terminal():
        raise click.UsageError(_NOBODY_CHOSE)
    from cardlib.transport.pcsc import NoReader, list_readers

    readers = list_readers()
    if not readers:
        raise NoReader(f"no reader is connected, and {_NOBODY_CHOSE}")
    for reader in readers:
        say(f"{reader}: {'a card is in it' if reader.atr else 'empty'}")
    question = "Numbers of the readers to use, with blanks between (none: stop)"
    answer = click.prompt(question, default="", show_default=False, err=True)
    if not answer.split():
        raise click.UsageError(_NOBODY_CHOSE)
    return list(answer.split())


def hand_fed(place: Place) -> "ReaderFeed | None":
    """The readers of a place as a feed; it tells people on stderr what to do. None for files."""
    if place.is_software:
        return None
    from cardlib.transport.slot import PcscSlot

    from ..production.reader_feed import ReaderFeed

    return ReaderFeed([PcscSlot(name) for name in place.readers], say)


def of_files(
    place: Place, maker: "BlankMaker | None" = None, *, read_only: bool = False
) -> "FolderFeed | FilesFeed":
    """The software cards of a place as a feed; with a `maker` also blanks, in a folder."""
    from ..production.station import FilesFeed, FolderFeed

    if place.folder is not None:
        return FolderFeed(place.folder, maker, read_only=read_only)
    # `issue` names at its end what it did not use.
    return FilesFeed(place.files, say if read_only else None, read_only=read_only)


def watch(hands: "ReaderFeed | None", stop_here: Callable[[], None]) -> None:
    """Look for Enter, and call `stop_here`, several times a second while readers are fed."""
    if hands is None:
        return

    def poll() -> None:
        end_on_enter(hands)
        stop_here()

    if _at_terminal():
        say(_HOW_TO_END)
    hands.poll = poll


def _at_terminal() -> bool:
    """Whether a person can type here; stdin may be closed."""
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()


def _in_background(stdin: int) -> bool:
    """Whether a read from this terminal would stop the program, with a card in hand."""
    try:
        return os.tcgetpgrp(stdin) != os.getpgrp()
    except OSError:
        return False


def end_on_enter(feed: "ReaderFeed") -> None:
    """End a run when a line comes on stdin, or Ctrl-D at a terminal; look only, never wait."""
    try:
        stdin = sys.stdin.fileno()
        if _in_background(stdin):
            return
        line = bool(select.select([stdin], [], [], 0)[0]) and os.read(stdin, _AT_ONCE)
    except (AttributeError, OSError, ValueError):
        return
    if line or (line == b"" and os.isatty(stdin)):
        if not feed.is_ending:
            say("Ending. The cards in the readers are finished first.")
        feed.end()
