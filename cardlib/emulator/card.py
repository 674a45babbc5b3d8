"""SoftwareCard: bytes in, bytes out. It answers status words, never a Python exception."""

import os
import random
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from ..apdu import CommandAPDU
from ..errors import FormatError
from ..exchange import Exchange, Observer
from ..facts import HEALTH_APPLICATION, TRANSPORT_KEY_VERSION
from ..status import StatusWord
from . import self_test
from .chip import image
from .chip.answer_to_reset import answer_to_reset
from .chip.memory import Memory
from .chip.options import CardOptions
from .chip.refusal import MemoryFailure, Refusal
from .chip.state import KEY_TRIES, LIFE_CYCLE_ADDRESS, CardState, LifeCycle, StoredKeySet
from .filesystem import created_files
from .filesystem.tree import DDF1, MF, Directory, Node
from .handlers.access import enter, unusable_nodes
from .processing import process
from .sessions.logical_channel import LogicalChannel

_DEFAULT_OPTIONS = CardOptions()
_BLANK = int(LifeCycle.BLANK)


class SoftwareCard:
    """One resident health card with its issuer security domain, in memory or in an image file.

    `last_refusal` says why the last command was refused, for a person. `damage` says what is
    wrong with a memory that failed the self-test at power-on; such a card answers 6581 only.
    """

    def __init__(self, memory: Memory, randomness: Callable[[int], bytes] = os.urandom) -> None:
        self.memory = memory
        self.state = CardState(memory)
        self.random = randomness
        self.last_refusal = self.damage = ""
        self.options = CardOptions()
        self.created: dict[Directory, dict[int, Node]] = {}
        self.plain_command: CommandAPDU | None = None
        self.observers: tuple[Observer, ...] = ()
        self._image: image.ImageFile | None = None
        self._power_on()

    @classmethod
    def blank(
        cls,
        chip: bytes,
        transport_keys: tuple[bytes, bytes, bytes],
        *,
        options: CardOptions = _DEFAULT_OPTIONS,
        seed: int | None = None,
    ) -> "SoftwareCard":
        """A card as its maker delivers it: chip serial (8 bytes) and transport ENC, MAC, DEK.

        With a seed its challenges repeat from run to run: for tests.
        """
        if len(chip) != 8:
            raise FormatError(f"a chip serial has 8 bytes, not {len(chip)}")
        memory = Memory()
        state = CardState(memory)
        state.chip = chip
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
    def open(cls, path: Path) -> "SoftwareCard":
        """A card from its image; from here on every memory write goes to the file.

        Raises CardImageError if the file is no card image, damaged, or in use.
        """
        opened, pages = image.open_image(path)
        memory = Memory(pages)
        memory.store = opened
        card = cls(memory)
        card._image = opened
        if card.damage:
            card.close()
            raise image.CardImageError(f"{path}: damaged card image: {card.damage}")
        return card

    def save(self, path: Path) -> None:
        """Write the whole card to a file, replacing it at once; later writes go there too."""
        self.close()
        self._image = image.create(path, self.memory.pages)
        self.memory.store = self._image

    def close(self) -> None:
        """Let go of the image file; the card stays usable in memory."""
        if self._image:
            self._image.close()
        self._image = self.memory.store = None

    @property
    def chip(self) -> bytes:
        """The chip serial, 8 bytes."""
        return self.state.chip

    @property
    def atr(self) -> bytes:
        """The answer to reset."""
        return answer_to_reset(self.chip, self.options)

    def reset(self) -> bytes:
        """Forget selection, rights and sessions, finish an interrupted commit, give the ATR."""
        self._power_on()
        return self.atr

    def _power_on(self) -> None:
        self.memory.power_on()
        self.channels = {0: LogicalChannel(0, MF)}
        self.damage = self_test.damage(self.memory, self.state)
        if not self.damage:
            self.options = CardOptions.decode(self.state.options)
            self.refresh()

    @property
    def spec(self) -> int:
        """The card's spec, 0x10 or 0x20; FF on a blank card."""
        return self.state.profile[0]

    def child(self, directory: Directory, fid: int) -> Node | None:
        """The file of that identifier in a directory."""
        if self.created:
            node = self.created.get(directory, {}).get(fid)
            if node:
                return node
        if self.memory.byte(LIFE_CYCLE_ADDRESS) == _BLANK:
            return None
        return directory.children.get(fid)

    def application(self, name: bytes) -> Directory | None:
        """The DF of that name, whole (ISO/IEC 7816-4 5.2.2)."""
        if name == HEALTH_APPLICATION:
            return MF if self.state.life_cycle == LifeCycle.BLANK else DDF1
        for children in self.created.values():
            for node in children.values():
                if isinstance(node, Directory) and node.aid == name:
                    return node
        return None

    def refresh(self) -> None:
        """Learn anew from memory which files were created and which cannot be used."""
        self.created = created_files.load(self.memory, self.created)
        self.unusable = unusable_nodes(self)

    def forget(self, gone: Node) -> None:
        """No channel keeps a deleted file, or anything in a deleted DF, selected."""
        for channel in self.channels.values():
            inside = any(node is gone for node in channel.directory.ancestors())
            if inside or channel.file is gone:
                enter(channel, gone.parent or MF)

    def transmit(self, raw: bytes) -> bytes:
        """Answer one command APDU."""
        if not self.observers:
            return self._answer(raw)
        writes, start = self.memory.writes, perf_counter()
        response = self._answer(raw)
        seconds, written = perf_counter() - start, self.memory.writes - writes
        exchange = Exchange(raw, response, seconds, self.plain_command, self.last_refusal, written)
        for observer in self.observers:
            observer.saw(exchange)
        return response

    def _answer(self, raw: bytes) -> bytes:
        self.last_refusal = ""
        self.plain_command = None
        try:
            if self.damage:
                raise MemoryFailure(self.damage)
            response = process(self, CommandAPDU.parse(raw))
            self.memory.commit()
        except Refusal as refusal:
            return self.undo(refusal.sw, refusal.reason)
        except FormatError as error:
            return self.undo(StatusWord.WRONG_LENGTH, str(error))
        except MemoryFailure as failure:
            return self.undo(StatusWord.MEMORY_FAILURE, str(failure))
        return response

    def undo(self, sw: int, reason: str) -> bytes:
        """Forget what a refused command changed; its response is the status word alone."""
        self.last_refusal = reason
        if self.memory.rollback() and not self.damage:
            self.refresh()
        return sw.to_bytes(2, "big")
