"""What a command's handler may use of the card that runs it; `SoftwareCard` is one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ...apdu import CommandAPDU
from ..chip.memory import Memory
from ..filesystem.tree import Directory, Node
from ..profile.card_options import CardOptions
from ..profile.card_state import CardState
from .logical_channel import LogicalChannel


@dataclass(frozen=True, slots=True)
class CommandHandler:
    """One command: its handler, and whether version-1 secure messaging may carry it.

    `data_anyway`: data is answered even without Le, as some outside hosts expect.
    `globalplatform`: it may come with the class of an SCP03 session when none is open.
    """

    handler: "Callable[[Card, LogicalChannel, CommandAPDU], bytes]"
    protected: bool = False
    data_anyway: bool = False
    globalplatform: bool = False


Commands = tuple[dict[int, CommandHandler], dict[int, CommandHandler]]


class Card(Protocol):
    """A card while it runs a command.

    `created` are the files made by CREATE FILE, `unusable` the nodes that are blocked, not
    activated or terminated; `random` gives that many random bytes. `commands` has the commands of
    classes 0x and 8x by INS.
    """

    commands: Commands

    memory: Memory
    state: CardState
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
        """10 or 20 (hex); FF on a blank card."""
        ...

    def child(self, directory: Directory, fid: int) -> Node | None:
        """The file of that identifier in a directory."""
        ...

    def application(self, name: bytes) -> Directory | None:
        """The DF of that name."""
        ...

    def refresh(self) -> None:
        """Learn anew from memory which files there are."""
        ...

    def forget(self, gone: Node) -> None:
        """Let no channel keep a deleted file selected."""
        ...

    def undo(self, sw: int, reason: str) -> bytes:
        """Forget what a refused command changed."""
        ...
