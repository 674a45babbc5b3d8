"""The SAM on a software chip: an image file of its own, and a security domain to load it."""

import os
import random
from collections.abc import Callable
from functools import reduce
from operator import xor

from ...apdu import CommandAPDU
from ...facts import TRANSPORT_KEY_VERSION, ChipSerial
from ...status import StatusWord
from ..chip.chip import Chip
from ..chip.memory import Memory
from ..chip.refusal import Refusal
from ..filesystem.tree import MF, Directory, Node
from ..handlers import registry, security_domain
from ..processing import process
from ..profile.card_options import CardOptions
from ..profile.card_state import KEY_TRIES, LifeCycle, StoredKeySet, StoredState
from ..sessions.card_interface import Card, CommandHandler, Commands
from ..sessions.logical_channel import LogicalChannel
from .sam_application import SamApplication
from .sam_state import SamState, is_sam
from .sam_store_data import store_data

_INTERFACE_BYTES = bytes.fromhex("9E968001")
"""T0 with 14 historical bytes, TA1 96, TD1 T=0, TD2 T=1."""
_HISTORICAL = b"\x80\x63SAM\x58"
"""COMPACT-TLV: pre-issuing data (6) "SAM", then the chip serial under tag 58, as a card has it."""
_OPTIONS = CardOptions(command_chaining=False)
_UNKNOWN_SPEC = 0xFF
_DOMAIN = (0x82, 0xD8, 0xE4)
"""EXTERNAL AUTHENTICATE, PUT KEY and DELETE of the security domain are those of a card."""


class SoftwareSam(Chip):
    """One SAM in memory or in an image file. It is a `Card` for its security domain.

    Blank it has the transport keys of its maker. `layout.sam_data` says with what it is loaded.
    """

    def __init__(self, memory: Memory, randomness: Callable[[int], bytes] = os.urandom) -> None:
        super().__init__(memory, randomness)
        self.sam = SamState(memory)
        self.state: StoredState = self.sam
        self.options = _OPTIONS
        self.created: dict[Directory, dict[int, Node]] = {}
        self.unusable = frozenset[Node]()
        self.power_on()

    @classmethod
    def blank(
        cls, chip: bytes, transport_keys: tuple[bytes, bytes, bytes], *, seed: int | None = None
    ) -> "SoftwareSam":
        """Make a blank SAM with a chip serial (8 bytes) and transport keys ENC, MAC, DEK.

        With a seed its random numbers are the same in every run, for tests.
        """
        memory = Memory()
        state = SamState(memory)
        state.mark()
        state.chip = ChipSerial(chip)
        state.life_cycle = LifeCycle.BLANK
        state.sequence_counter = 0
        keys = StoredKeySet(TRANSPORT_KEY_VERSION, *transport_keys, KEY_TRIES)
        state.key_sets = {keys.version: keys}
        memory.commit()
        return cls(memory, os.urandom if seed is None else random.Random(seed).randbytes)

    @classmethod
    def wrong_kind(cls, memory: Memory) -> str:
        """Say what else the image is, or "" if it is a SAM's."""
        return "" if is_sam(memory) else "this is not the file of a SAM"

    @property
    def chip(self) -> bytes:
        """The chip serial, 8 bytes."""
        return self.state.chip

    @property
    def atr(self) -> bytes:
        """The answer to reset."""
        body = _INTERFACE_BYTES + _HISTORICAL + self.chip
        return b"\x3b" + body + bytes((reduce(xor, body),))

    @property
    def spec(self) -> int:
        """No card's specification: FF."""
        return _UNKNOWN_SPEC

    def power_on(self) -> None:
        """Forget selection, PIN and sessions; undo an interrupted commit; test the memory."""
        self.memory.power_on()
        self.channels = {0: LogicalChannel(0, MF)}
        self.commands = _commands(SamApplication(self.sam, self.random))
        journal = "the journal of an interrupted command is damaged"
        if self.memory.journal_is_damaged:
            self.damage = journal
        else:
            self.damage = next(self.state.damaged_parts(), "")

    def process(self, command: CommandAPDU) -> bytes:
        """Return the response to one command. Raises Refusal when it refuses."""
        return process(self, command)

    def refresh(self) -> None:
        """Do nothing: a SAM keeps no copy of its memory."""

    def child(self, directory: Directory, fid: int) -> Node | None:
        """Return None: a SAM has no files."""

    def application(self, name: bytes) -> Directory | None:
        """Return None: the applications of a SAM are no directories."""

    def forget(self, gone: Node) -> None:
        """Do nothing: a SAM has no files."""


def _initialize_update(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Begin a session with the security domain, which must be selected."""
    if not channel.security_domain_selected:
        why = "select the security domain first"
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, why)
    return security_domain.initialize_update(card, channel, command)


def _commands(application: SamApplication) -> Commands:
    """Return the commands of class 0x and 8x, by INS, for a SAM that has power."""
    domain = {
        ins: CommandHandler(security_domain.COMMANDS[ins], globalplatform=True) for ins in _DOMAIN
    }
    get_data = CommandHandler(registry.get_data, globalplatform=True)
    interindustry = {
        0x20: CommandHandler(application.verify),
        0xA4: CommandHandler(application.select),
        0xCA: get_data,
    }
    own = {
        0x50: CommandHandler(_initialize_update, data_anyway=True, globalplatform=True),
        0xCA: get_data,
        0xDE: CommandHandler(application.diversify),
        0xE2: CommandHandler(store_data, globalplatform=True),
        0xEA: CommandHandler(application.authenticate),
        0xEB: CommandHandler(application.session_keys),
        0xFA: CommandHandler(application.calculate),
    }
    return interindustry, domain | own
