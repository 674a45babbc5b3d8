"""Open an image file, whichever kind of software chip it holds."""

from pathlib import Path

from ..chip import image
from ..chip.memory import Memory
from ..software_card import SoftwareCard
from .sam_state import is_sam
from .software_sam import SoftwareSam


def open_chip(path: Path) -> SoftwareCard | SoftwareSam:
    """Open the card or the SAM in a file. Raises the errors of `SoftwareCard.open`."""
    opened, pages = image.open_image(path, read_only=True)
    opened.close()
    return SoftwareSam.open(path) if is_sam(Memory(pages)) else SoftwareCard.open(path)
