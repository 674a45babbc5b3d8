"""Encode and decode GB 18030, edition 2022, whatever edition Python's codec has.

A character is always written as the bytes of the 2022 edition. The different bytes that older
editions have for 25 characters are read as the same characters (gb18030.csv; card specification 2).
"""

import re
from pathlib import Path

from .tables import read_table

_ROWS = read_table(Path(__file__).with_name("gb18030.csv"))
_BYTES = {chr(int(row["code_point"], 16)): bytes.fromhex(row["bytes"]) for row in _ROWS}

_CHARACTERS = {chr(int(row["private_use"], 16)): chr(int(row["code_point"], 16)) for row in _ROWS}
"""Private-use character in older tables → the character that is meant."""

_CHANGED = re.compile("([" + "".join(_BYTES) + "])")
_PRIVATE_USE = re.compile("[" + "".join(_CHARACTERS) + "]")
_GBK_LAST_ROW = range(0xE815, 0xE865)
"""GBK 1.0 maps the 80 characters of its last row, FE50 to FEA0, to these, in this order."""


def encode(text: str) -> bytes:
    """Encode text by the 2022 edition. Raises UnicodeEncodeError when half a surrogate pair is in.

    `characters.first_unfit` finds such text before.
    """
    if text.isascii() or not _CHANGED.search(text):
        return text.encode("gb18030")
    parts = _CHANGED.split(text)
    return b"".join(_BYTES.get(part) or part.encode("gb18030") for part in parts)


def decode(raw: bytes, errors: str = "strict") -> str:
    """Decode bytes of any edition. `errors` and UnicodeDecodeError are as in bytes.decode.

    Old codecs decode the bytes of the 2022 edition to private-use characters, new codecs do so
    with the old bytes. Both are replaced by the character that is meant.
    """
    return meant(raw.decode("gb18030", errors))


def meant(text: str) -> str:
    """Replace the private-use characters that Python's codec decodes by those that are meant."""
    if text.isascii() or not _PRIVATE_USE.search(text):
        return text
    return _PRIVATE_USE.sub(lambda found: _CHARACTERS[found[0]], text)


def character_of_private_use(char: str) -> str | None:
    """Return the character that older tables (GBK 1.0, GB 18030) map to this private-use one."""
    if char in _CHARACTERS or ord(char) not in _GBK_LAST_ROW:
        return _CHARACTERS.get(char)
    trail = 0x50 + _GBK_LAST_ROW.index(ord(char))
    return bytes((0xFE, trail + (trail >= 0x7F))).decode("gb18030")
