"""An input file as text: its encoding is checked, never guessed."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cardlib.layout import gb18030

from .file_kinds import SAVE_AS_UTF8, no_list
from .list_faults import ListFault

Encoding = Literal["utf-8", "gb18030"]

_UTF8_MARK = b"\xef\xbb\xbf"
_BROKEN = 4
"""With more whole characters than this for each bad byte, it is UTF-8 that was damaged."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file's bytes by their SHA-256 (hex), and its text.

    A byte that the encoding cannot read is U+DC80..U+DCFF in the text (PEP 383), so that its line
    and field can be named. If there are `faults`, the text must not be used.
    """

    sha256: str
    text: str
    is_json: bool
    faults: tuple[ListFault, ...] = ()


def read_source(path: Path, encoding: Encoding) -> Source:
    """Read a list of residents; OSError when it cannot be read."""
    raw = path.read_bytes()
    digest = hashlib.sha256(raw).hexdigest()
    fault = no_list(raw) or _encoding_fault(raw, encoding)
    if fault:
        return Source(digest, "", False, (fault,))
    decode = gb18030.decode if encoding == "gb18030" else bytes.decode
    text = decode(raw, errors="surrogateescape").removeprefix("\ufeff")
    if not text.strip("\0\t\r\n ,;"):
        empty = ListFault(
            1, "", "", "empty file", "write a header line, and a line for each resident"
        )
        return Source(digest, "", False, (empty,))
    return Source(digest, text, _is_json(path, text))


def _is_json(path: Path, text: str) -> bool:
    """By the file's extension, or by its first character: no CSV header begins like JSON."""
    return path.suffix.lower() in (".jsonl", ".ndjson", ".json") or text.lstrip()[:1] in ("{", "[")


def _encoding_fault(raw: bytes, encoding: Encoding) -> ListFault | None:
    """Why the whole file has another encoding. Single bad bytes are a fault of their field."""
    if encoding == "gb18030":
        if _is_plainly_utf8(raw):
            remedy = "leave out --encoding gb18030"
            return ListFault(1, "", "", "the file is UTF-8, not GB 18030", remedy)
        return None
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return _another_encoding(raw, error.start)
    return None


def _is_plainly_utf8(raw: bytes) -> bool:
    """Whether it is UTF-8 that GB 18030 would read as other characters, without an error.

    One character of three or more bytes tells: two bytes may be GB 18030 (C4 A3 is 模). A few
    bytes that are no UTF-8 do not make it GB 18030.
    """
    text = raw.decode("utf-8", "surrogateescape")
    bad = sum(_is_undecoded(char) for char in text)
    long = sum(char >= "\u0800" for char in text) - bad
    return raw.startswith(_UTF8_MARK) or long > _BROKEN * bad


def _another_encoding(raw: bytes, start: int) -> ListFault | None:
    """Whether more of the text beyond ASCII fails as UTF-8 than is UTF-8."""
    beyond = [c for c in raw.decode("utf-8", "surrogateescape") if not c.isascii()]
    if 2 * sum(_is_undecoded(char) for char in beyond) <= len(beyond):
        return None
    line = raw.count(b"\n", 0, start) + 1
    remedy = f"if the list is GB 18030, add --encoding gb18030; if not, {SAVE_AS_UTF8}"
    return ListFault(line, "", "", f"not UTF-8: byte {raw[start]:02X}", remedy)


def undecoded_byte(text: str) -> str | None:
    """The first byte that the encoding could not read, in hex, if there is one."""
    return next((f"{ord(char) - 0xDC00:02X}" for char in text if _is_undecoded(char)), None)


def _is_undecoded(char: str) -> bool:
    return "\udc80" <= char <= "\udcff"
