"""Store a card's memory in one file: a header, then one slot for each written page, with CRCs.

Version 1: magic "RHCARD", version (2), page size (2), number of slots (4), CRC-32 of these (4);
then slots of page number (4), CRC-32 over number and content (4), content (256). Numbers are
big-endian. An existing page is written in place. A new page is appended first and counted then, so
after an interrupted append there is at most one slot after the counted ones.
"""

import fcntl
import os
import zlib
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ...errors import CardError, FormatError, file_error
from ...regular_file import open_regular, read_to_end
from ...unfinished import unfinished_file
from .memory import PAGE_SIZE
from .refusal import MemoryFailure

_MAGIC = b"RHCARD"
VERSION = 1
_HEADER_SIZE = 18
_SLOT_SIZE = 8 + PAGE_SIZE
_MOST_BYTES = 16 << 20
"""Far more than a card has: its files and keys are about 100 KiB."""


class CardImageError(CardError):
    """A card image cannot be opened: it is missing, in use, damaged, or of another version."""


def _header(slots: int) -> bytes:
    start = _MAGIC + VERSION.to_bytes(2, "big") + PAGE_SIZE.to_bytes(2, "big")
    start += slots.to_bytes(4, "big")
    return start + zlib.crc32(start).to_bytes(4, "big")


def _slot(number: int, content: bytes) -> bytes:
    name = number.to_bytes(4, "big")
    return name + zlib.crc32(name + content).to_bytes(4, "big") + content


class ImageFile:
    """An open card image, locked: by one program that writes, or by any number that only read."""

    def __init__(self, file: BinaryIO, slots: dict[int, int]) -> None:
        self._file = file
        self._slots = slots

    def write_page(self, number: int, content: bytes) -> None:
        """Write one page to the file. Raises MemoryFailure when it cannot be written."""
        known = len(self._slots)
        slot = self._slots.get(number, known)
        self._write(_HEADER_SIZE + slot * _SLOT_SIZE, _slot(number, content))
        if slot == known:
            self._write(0, _header(known + 1))
            self._slots[number] = slot

    def damage(self, number: int, offset: int, bit: int) -> None:
        """Change one bit of a page in the file, without correcting its CRC; 7 is the highest bit.

        Raises FormatError when the page was never written.
        """
        if number not in self._slots:
            raise FormatError(f"page {number:#06x} was never written: choose another page")
        position = _HEADER_SIZE + self._slots[number] * _SLOT_SIZE + 8 + offset
        self._file.seek(position)
        old = self._file.read(1)[0]
        self._write(position, bytes((old ^ 1 << bit,)))

    def _write(self, position: int, data: bytes) -> None:
        try:
            self._file.seek(position)
            if self._file.write(data) == len(data):
                return
        except OSError as error:
            raise MemoryFailure(f"card file: {error.strerror}") from None
        raise MemoryFailure("card file: the disk is full")

    def close(self) -> None:
        """Write the file to the disk, if it may have changed, and unlock it."""
        if not self._file.closed:
            if self._file.writable():
                os.fsync(self._file.fileno())
            self._file.close()


def create(path: Path, pages: dict[int, bytes]) -> ImageFile:
    """Write a new image, which replaces the file at `path`, and keep it open.

    Raises CardImageError when it cannot be written, or a card at `path` is in use; the old file
    then stays unchanged.
    """
    raw = _header(len(pages)) + b"".join(_slot(*page) for page in pages.items())
    try:
        _lock_what_is_at(path)
        with unfinished_file(path) as place:
            with place.open("wb") as new:
                new.write(raw)
                new.flush()
                os.fsync(new.fileno())
            place.replace(path)
    except BlockingIOError:
        raise _in_use(path) from None
    except OSError as error:
        raise file_error(CardImageError, error, path) from None
    return open_image(path)[0]


def _lock_what_is_at(path: Path) -> None:
    """Raise BlockingIOError if another process uses the card there: it would lose its writes."""
    with suppress(FileNotFoundError), open_regular(path) as present:
        fcntl.flock(present, fcntl.LOCK_EX | fcntl.LOCK_NB)


def damaged(path: Path, why: str) -> CardImageError:
    """What to raise for a file that was a card image and is none now."""
    return CardImageError(
        f"{path}: damaged card file: {why}. Use a copy that was made when no program used the card"
    )


def _in_use(path: Path) -> CardImageError:
    return CardImageError(f"{path}: in use by another program: stop that program first")


def open_image(path: Path, *, read_only: bool = False) -> tuple[ImageFile, dict[int, bytes]]:
    """Open an image and read its pages. Raises CardImageError, which says what is wrong."""
    try:
        file = open_regular(path, os.O_RDONLY if read_only else os.O_RDWR)
    except OSError as error:
        raise file_error(CardImageError, error, path) from None
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if read_only else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        pages, slots = _parse(path, read_to_end(file, path, _MOST_BYTES))
    except BlockingIOError:
        file.close()
        raise _in_use(path) from None
    except OSError as error:
        file.close()
        raise file_error(CardImageError, error, path) from None
    except CardImageError:
        file.close()
        raise
    return ImageFile(file, slots), pages


def _parse(path: Path, raw: bytes) -> tuple[dict[int, bytes], dict[int, int]]:
    if raw[:6] != _MAGIC:
        raise CardImageError(f"{path}: not a card file")
    version = int.from_bytes(raw[6:8], "big")
    if version != VERSION:
        raise CardImageError(
            f"{path}: card file version {version}; this program reads only {VERSION}"
        )
    count = int.from_bytes(raw[10:14], "big")
    if raw[:_HEADER_SIZE] != _header(count):
        raise damaged(path, "wrong checksum of the header")
    end = _HEADER_SIZE + count * _SLOT_SIZE
    if len(raw) < end:
        raise damaged(path, "it ends before its last page")
    if len(raw) > end + _SLOT_SIZE:
        raise damaged(path, "it is longer than its pages")
    pages, slots = {}, {}
    for index, start in enumerate(range(_HEADER_SIZE, end, _SLOT_SIZE)):
        number = int.from_bytes(raw[start : start + 4], "big")
        content = raw[start + 8 : start + _SLOT_SIZE]
        if _slot(number, content) != raw[start : start + _SLOT_SIZE] or number in pages:
            raise damaged(path, f"wrong checksum of page {index}")
        pages[number], slots[number] = content, index
    return pages, slots
