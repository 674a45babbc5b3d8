"""The card readers of this computer: list them, find one, and wait for a card in it."""

import time
from contextlib import suppress
from dataclasses import dataclass

from . import pcsc_service as service
from .pcsc_errors import AmbiguousReader, NoCard, NoReader
from .pcsc_service import NO_READER, SUCCESS, UNAWARE, constants, failure, new_context

_IN_USE: int = constants.SCARD_STATE_INUSE | constants.SCARD_STATE_EXCLUSIVE
_MUTE: int = constants.SCARD_STATE_MUTE
_LOOK_AGAIN = 0.1


@dataclass(frozen=True, slots=True)
class Reader:
    """A reader: its number (from 0), its name, and the ATR of the card in it (empty if none).

    `in_use` says that a program is connected to the card, `mute` that a card does not answer.
    """

    number: int
    name: str
    atr: bytes
    in_use: bool = False
    mute: bool = False

    def __str__(self) -> str:
        return f"{self.number} ({self.name})"


def list_readers() -> list[Reader]:
    """List every reader, with the ATR of the card in it. The list is empty without readers."""
    with new_context() as context:
        return _look(context)


def find_reader(choice: str | int | None = None) -> Reader:
    """Find a reader by number, name or part of its name; without a choice, the one with a card.

    Raises NoReader or AmbiguousReader, which name the readers, or NoCard when no choice was given
    and no reader has a card.
    """
    readers = list_readers()
    if not readers:
        raise NoReader(NO_READER)
    if choice is None:
        return _only(readers, [reader for reader in readers if reader.atr])
    found = _matching(readers, str(choice))
    if len(found) > 1:
        raise AmbiguousReader(
            f"{choice!r} fits several readers: {_names(found, ', ')}. Give the number of one",
            [reader.number for reader in found],
        )
    if not found:
        raise NoReader(f"no reader {choice!r}. Connected: {_names(readers, ', ')}")
    return found[0]


def wait_for_card(choice: str | int | None = None, timeout: float = 60) -> Reader:
    """Wait until the reader of `find_reader` has a card, and return that reader.

    Raises NoCard after `timeout` seconds.
    """
    end = time.monotonic() + timeout
    while True:
        with suppress(NoCard):
            reader = find_reader(choice)
            if reader.atr:
                return reader
        if time.monotonic() >= end:
            raise NoCard(f"no card was inserted within {timeout:g} s")
        time.sleep(_LOOK_AGAIN)


def _look(context: int) -> list[Reader]:
    result, names = service.calls.SCardListReaders(context, [])
    if result == constants.SCARD_E_NO_READERS_AVAILABLE or (result == SUCCESS and not names):
        return []
    if result == SUCCESS:
        result, states = service.calls.SCardGetStatusChange(
            context, 0, [(n, UNAWARE) for n in names]
        )
    if result != SUCCESS:
        raise failure(result)
    return [
        Reader(number, name, bytes(atr), bool(state & _IN_USE), bool(state & _MUTE))
        for number, (name, state, atr) in enumerate(states)
    ]


def _matching(readers: list[Reader], choice: str) -> list[Reader]:
    """Match the exact name or the number, else a part of the name, upper or lower case.

    Digits are a number: the 1 in another reader's name must not bring that one's card.
    """
    exact = [reader for reader in readers if choice in (reader.name, str(reader.number))]
    if exact or choice.isdigit():
        return exact
    return [reader for reader in readers if choice.casefold() in reader.name.casefold()]


def _only(readers: list[Reader], with_card: list[Reader]) -> Reader:
    if not with_card:
        raise NoCard(f"no card in reader {_names(readers, ' or ')}: put one in")
    if len(with_card) > 1:
        raise AmbiguousReader(
            f"several readers have a card: {_names(with_card, ', ')}. Give the number of one",
            [reader.number for reader in with_card],
        )
    return with_card[0]


def _names(readers: list[Reader], glue: str) -> str:
    return glue.join(map(str, readers))
