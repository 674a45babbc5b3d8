"""Software cards as an operator names them: by a file, or by a chip and the folder it is in."""

import re
from collections.abc import Iterable
from pathlib import Path

import click

from cardlib.emulator import CardImageError
from cardlib.errors import CardError
from cardlib.facts import ChipSerial

from ..production.station import SUFFIX, FolderFeed, card_path

_CHIP = re.compile("[0-9A-Fa-f]{16}")


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
