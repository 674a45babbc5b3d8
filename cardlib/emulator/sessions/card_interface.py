"""The interface between a command's handler and the card that runs it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ...apdu import CommandAPDU
from ..chip.memory import Memory
from ..filesystem.tree import Directory, Node
from ..profile.card_options import CardOptions
from ..profile.card_state import StoredState
from .logical_channel import LogicalChannel


@dataclass(frozen=True, slots=True)
class CommandHandler:
    """The handler of one command, and how the command may arrive.

    `protected`: version 1 of secure messaging may protect it. `data_anyway`: data is answered even
    without Le, as some hosts expect. `globalplatform`: it is also accepted in the class of an SCP03
    session when none is open.
    """

    handler: "Callable[[Card, LogicalChannel, CommandAPDU], bytes]"
    protected: bool = False
    data_anyway: bool = False
    globalplatform: bool = False


Commands = tuple[dict[int, CommandHandler], dict[int, CommandHandler]]


class Card(Protocol):
    """A card while it runs a command; `SoftwareCard` is one.

    `created` are the files made by CREATE FILE; `unusable` are the nodes that are blocked, not
    activated or terminated. `random` returns that many random bytes. `commands` has the commands of
    class 0x and of class 8x by INS.
    """

    commands: Commands

    memory: Memory
    state: StoredState
    random: Callable[[int], bytes]
    options: CardOptions
    channels: dict[int, LogicalChannel]
    created: dict[Directory, dict[int, Node]]
    unusable: frozenset[Node]
    plain_command: CommandAPDU | None
    last_refusal: str

    @property
    def chip(self) -> bytes:
        """The chip serial, 8 bytes."""
        ...

    @property
    def atr(self) -> bytes:
        """The answer to reset."""
        ...

    @property
    def spec(self) -> int:
        """The card's spec: 10 or 20 (hex), and FF on a blank card."""
        ...

    def child(self, directory: Directory, fid: int) -> Node | None:
        """Return the file with this identifier in a directory, or None."""
        ...

    def application(self, name: bytes) -> Directory | None:
        """Return the DF with this name, or None."""
        ...

    def refresh(self) -> None:
        """Read from memory again which files there are."""
        ...

    def forget(self, gone: Node) -> None:
        """Deselect a deleted file on every channel."""
        ...

    def undo(self, sw: int, reason: str) -> bytes:
        """Undo what a refused command changed; return its status word."""
        ...
