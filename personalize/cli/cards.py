"""Cards as an operator names them: in a reader, by a file, or by a chip and the folder it is in."""

import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cardlib.emulator import CardImageError
from cardlib.errors import CardError, TransportError
from cardlib.facts import ChipSerial

from ..production.station import SUFFIX, FolderFeed, card_path, in_reader
from .output import say

if TYPE_CHECKING:
    from cardlib.exchange import Connection

_CHIP = re.compile("[0-9A-Fa-f]{16}")
_OR_A_FILE = ". Or give a card file: --card FILE"
_AGAIN = {
    "CardPulledOut": ". Put it in, and run the command again",
    "CardWasReset": ". Run the command again",
    "PcscRestarted": ". Run the command again",
}
"""What to add to an error of a reader that does not say what to do, by the name of its class."""


@dataclass(frozen=True, slots=True)
class OpenedCard:
    """A card that has power, and where it is: in a file, or in the reader of a name."""

    connection: "Connection"
    file: Path | None = None
    reader: str | None = None

    @property
    def place(self) -> dict[str, str | None]:
        """Where the card is, for a JSON document."""
        return {"card": None if self.file is None else str(self.file), "reader": self.reader}


def open_card(
    file: str | None,
    reader: str | None,
    folder: Path | None = None,
    *,
    read_only: bool = False,
    besides: str | None = None,
) -> AbstractContextManager[OpenedCard]:
    """The one card that a command line names; it has power, and no other program, in the block.

    Without a file and a reader, the card is taken that is in a reader, if it is the only one.
    `read_only` is about the file of a software card. `besides` is the reader of the SAM, where the
    card is not. UsageError, at once, when two cards are named. CardImageError for a file without a
    card, TransportError for a reader without one.
    """
    check_named(file, reader, folder)
    if file is not None:
        return _in_file(card_file(file, folder), read_only=read_only)
    return _in_pcsc_reader(reader if besides is None else _other_reader(reader, besides))


def check_named(file: str | None, reader: str | None, folder: Path | None = None) -> None:
    """UsageError when two cards are named, or a folder without a card in it."""
    if file is not None and reader is not None:
        raise click.UsageError("give one card: --card FILE or --reader NAME")
    if file is None and folder is not None:
        raise click.UsageError("--cards DIR needs the chip serial of a card in that folder")


def _other_reader(choice: str | None, sam: str) -> str | None:
    """The reader of the card, which is not that of the SAM; UsageError if it would be."""
    from cardlib.transport.pcsc import find_reader, list_readers

    if choice is not None:
        if find_reader(choice).name == sam:
            raise click.UsageError(f"the SAM is in reader {sam}: name the card's reader")
        return choice
    filled = [each.name for each in list_readers() if each.atr and each.name != sam]
    if not filled:
        raise click.UsageError(f"only the SAM is in a reader ({sam}): put the card into another")
    return filled[0] if len(filled) == 1 else None


@contextmanager
def _in_file(path: Path, *, read_only: bool) -> Iterator[OpenedCard]:
    with in_reader(path, read_only=read_only) as card:
        yield OpenedCard(card, file=path)


@contextmanager
def _in_pcsc_reader(choice: str | None) -> Iterator[OpenedCard]:
    from cardlib.transport.alone import alone_in_reader

    try:
        with alone_in_reader(choice, _say_waiting) as connection:
            yield OpenedCard(connection, reader=connection.reader)
    except TransportError as error:
        raise _with_remedy(error, chosen=choice is not None) from None


def _say_waiting(reader: str) -> None:
    say(f"Waiting for another program that uses the card in reader {reader}.")


def _with_remedy(error: TransportError, *, chosen: bool) -> TransportError:
    """The same error, with what to do at a command line in the message."""
    from cardlib.transport.pcsc import AmbiguousReader, NoCard, NoReader, PcscNotRunning

    tail = next((_AGAIN[c.__name__] for c in type(error).__mro__ if c.__name__ in _AGAIN), "")
    if isinstance(error, AmbiguousReader):
        tail = ": " + " or ".join(f"--reader {number}" for number in error.numbers)
    elif not tail and not chosen and isinstance(error, PcscNotRunning | NoReader | NoCard):
        tail = _OR_A_FILE
    return type(error)(f"{error}{tail}") if tail else error


def card_file(card: str, folder: Path | None = None) -> Path:
    """The file of a card that is named by its path, or by its chip serial in a folder.

    CardImageError when there is no such card, UsageError for a chip without a folder.
    """
    path = Path(card)
    if path.is_dir():
        raise CardImageError(f"{card} is a folder; give a {SUFFIX} file in it")
    if path.is_file() or not _CHIP.fullmatch(card):
        return path
    if folder is None:
        raise click.UsageError(
            f"{card} is a chip serial: add --cards DIR, the folder that holds the card"
        )
    chip = ChipSerial.parse(card)
    found = files_of(folder, [chip])
    if not found:
        raise CardImageError(f"Card with chip {chip} not found in {folder}.")
    return found[chip]


def files_of(folder: Path, chips: Iterable[ChipSerial]) -> dict[ChipSerial, Path]:
    """Which of these chips are in a folder, and in which file: by its name, else by its ATR."""
    from ..production.feed import chip_of

    wanted = set(chips)
    found = {chip: path for chip in wanted if (path := card_path(folder, chip)).is_file()}
    wanted -= found.keys()
    named = set(found.values())
    for card in FolderFeed(folder, read_only=True).lying():
        if not wanted:
            break
        if card.path in named:
            continue
        try:
            with card.powered() as connection:
                chip = chip_of(connection)
        except CardError:
            continue
        if chip in wanted:
            found[chip] = card.path
            wanted.discard(chip)
    return found
