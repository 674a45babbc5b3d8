"""The resident health card on a software chip."""

import os
import random
from collections.abc import Callable

from ..apdu import CommandAPDU
from ..facts import HEALTH_APPLICATION, TRANSPORT_KEY_VERSION, ChipSerial
from . import self_test
from .chip.chip import Chip
from .chip.memory import Memory
from .dispatch import COMMANDS, commands_of
from .filesystem import created_files
from .filesystem.tree import DDF1, MF, Directory, Node
from .handlers.access import enter, has_name, unusable_nodes
from .processing import process
from .profile.answer_to_reset import answer_to_reset
from .profile.card_options import CardOptions
from .profile.card_state import KEY_TRIES, LIFE_CYCLE_ADDRESS, LifeCycle, StoredKeySet, StoredState
from .sam_card.sam_state import is_sam
from .sessions.logical_channel import LogicalChannel

_DEFAULT_OPTIONS = CardOptions()
_BLANK = int(LifeCycle.BLANK)


class SoftwareCard(Chip):
    """One resident health card with its security domain, in memory or in an image file."""

    commands = COMMANDS

    def __init__(self, memory: Memory, randomness: Callable[[int], bytes] = os.urandom) -> None:
        super().__init__(memory, randomness)
        self.state = StoredState(memory)
        self.options = CardOptions()
        self.created: dict[Directory, dict[int, Node]] = {}
        self.power_on()

    @classmethod
    def blank(
        cls,
        chip: bytes,
        transport_keys: tuple[bytes, bytes, bytes],
        *,
        options: CardOptions = _DEFAULT_OPTIONS,
        seed: int | None = None,
    ) -> "SoftwareCard":
        """Make a blank card with a chip serial (8 bytes) and transport keys ENC, MAC, DEK.

        With a seed its challenges are the same in every run, for tests.
        """
        memory = Memory()
        state = StoredState(memory)
        state.chip = ChipSerial(chip)
        state.life_cycle = LifeCycle.BLANK
        state.blocked_directories = 0
        state.sequence_counter = 0
        keys = StoredKeySet(TRANSPORT_KEY_VERSION, *transport_keys, KEY_TRIES)
        state.key_sets = {keys.version: keys}
        state.options = options.encode()
        memory.commit()
        randomness = os.urandom if seed is None else random.Random(seed).randbytes
        return cls(memory, randomness)

    @classmethod
    def wrong_kind(cls, memory: Memory) -> str:
        """Say that the image is a SAM's, or "" if it is a card's."""
        return "this is the file of a SAM, not of a card: see `rhcard sam`" * is_sam(memory)

    @property
    def chip(self) -> bytes:
        """The chip serial, 8 bytes."""
        return self.state.chip

    @property
    def atr(self) -> bytes:
        """The answer to reset."""
        return answer_to_reset(self.chip, self.options)

    @property
    def spec(self) -> int:
        """The card's spec: 0x10 or 0x20, and 0xFF on a blank card."""
        return self.state.profile[0]

    def power_on(self) -> None:
        """Forget selection, rights and sessions; undo an interrupted commit; test the memory."""
        self.memory.power_on()
        self.channels = {0: LogicalChannel(0, MF)}
        self.damage = self_test.damage(self.memory, self.state)
        if not self.damage:
            self.options = CardOptions.decode(self.state.options)
            self.commands = commands_of(self.options)
            self.refresh()

    def process(self, command: CommandAPDU) -> bytes:
        """Return the response to one command. Raises Refusal when it refuses."""
        return process(self, command)

    def refresh(self) -> None:
        """Read from memory again which files were created and which cannot be used."""
        self.created = created_files.load(self.memory, self.created)
        self.unusable = unusable_nodes(self)

    def child(self, directory: Directory, fid: int) -> Node | None:
        """Return the file with this identifier in a directory, or None."""
        if self.created:
            node = self.created.get(directory, {}).get(fid)
            if node:
                return node
        if self.memory.byte(LIFE_CYCLE_ADDRESS) == _BLANK:
            return None
        return directory.children.get(fid)

    def application(self, name: bytes) -> Directory | None:
        """Return the DF with exactly this name (ISO/IEC 7816-4 5.2.2), or None."""
        if name == HEALTH_APPLICATION:
            if self.state.life_cycle == LifeCycle.BLANK:
                return MF
            return DDF1 if has_name(self, DDF1) else None
        for children in self.created.values():
            for node in children.values():
                if isinstance(node, Directory) and node.aid == name:
                    return node
        return None

    def forget(self, gone: Node) -> None:
        """Deselect a deleted file, or a file in a deleted DF, on every channel."""
        for channel in self.channels.values():
            inside = any(node is gone for node in channel.directory.ancestors())
            if inside or channel.file is gone:
                enter(channel, gone.parent or MF)
