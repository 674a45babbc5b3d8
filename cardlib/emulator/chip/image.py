"""A card's memory as one file: header, then a slot for each programmed page, each with a CRC.

Version 1: magic "RHCARD", version (2), page size (2), number of slots (4), CRC-32 of these (4);
then slots of page number (4), CRC-32 over number and content (4), content (256). Numbers are
big-endian. A page that is programmed again is written in place. A new one is appended and then
counted: what lies behind the counted slots is an append that was cut short, at most one slot.
"""

import fcntl
import os
import zlib
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ...errors import CardError, FormatError
from .memory import PAGE_SIZE
from .refusal import MemoryFailure

_MAGIC = b"RHCARD"
VERSION = 1
_HEADER_SIZE = 18
_SLOT_SIZE = 8 + PAGE_SIZE


class CardImageError(CardError):
    """A card image that cannot be opened: missing, in use, damaged, or of another version."""


def _header(slots: int) -> bytes:
    start = _MAGIC + VERSION.to_bytes(2, "big") + PAGE_SIZE.to_bytes(2, "big")
    start += slots.to_bytes(4, "big")
    return start + zlib.crc32(start).to_bytes(4, "big")


def _slot(number: int, content: bytes) -> bytes:
    name = number.to_bytes(4, "big")
    return name + zlib.crc32(name + content).to_bytes(4, "big") + content


class ImageFile:
    """An open card image; it is locked against every other process while it is open."""

    def __init__(self, file: BinaryIO, slots: dict[int, int]) -> None:
        self._file = file
        self._slots = slots

    def write_page(self, number: int, content: bytes) -> None:
        """Program one page in the file; it is there when this returns, else MemoryFailure."""
        known = len(self._slots)
        slot = self._slots.get(number, known)
        self._write(_HEADER_SIZE + slot * _SLOT_SIZE, _slot(number, content))
        if slot == known:
            self._write(0, _header(known + 1))
            self._slots[number] = slot

    def damage(self, number: int, offset: int, bit: int) -> None:
        """Change one bit of a page, 7 the highest of its byte, in the file but not its CRC.

        FormatError for a page that was never programmed.
        """
        if number not in self._slots:
            raise FormatError(f"page {number:#06x} was never programmed")
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
            raise MemoryFailure(f"card image: {error.strerror}") from None
        raise MemoryFailure("card image: the disk is full")

    def close(self) -> None:
        """Bring the file to the disk and release it."""
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()


def create(path: Path, pages: dict[int, bytes]) -> ImageFile:
    """Write a new image whole, in place of what is at `path`, and keep it open.

    CardImageError if it cannot be written, or a card there is in use; then that is there still.
    """
    from tempfile import NamedTemporaryFile  # a card in memory does not need it to start

    raw = _header(len(pages)) + b"".join(_slot(*page) for page in pages.items())
    try:
        _lock_what_is_at(path)
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as new:
            temporary = Path(new.name)
            try:
                new.write(raw)
                new.flush()
                os.fsync(new.fileno())
                temporary.replace(path)
            except OSError:
                temporary.unlink()
                raise
    except BlockingIOError:
        raise _in_use(path) from None
    except OSError as error:
        raise CardImageError(f"{path}: {error.strerror}") from None
    return open_image(path)[0]


def _lock_what_is_at(path: Path) -> None:
    """BlockingIOError if another card is at work there: replaced, it would lose what it writes."""
    with suppress(FileNotFoundError), path.open("rb") as present:
        fcntl.flock(present, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _in_use(path: Path) -> CardImageError:
    return CardImageError(f"{path}: another program has this card in use")


def open_image(path: Path) -> tuple[ImageFile, dict[int, bytes]]:
    """Open an image and read its pages; CardImageError says what is wrong with it."""
    try:
        file = path.open("r+b", buffering=0)
    except OSError as error:
        raise CardImageError(f"{path}: {error.strerror}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        pages, slots = _parse(path, file.read())
    except BlockingIOError:
        file.close()
        raise _in_use(path) from None
    except CardImageError:
        file.close()
        raise
    return ImageFile(file, slots), pages


def _parse(path: Path, raw: bytes) -> tuple[dict[int, bytes], dict[int, int]]:
    if raw[:6] != _MAGIC:
        raise CardImageError(f"{path}: not a card image")
    version = int.from_bytes(raw[6:8], "big")
    if version != VERSION:
        raise CardImageError(f"{path}: image version {version}, this program reads {VERSION}")
    count = int.from_bytes(raw[10:14], "big")
    if raw[:_HEADER_SIZE] != _header(count):
        raise CardImageError(f"{path}: damaged card image: the header does not check")
    end = _HEADER_SIZE + count * _SLOT_SIZE
    if len(raw) < end:
        raise CardImageError(f"{path}: damaged card image: it ends before its last page")
    if len(raw) > end + _SLOT_SIZE:
        raise CardImageError(f"{path}: damaged card image: it goes on after its last page")
    pages, slots = {}, {}
    for index, start in enumerate(range(_HEADER_SIZE, end, _SLOT_SIZE)):
        number = int.from_bytes(raw[start : start + 4], "big")
        content = raw[start + 8 : start + _SLOT_SIZE]
        if _slot(number, content) != raw[start : start + _SLOT_SIZE] or number in pages:
            raise CardImageError(f"{path}: damaged card image: page {index} does not check")
        pages[number], slots[number] = content, index
    return pages, slots
