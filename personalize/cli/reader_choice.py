"""The readers of the configuration, when the command line names no card and no reader."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .context import Context
from .output import say

if TYPE_CHECKING:
    from cardlib.transport.pcsc import Reader

    from .cards import OpenedCard


def configured_readers(context: Context) -> "tuple[Reader, ...]":
    """The readers that the configuration names, in its order; none if it names none.

    UsageError when one is named twice. Raises what `find_reader` does, with where the name stands.
    """
    found = context.configuration.setting("readers")
    if not isinstance(found.value, tuple):
        return ()
    from cardlib.transport.pcsc import AmbiguousReader, NoReader, find_reader

    readers: list[Reader] = []
    for name in found.value:
        try:
            reader = find_reader(name)
        except NoReader as error:
            raise NoReader(f"{error}. The name stands in {found.source}") from None
        except AmbiguousReader as error:
            why = f"{str(error).partition('. ')[0]}. Write more of the name in {found.source}"
            raise AmbiguousReader(why, error.numbers) from None
        if reader.name in [each.name for each in readers]:
            raise click.UsageError(f"readers in {found.source}: {reader.name} is named twice")
        readers.append(reader)
    say(f"Readers: {', '.join(map(str, readers))}, from {found.source}")
    return tuple(readers)


def open_one(
    context: Context, file: str | None, reader: str | None, folder: Path | None
) -> "AbstractContextManager[OpenedCard]":
    """The one card to look at, as `open_card`; without any of the three, that of `readers`."""
    from .cards import open_card

    if file is None and reader is None and folder is None:
        reader = _filled_one(context)
    return open_card(file, reader, folder, read_only=True, besides=context.sam_reader)


def _filled_one(context: Context) -> str | None:
    """The name of the one reader of the configuration, or of the only one that has a card.

    None if the configuration names none. UsageError when several have a card.
    """
    readers = configured_readers(context)
    if len(readers) < 2:
        return readers[0].name if readers else None
    from cardlib.transport.pcsc import NoCard

    filled = [reader for reader in readers if reader.atr]
    if len(filled) > 1:
        choices = " or ".join(f"--reader {reader.number}" for reader in filled)
        raise click.UsageError(f"several of these readers have a card: give {choices}")
    if not filled:
        names = " or ".join(map(str, readers))
        raise NoCard(f"no card in reader {names}: put one in")
    return filled[0].name
