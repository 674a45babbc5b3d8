"""JPEG files that end before all of their pixels, though they have an end marker.

Decoders make the rest of such a picture grey and say nothing (ITU-T T.81, B.1.1.2 and F.2.2).
"""

import io
import re

from PIL import Image

_END, _SCAN, _FILL = 0xD9, 0xDA, 0xFF
_NEXT_MARKER = re.compile(b"\xff[^\0\xd0-\xd7\xff]", re.DOTALL)
"""In a scan, FF 00 is data, FF D0 to FF D7 restart it, and FF FF is filling."""

_GREY = frozenset((127, 128))
_MORE = bytes(range(1, 241, 3))
"""Data that no decoder reads if the picture is whole."""


def is_cut_off(raw: bytes, image: Image.Image) -> bool:
    """Whether a JPEG lacks data for its last pixels; `image` is what its `raw` bytes decode to.

    If its last pixel is grey, as in a picture without data, or if it is progressive and may only
    be coarse, the file is decoded once more with other data before its end: that changes the pixels
    only if some are missing.
    """
    last = image.getpixel((image.width - 1, image.height - 1))
    is_grey = _GREY.issuperset(last if isinstance(last, tuple) else (last,))
    end = _end_of_image(raw) if is_grey or "progressive" in image.info else 0
    if not end:
        return False
    longer = raw[:end] + _MORE + raw[end:]
    return _pixels(raw) != _pixels(longer)


def _pixels(raw: bytes) -> bytes:
    return Image.open(io.BytesIO(raw), formats=["JPEG"]).tobytes()


def _end_of_image(raw: bytes) -> int:
    """Where the end marker of the first picture is; 0 if there is none."""
    at = 2
    while 0 < at < len(raw) - 3 and raw[at] == _FILL:
        code = raw[at + 1]
        if code == _FILL:
            at += 1
            continue
        at += 2 + int.from_bytes(raw[at + 2 : at + 4], "big")
        if code == _SCAN:
            found = _NEXT_MARKER.search(raw, at)
            at = found.start() if found else 0
        if at and raw[at : at + 2] == bytes((_FILL, _END)):
            return at
    return 0
