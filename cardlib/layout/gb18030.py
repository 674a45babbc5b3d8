"""GB 18030 in its 2022 edition, whatever edition the interpreter's codec has.

A character has one form when it is written, the 2022 edition's. The bytes that older editions
had for 25 characters read as the same characters (gb18030.csv; card specification 2).
"""

import re
from pathlib import Path

from .tables import read_table

_ROWS = read_table(Path(__file__).with_name("gb18030.csv"))
_BYTES = {chr(int(row["code_point"], 16)): bytes.fromhex(row["bytes"]) for row in _ROWS}

_CHARACTERS = {chr(int(row["private_use"], 16)): chr(int(row["code_point"], 16)) for row in _ROWS}
"""What older tables have as a private-use character → the character that it is."""

_CHANGED = re.compile("([" + "".join(_BYTES) + "])")
_PRIVATE_USE = re.compile("[" + "".join(_CHARACTERS) + "]")
_GBK_LAST_ROW = range(0xE815, 0xE865)
"""GBK 1.0 has these private-use characters for its last row's 80, FE50 to FEA0, in order."""


def encode(text: str) -> bytes:
    """The bytes of the 2022 edition; UnicodeEncodeError for half a surrogate pair."""
    if not _CHANGED.search(text):
        return text.encode("gb18030")
    parts = _CHANGED.split(text)
    return b"".join(_BYTES.get(part) or part.encode("gb18030") for part in parts)


def decode(raw: bytes, errors: str = "strict") -> str:
    """The text of bytes of any edition; UnicodeDecodeError by `errors`, as for bytes.decode.

    The older codecs read the bytes of the 2022 edition as private-use characters, the newer ones
    the older bytes; both come back as the character that is meant.
    """
    text = raw.decode("gb18030", errors)
    if text.isascii() or not _PRIVATE_USE.search(text):
        return text
    return _PRIVATE_USE.sub(lambda found: _CHARACTERS[found[0]], text)


def character_of_private_use(char: str) -> str | None:
    """The character that GBK 1.0 or an older GB 18030 table had as this private-use character."""
    if char in _CHARACTERS or ord(char) not in _GBK_LAST_ROW:
        return _CHARACTERS.get(char)
    trail = 0x50 + _GBK_LAST_ROW.index(ord(char))
    return bytes((0xFE, trail + (trail >= 0x7F))).decode("gb18030")
