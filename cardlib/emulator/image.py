"""A card's memory as one file: header, then a slot for each programmed page, each with a CRC.

Version 1: magic "RHCARD", version (2), page size (2), CRC-32 of these (4); then slots of page
number (4), CRC-32 over number and content (4), content (256). Numbers are big-endian. A page
that is programmed again is written in place.
"""

import fcntl
import os
import tempfile
import zlib
from pathlib import Path
from typing import BinaryIO

from ..errors import CardError
from .memory import PAGE_SIZE

_MAGIC = b"RHCARD"
VERSION = 1
_HEADER_SIZE = 14
_SLOT_SIZE = 8 + PAGE_SIZE


class CardImageError(CardError):
    """A card image that cannot be opened: missing, in use, damaged, or of another version."""


def _header() -> bytes:
    start = _MAGIC + VERSION.to_bytes(2, "big") + PAGE_SIZE.to_bytes(2, "big")
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
        """Program one page in the file; it is there when this returns."""
        slot = self._slots.setdefault(number, len(self._slots))
        self._file.seek(_HEADER_SIZE + slot * _SLOT_SIZE)
        self._file.write(_slot(number, content))
        self._file.flush()

    def close(self) -> None:
        """Bring the file to the disk and release it."""
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()


def create(path: Path, pages: dict[int, bytes]) -> ImageFile:
    """Write a new image whole, in place of what is at `path`, and keep it open."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as new:
        new.write(_header() + b"".join(_slot(*page) for page in pages.items()))
        new.flush()
        os.fsync(new.fileno())
    os.replace(new.name, path)
    return open_image(path)[0]


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
        raise CardImageError(f"{path}: another program has this card in use") from None
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
    if raw[:_HEADER_SIZE] != _header():
        raise CardImageError(f"{path}: damaged card image: the header does not check")
    if (len(raw) - _HEADER_SIZE) % _SLOT_SIZE:
        raise CardImageError(f"{path}: damaged card image: it ends within a page")
    pages, slots = {}, {}
    for index, start in enumerate(range(_HEADER_SIZE, len(raw), _SLOT_SIZE)):
        number = int.from_bytes(raw[start : start + 4], "big")
        content = raw[start + 8 : start + _SLOT_SIZE]
        if _slot(number, content) != raw[start : start + _SLOT_SIZE]:
            raise CardImageError(f"{path}: damaged card image: page {index} does not check")
        pages[number], slots[number] = content, index
    return pages, slots
