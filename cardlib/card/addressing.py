"""How files are selected: DDF1 by AID and files by path, or all by file identifier, one by one.

Card specification 1, and 10, amendment 12.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple, Protocol

from .. import commands
from ..apdu import MAX_SHORT_LE, CommandAPDU, ResponseAPDU
from ..errors import StatusWordError
from ..facts import MF_ID
from ..layout import FILE_BY_PATH
from ..layout.card_profile import CardProfile
from ..status import StatusWord

_OTHER_FORM = (
    StatusWord.FILE_NOT_FOUND, StatusWord.INCORRECT_P1_P2, StatusWord.FUNCTION_NOT_SUPPORTED,
    StatusWord.WRONG_P1_P2,
)  # fmt: skip
"""Answers to SELECT by AID or path after which file identifiers are tried."""

Sent = Callable[[CommandAPDU, str], ResponseAPDU]
"""Sends a named command. It raises StatusWordError when the card refuses."""


class Step(NamedTuple):
    """One SELECT, and the DF that is current after it."""

    command: CommandAPDU
    df: str


class Addressing(Protocol):
    """A way to select files."""

    def steps(self, path: str, current: str, *, fci: bool) -> tuple[Step, ...]:
        """Return the commands that select `path` when the DF `current` ("": any) is selected.

        `fci` asks the last of them for the FCI. Raises FormatError when `path` is not a path.
        """
        ...


class ByNameAndPath:
    """DDF1 by its AID, files by their path from the MF: one command each."""

    def steps(self, path: str, current: str, *, fci: bool) -> tuple[Step, ...]:
        """Return one SELECT."""
        del current
        return _by_name(path, fci=fci)


class ByPath:
    """DDF1 by its path too: SELECT by AID would end a session of version 2."""

    def steps(self, path: str, current: str, *, fci: bool) -> tuple[Step, ...]:
        """Return one SELECT."""
        del current
        return _by_path(path, fci=fci)


class ByFileIdentifier:
    """Each file by its identifier, from the current DF if it is below it, else from DDF1 on.

    P2 is 00, and there is no Le unless the FCI is wanted.
    """

    def steps(self, path: str, current: str, *, fci: bool) -> tuple[Step, ...]:
        """Return one SELECT for each file on the way."""
        if path == "MF":
            return (Step(_by_identifier(MF_ID.to_bytes(2, "big"), fci=fci), path),)
        identifiers, names = commands.path_bytes(path), path.split("/")
        first = current.count("/") + 1 if path.startswith(f"{current}/") else 0
        return tuple(
            Step(
                _by_identifier(identifiers[2 * i : 2 * i + 2], fci=fci and i == len(names) - 1),
                _df_of("/".join(names[: i + 1])),
            )
            for i in range(first, len(names))
        )


@cache
def _by_name(path: str, *, fci: bool) -> tuple[Step, ...]:
    return (Step(commands.select(path, fci=fci, by_name=True), _df_of(path)),)


@cache
def _by_path(path: str, *, fci: bool) -> tuple[Step, ...]:
    return (Step(commands.select(path, fci=fci), _df_of(path)),)


def _df_of(path: str) -> str:
    file = FILE_BY_PATH.get(path)
    return path if file is None else file.df_path


def _by_identifier(identifier: bytes, *, fci: bool) -> CommandAPDU:
    return CommandAPDU(0x00, 0xA4, 0x00, 0x00, identifier, MAX_SHORT_LE if fci else None)


class Selection:
    """The current DF of one card, and how files are selected on it.

    A card that refuses an AID or a path is asked by file identifier, unless `strict`. If it takes
    that, it is asked so from then on. In a session of version 2, files are always selected by path.
    """

    def __init__(self, profile: CardProfile, *, strict: bool = False) -> None:
        by_name, self._strict = profile.selection == "name and path", strict
        self._addressing: Addressing = ByNameAndPath() if by_name else ByFileIdentifier()
        self.df = ""

    @property
    def by_identifier(self) -> bool:
        """Whether files are selected by their identifiers."""
        return isinstance(self._addressing, ByFileIdentifier)

    def select(
        self, sent: Sent, path: str, *, fci: bool = False, in_session: bool = False
    ) -> bytes:
        """Select a file; return the data of the card's answer.

        Raises StatusWordError when the card refuses every form, and names the form of the profile.
        """
        if in_session:
            return self._go(sent, ByPath(), path, fci=fci)
        try:
            return self._go(sent, self._addressing, path, fci=fci)
        except StatusWordError as error:
            if self._strict or self.by_identifier or error.sw not in _OTHER_FORM:
                raise
            try:
                data = self._go(sent, ByFileIdentifier(), path, fci=fci)
            except StatusWordError:
                raise error from None
        self._addressing = ByFileIdentifier()
        return data

    def _go(self, sent: Sent, addressing: Addressing, path: str, *, fci: bool) -> bytes:
        data = b""
        for step in addressing.steps(path, self.df, fci=fci):
            data = sent(step.command, f"SELECT {path}").data
            self.df = step.df
        return data


def contains(directory: str, path: str) -> bool:
    """Whether `directory` is the DF `path` or contains it."""
    return directory in ("MF", path) or path.startswith(f"{directory}/")
