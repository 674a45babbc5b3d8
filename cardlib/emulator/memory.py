"""The card's non-volatile memory: pages, and commits that are whole or did not happen.

A page is programmed at once or not at all. A change of one page is one such write; a change of
more goes through a redo journal: contents, then a header that makes it valid (the commit point),
then the pages themselves, then the header's erasure. `power_on` finishes or forgets what a cut
left behind. Pages never written are not stored and read FF.
"""

import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from .refusal import MemoryFailure

PAGE_SIZE = 256
JOURNAL_PAGE = 0x8000
_BLANK = b"\xff" * PAGE_SIZE
_MAGIC = b"RHJ1"


class PageStore(Protocol):
    """Where programmed pages are kept beside RAM: the image file."""

    def write_page(self, number: int, content: bytes) -> None:
        """Keep one page, 256 bytes; MemoryFailure if it cannot."""


class Memory:
    """Pages by number, as programmed and as the running command sees them.

    `on_write` is called with the page number before each page is programmed; a fault raises
    from it. `writes` counts programmed pages.
    """

    __slots__ = ("_dirty", "_programmed", "_view", "on_write", "store", "writes")

    def __init__(self, pages: dict[int, bytes] | None = None) -> None:
        self._programmed = dict(pages or {})
        self._view = dict(self._programmed)
        self._dirty: set[int] = set()
        self.store: PageStore | None = None
        self.on_write: Callable[[int, bool], None] | None = None
        self.writes = 0

    @property
    def pages(self) -> dict[int, bytes]:
        """A copy of every programmed page, as an image keeps them."""
        return dict(self._programmed)

    def read(self, address: int, length: int) -> bytes:
        """`length` bytes from `address`, the running command's own changes included."""
        number, offset = address >> 8, address & 0xFF
        end = offset + length
        if end <= PAGE_SIZE:
            return self._view.get(number, _BLANK)[offset:end]
        view = self._view
        last = (address + length - 1) >> 8
        joined = b"".join([view.get(page, _BLANK) for page in range(number, last + 1)])
        return joined[offset:end]

    def byte(self, address: int) -> int:
        """One byte as a number."""
        return self._view.get(address >> 8, _BLANK)[address & 0xFF]

    def write(self, address: int, data: bytes) -> None:
        """Change bytes; nothing is programmed before `commit`."""
        while data:
            number, offset = address >> 8, address & 0xFF
            part = data[: PAGE_SIZE - offset]
            old = self._view.get(number, _BLANK)
            self._view[number] = old[:offset] + part + old[offset + len(part) :]
            self._dirty.add(number)
            address, data = address + len(part), data[len(part) :]

    def commit(self) -> None:
        """Program everything written since the last commit, whole or not at all."""
        if not self._dirty:
            return
        self._finish()
        changed = [
            number
            for number in sorted(self._dirty)
            if self._view[number] != self._programmed.get(number, _BLANK)
        ]
        if len(changed) > 1:
            self._write_journal(changed)
        for number in changed:
            self._program(number, self._view[number])
        if len(changed) > 1:
            self._program(JOURNAL_PAGE, _BLANK)
        self._dirty.clear()

    def rollback(self) -> bool:
        """Forget everything written since the last commit; whether there was anything."""
        changed = bool(self._dirty)
        for number in self._dirty:
            if number in self._programmed:
                self._view[number] = self._programmed[number]
            else:
                del self._view[number]
        self._view.update(self._journalled())
        self._dirty.clear()
        return changed

    def power_on(self) -> None:
        """Start from what is programmed; redo a commit that a cut interrupted."""
        # The journal still holds what a worn page could not; the next commit tries again.
        with suppress(MemoryFailure):
            self._finish()
        self._view = self._programmed | self._journalled()
        self._dirty.clear()

    def _write_journal(self, changed: list[int]) -> None:
        stream = b"".join(number.to_bytes(2, "big") + self._view[number] for number in changed)
        for index in range(0, len(stream), PAGE_SIZE):
            page = stream[index : index + PAGE_SIZE].ljust(PAGE_SIZE, b"\xff")
            self._program(JOURNAL_PAGE + 1 + index // PAGE_SIZE, page)
        header = _MAGIC + len(stream).to_bytes(4, "big") + zlib.crc32(stream).to_bytes(4, "big")
        self._program(JOURNAL_PAGE, header.ljust(PAGE_SIZE, b"\xff"))

    def _finish(self) -> None:
        """Program what a commit left in the journal when a cut or a worn page interrupted it."""
        if self._programmed.get(JOURNAL_PAGE, _BLANK)[:4] == _MAGIC:
            for number, content in self._journalled().items():
                self._program(number, content)
            self._program(JOURNAL_PAGE, _BLANK)

    def _journalled(self) -> dict[int, bytes]:
        """The pages of a valid journal: committed, but perhaps not programmed yet."""
        header = self._programmed.get(JOURNAL_PAGE, _BLANK)
        if header[:4] != _MAGIC:
            return {}
        length, checksum = int.from_bytes(header[4:8], "big"), int.from_bytes(header[8:12], "big")
        pages = range(JOURNAL_PAGE + 1, JOURNAL_PAGE + 1 + -(-length // PAGE_SIZE))
        stream = b"".join(self._programmed.get(page, _BLANK) for page in pages)[:length]
        if zlib.crc32(stream) != checksum:
            return {}
        return {
            int.from_bytes(stream[offset : offset + 2], "big"): stream[offset + 2 :][:PAGE_SIZE]
            for offset in range(0, length, PAGE_SIZE + 2)
        }

    def _program(self, number: int, content: bytes) -> None:
        if self.on_write:
            self.on_write(number, False)
        if self.store:
            self.store.write_page(number, content)
        self._programmed[number] = content
        self.writes += 1
        if self.on_write:
            self.on_write(number, True)
