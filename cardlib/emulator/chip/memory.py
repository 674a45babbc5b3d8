"""The card's non-volatile memory: pages, and commits that are whole or did not happen.

A page is programmed at once or not at all. A change of one page is one such write; a change of
more goes through an undo journal: what the pages held, then a header that makes it valid, then
the pages themselves, then the header's erasure, which is the commit point. Until then a cut or
a page that fails leads back to the old pages, so that a refusal never hides a change. Pages
never written are not stored, in the journal neither, and read FF.
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
"""After a page's number in the journal: it held nothing, or what it held comes next."""


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

    def erase(self, address: int, length: int) -> None:
        """Let whole pages from `address` on, and so `length` bytes at least, read FF again."""
        last = (address + length - 1) // PAGE_SIZE
        for number in [n for n in self._view if address // PAGE_SIZE <= n <= last]:
            self._view[number] = _BLANK
            self._dirty.add(number)

    def commit(self) -> None:
        """Program everything written since the last commit, whole or not at all.

        MemoryFailure when a page fails: what is programmed is then as it was before.
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

    def decay(self, number: int, offset: int, bit: int) -> None:
        """Let one bit of a page, 7 the highest of its byte, change by itself: it is no write."""
        page = bytearray(self._programmed.get(number, _BLANK))
        page[offset] ^= 1 << bit
        self._programmed[number] = self._view[number] = bytes(page)
        if self.store:
            self.store.write_page(number, bytes(page))

    def power_on(self) -> None:
        """Start from what is programmed; undo a commit that a cut interrupted."""
        # What a worn page could not take back is still in the journal; the next commit tries again.
        with suppress(MemoryFailure):
            self._restore()
        self._view = self._programmed | self._journalled()
        self._dirty.clear()

    @property
    def journal_is_damaged(self) -> bool:
        """Whether a commit was interrupted that cannot be taken back."""
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
        """Take back the pages of a commit that did not come to its end."""
        if self.journal_is_damaged:
            raise MemoryFailure("the journal does not check")
        if self._programmed.get(JOURNAL_PAGE, _BLANK)[:4] == _MAGIC:
            for number, content in self._journalled().items():
                if self._programmed.get(number, _BLANK) != content:
                    self._program(number, content)
            self._program(JOURNAL_PAGE, _BLANK)

    def _journalled(self) -> dict[int, bytes]:
        """The old pages in a valid journal, some of which may still have to be taken back."""
        found: dict[int, bytes] = {}
        stream, offset = self._journal() or b"", 0
        while offset < len(stream):
            number = int.from_bytes(stream[offset : offset + 2], "big")
            found[number], was = _BLANK, stream[offset + 2 : offset + 3]
            offset += 3
            if was == _CONTENT_FOLLOWS:
                found[number] = stream[offset : offset + PAGE_SIZE]
                offset += PAGE_SIZE
        return found

    def _journal(self) -> bytes | None:
        """What was written to the journal, if its header is valid and agrees with it."""
        header = self._programmed.get(JOURNAL_PAGE, _BLANK)
        if header[:4] != _MAGIC:
            return None
        length, checksum = int.from_bytes(header[4:8], "big"), int.from_bytes(header[8:12], "big")
        pages = range(JOURNAL_PAGE + 1, JOURNAL_PAGE + 1 + -(-length // PAGE_SIZE))
        if not all(page in self._programmed for page in pages):
            return None
        stream = b"".join(self._programmed[page] for page in pages)[:length]
        return stream if zlib.crc32(stream) == checksum else None

    def _program(self, number: int, content: bytes) -> None:
        if self.on_write:
            self.on_write(number, False)
        if self.store:
            self.store.write_page(number, content)
        self._programmed[number] = content
        self.writes += 1
        if self.on_write:
            self.on_write(number, True)
