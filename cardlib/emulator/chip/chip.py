"""A software chip: memory, power and an image file, for any card that answers command APDUs."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Self

from ...apdu import CommandAPDU
from ...errors import FormatError
from ...exchange import Exchange, Observer
from ...status import StatusWord
from . import image
from .memory import Memory
from .refusal import MemoryFailure, Refusal


class Chip(ABC):
    """One card's memory with its supply: bytes in, bytes out, never a Python exception.

    A card is a subclass: it says what its ATR is, what it does at power-on, and how it processes
    a command. What a refused command changed is undone here; what another changed is committed.

    `last_refusal` says why the last command was refused, for a person. `damage` says what is
    wrong with a memory that failed the self-test at power-on; such a card answers 6581 only.
    `observers` are told of every exchange.
    """

    def __init__(self, memory: Memory, randomness: Callable[[int], bytes] = os.urandom) -> None:
        self.memory = memory
        self.random = randomness
        self.last_refusal = self.damage = ""
        self.plain_command: CommandAPDU | None = None
        self.observers: tuple[Observer, ...] = ()
        self._image: image.ImageFile | None = None

    @property
    @abstractmethod
    def atr(self) -> bytes:
        """The answer to reset."""

    @abstractmethod
    def power_on(self) -> None:
        """Begin anew from what the memory holds; set `damage` if it holds no whole card."""

    @abstractmethod
    def process(self, command: CommandAPDU) -> bytes:
        """The response (data ‖ status word) to one command; a Refusal where there is none."""

    @abstractmethod
    def refresh(self) -> None:
        """Learn anew from memory what was derived from it."""

    @classmethod
    def open(cls, path: Path) -> Self:
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

    def reset(self) -> bytes:
        """Take the power away and give it again: finish an interrupted commit, give the ATR."""
        self.power_on()
        return self.atr

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
            response = self.process(CommandAPDU.parse(raw))
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
