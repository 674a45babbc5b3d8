"""A software chip: memory, power and an image file, for any kind of software card."""

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
    """The base class of software cards: command bytes in, response bytes out.

    A subclass defines the ATR, what happens at power-on, and how a command is processed. This class
    commits what a command changed, or undoes it when the command is refused.

    `last_refusal` says why the last command was refused. `damage` says why the memory failed the
    self-test at power-on; such a card answers only 6581. `observers` are shown every exchange.
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
        """Start from the contents of the memory; set `damage` if they are damaged."""

    @abstractmethod
    def process(self, command: CommandAPDU) -> bytes:
        """Return the response (data ‖ status word) to one command. Raises Refusal if it refuses."""

    @abstractmethod
    def refresh(self) -> None:
        """Read from memory again what the card keeps a copy of."""

    @classmethod
    @abstractmethod
    def wrong_kind(cls, memory: Memory) -> str:
        """Say what is in an image that is not of this kind of chip, or "" if it is."""

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Self:
        """Open a card image; from then on every memory write goes to the file.

        With `read_only` the file is never written, and may be on a read-only medium: what the card
        changes is in memory until `close`. Raises CardImageError when the file is not a card image,
        is damaged, or in use; StorageError when this computer does not let us read or write it.
        """
        opened, pages = image.open_image(path, read_only=read_only)
        memory = Memory(pages)
        if other := cls.wrong_kind(memory):
            opened.close()
            raise image.CardImageError(f"{path}: {other}")
        memory.store = None if read_only else opened
        card = cls(memory)
        card._image = opened
        if card.damage:
            card.close()
            raise image.damaged(path, card.damage)
        return card

    def save(self, path: Path) -> None:
        """Write the card to a file, which replaces an existing one; later writes go there too.

        Raises CardImageError when the file cannot be written, or is in use.
        """
        self.close()
        self._image = image.create(path, self.memory.pages)
        self.memory.store = self._image

    def close(self) -> None:
        """Close the image file; the card can still be used in memory."""
        if self._image:
            self._image.close()
        self._image = self.memory.store = None

    def reset(self) -> bytes:
        """Turn the power off and on, which undoes an interrupted commit; return the ATR."""
        self.power_on()
        return self.atr

    def transmit(self, raw: bytes) -> bytes:
        """Answer one command APDU with the response APDU."""
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
        """Undo what a refused command changed; return its status word."""
        self.last_refusal = reason
        if self.memory.rollback() and not self.damage:
            self.refresh()
        return sw.to_bytes(2, "big")
