"""Text that a program read in another encoding than it was written in: 寮犱笁 for 张三.

Such text has only good characters. What tells is that its bytes are well-formed in the other
encoding, which the bytes of a real text are not.
"""

import re

from .fault_codes import FaultCode
from .list_faults import Wrong, printable

_CHINESE = re.compile("[\u3400-\u9fff]")
_RIGHT = re.compile("[ -~\u00b7\u2014\u201c\u201d\u3001-\u3011\u3400-\u9fff\uff01-\uff5e]")
"""Characters of Chinese names and addresses."""

_LETTERS = re.compile(rb"[\x80-\xff]+")
_PAIRS = re.compile(rb"(?:[\xb0-\xf7][\xa1-\xfe])+")
_FEWEST = 2
"""One Chinese character may be well-formed by chance; two in most of a text are not."""

_MOST_LOST = 0.3
"""The share of the text that may be lost: a byte that had no partner, with its neighbour."""


def misread(text: str) -> Wrong | None:
    """What is wrong with a text that was read in a wrong encoding; it names what was meant.

    UTF-8 read as GB 18030 and GBK read as Latin are found by two Chinese characters or more, UTF-8
    read as Latin by any character beyond ASCII.
    """
    if text.isascii():
        return None
    meant = _from_gb18030(text) if _CHINESE.search(text) else _from_latin(text)
    if meant is None:
        return None
    remedy = (
        f"it may be {printable(meant)}: export the list again from the source as UTF-8, and do not"
        " open it in other programs"
    )
    problem = "text that was read in another encoding than it was written in"
    return Wrong(FaultCode.MISREAD_TEXT, problem, remedy)


def _from_gb18030(text: str) -> str | None:
    """UTF-8 that was read as GB 18030, if it is that; some characters may be lost."""
    raw = text.encode("gb18030", "replace")
    found = raw.decode("utf-8", "ignore")
    if len(_CHINESE.findall(found)) < _FEWEST:
        return None
    lost = 1 - len(found.encode()) / len(raw)
    return found if lost <= _MOST_LOST and all(map(_RIGHT.match, found)) else None


def _from_latin(text: str) -> str | None:
    """UTF-8 or GBK that was read as Latin-1 or Windows-1252, if it is that."""
    for given in (text, text.replace(" ", "\u00a0")):
        for encoding in ("cp1252", "latin-1"):
            try:
                return given.encode(encoding).decode()
            except UnicodeError:
                continue
    return _from_gbk(text)


def _from_gbk(text: str) -> str | None:
    """GBK that was read as Latin-1: all its letters beyond ASCII are pairs of GB 2312."""
    try:
        raw = text.encode("latin-1")
    except UnicodeEncodeError:
        return None
    runs = _LETTERS.findall(raw)
    if sum(map(len, runs)) < 2 * _FEWEST or not all(map(_PAIRS.fullmatch, runs)):
        return None
    return raw.decode("gbk", "replace")
