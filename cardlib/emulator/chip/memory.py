"""The card's non-volatile memory: pages, and commits that are done completely or not at all.

Writing one page is atomic. A change of several pages uses an undo journal: first the old pages,
then a header that makes the journal valid, then the new pages, then the header is erased. This last
write is the commit. A power cut or a failed write before it restores the old pages, so a refused
command never changes anything. Pages that were never written are not stored and read FF.
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
_WAS_BLANK, _CONTENT_FOLLOWS = b"\0", b"\1"
"""The byte after a page number in the journal: the page was blank, or its old content follows."""


class PageStore(Protocol):
    """What also stores written pages: the image file."""

    def write_page(self, number: int, content: bytes) -> None:
        """Store one page, 256 bytes. Raises MemoryFailure when it cannot."""


class Memory:
    """Pages by number: as written, and as the running command sees them.

    `on_write` is called with the page number before (False) and after (True) each page is written;
    it may raise to inject a fault. `writes` counts written pages.
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
        """A copy of every written page."""
        return dict(self._programmed)

    def read(self, address: int, length: int) -> bytes:
        """Read `length` bytes from `address`, with the changes of the running command."""
        number, offset = address >> 8, address & 0xFF
        end = offset + length
        if end <= PAGE_SIZE:
            return self._view.get(number, _BLANK)[offset:end]
        view = self._view
        last = (address + length - 1) >> 8
        joined = b"".join([view.get(page, _BLANK) for page in range(number, last + 1)])
        return joined[offset:end]

    def byte(self, address: int) -> int:
        """Read one byte as a number."""
        return self._view.get(address >> 8, _BLANK)[address & 0xFF]

    def write(self, address: int, data: bytes) -> None:
        """Change bytes. No page is written before `commit`."""
        while data:
            number, offset = address >> 8, address & 0xFF
            part = data[: PAGE_SIZE - offset]
            old = self._view.get(number, _BLANK)
            self._view[number] = old[:offset] + part + old[offset + len(part) :]
            self._dirty.add(number)
            address, data = address + len(part), data[len(part) :]

    def erase(self, address: int, length: int) -> None:
        """Set all pages that hold these `length` bytes to FF; `address` begins a page."""
        last = (address + length - 1) // PAGE_SIZE
        for number in [n for n in self._view if address // PAGE_SIZE <= n <= last]:
            self._view[number] = _BLANK
            self._dirty.add(number)

    def commit(self) -> None:
        """Write all changes since the last commit, completely or not at all.

        Raises MemoryFailure when a page cannot be written; all pages are then as before.
        """
        if not self._dirty:
            return
        self._restore()
        changed = [
            number
            for number in sorted(self._dirty)
            if self._view[number] != self._programmed.get(number, _BLANK)
        ]
        if len(changed) > 1:
            self._program_all(changed)
        elif changed:
            self._program(changed[0], self._view[changed[0]])
        self._dirty.clear()

    def rollback(self) -> bool:
        """Forget all changes since the last commit; return whether there were any."""
        changed = bool(self._dirty)
        for number in self._dirty:
            if number in self._programmed:
                self._view[number] = self._programmed[number]
            else:
                del self._view[number]
        self._view.update(self._journalled())
        self._dirty.clear()
        return changed

    def decay(self, number: int, offset: int, bit: int) -> None:
        """Change one bit of a page as a fault, not counted as a write; 7 is the highest bit."""
        page = bytearray(self._programmed.get(number, _BLANK))
        page[offset] ^= 1 << bit
        self._programmed[number] = self._view[number] = bytes(page)
        if self.store:
            self.store.write_page(number, bytes(page))

    def power_on(self) -> None:
        """Start from the written pages; undo a commit that a power cut interrupted."""
        # Old pages that a worn page cannot take stay in the journal; the next commit tries again.
        with suppress(MemoryFailure):
            self._restore()
        self._view = self._programmed | self._journalled()
        self._dirty.clear()

    @property
    def journal_is_damaged(self) -> bool:
        """Whether a commit was interrupted and cannot be undone."""
        header = self._programmed.get(JOURNAL_PAGE, _BLANK)
        return header[:4] == _MAGIC and self._journal() is None

    def _program_all(self, changed: list[int]) -> None:
        self._write_journal(changed)
        try:
            for number in changed:
                self._program(number, self._view[number])
            self._program(JOURNAL_PAGE, _BLANK)
        except MemoryFailure:
            with suppress(MemoryFailure):
                self._restore()
            raise

    def _write_journal(self, changed: list[int]) -> None:
        stream = b""
        for number in changed:
            old = self._programmed.get(number, _BLANK)
            held = _WAS_BLANK if old == _BLANK else _CONTENT_FOLLOWS + old
            stream += number.to_bytes(2, "big") + held
        for index in range(0, len(stream), PAGE_SIZE):
            page = stream[index : index + PAGE_SIZE].ljust(PAGE_SIZE, b"\xff")
            self._program(JOURNAL_PAGE + 1 + index // PAGE_SIZE, page)
        header = _MAGIC + len(stream).to_bytes(4, "big") + zlib.crc32(stream).to_bytes(4, "big")
        self._program(JOURNAL_PAGE, header.ljust(PAGE_SIZE, b"\xff"))

    def _restore(self) -> None:
        """Restore the old pages of a commit that was not finished."""
        if self.journal_is_damaged:
            raise MemoryFailure("the journal is damaged")
        if self._programmed.get(JOURNAL_PAGE, _BLANK)[:4] == _MAGIC:
            for number, content in self._journalled().items():
                if self._programmed.get(number, _BLANK) != content:
                    self._program(number, content)
            self._program(JOURNAL_PAGE, _BLANK)

    def _journalled(self) -> dict[int, bytes]:
        """Read the old pages in a valid journal; some may not be restored yet."""
        return self._journal() or {}

    def _journal(self) -> dict[int, bytes] | None:
        """Read the journal; return None if its header, checksum or an entry is not valid."""
        header = self._programmed.get(JOURNAL_PAGE, _BLANK)
        if header[:4] != _MAGIC:
            return None
        length, checksum = int.from_bytes(header[4:8], "big"), int.from_bytes(header[8:12], "big")
        pages = range(JOURNAL_PAGE + 1, JOURNAL_PAGE + 1 + -(-length // PAGE_SIZE))
        if not all(page in self._programmed for page in pages):
            return None
        stream = b"".join(self._programmed[page] for page in pages)[:length]
        return _entries(stream) if zlib.crc32(stream) == checksum else None

    def _program(self, number: int, content: bytes) -> None:
        if self.on_write:
            self.on_write(number, False)
        if self.store:
            self.store.write_page(number, content)
        self._programmed[number] = content
        self.writes += 1
        if self.on_write:
            self.on_write(number, True)


def _entries(stream: bytes) -> dict[int, bytes] | None:
    """Decode the old pages by number, 256 bytes each; None if an entry is not valid."""
    found: dict[int, bytes] = {}
    while stream:
        number, was, rest = int.from_bytes(stream[:2], "big"), stream[2:3], stream[3:]
        if was == _CONTENT_FOLLOWS and len(rest) >= PAGE_SIZE:
            found[number], stream = rest[:PAGE_SIZE], rest[PAGE_SIZE:]
        elif was == _WAS_BLANK:
            found[number], stream = _BLANK, rest
        else:
            return None
    return found
