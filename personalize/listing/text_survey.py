"""What a text file is, from one reading in pieces: lines, NUL bytes, and its encoding.

No piece is kept, so a large list takes as little memory as a small one.
"""

import codecs
import re
from typing import Literal

from cardlib.layout import gb18030

from .fault_codes import FaultCode
from .file_kinds import LOOKED_AT, SAVE_AS_UTF8
from .list_faults import ListFault, Wrong, of_the_file

Encoding = Literal["utf-8", "gb18030"]

UNDECODED = re.compile("[\udc80-\udcff]")
_SECOND_BYTES, _FEWEST_RARE = 0x7F, 3
_UTF8_MARK = b"\xef\xbb\xbf"
_LONG = re.compile("[\u0800-\U0010ffff]")
_NO_ASCII = re.compile("[^\0-\x7f]")
_CONTENT = re.compile("[^\0\t\r\n ,;]")
_BROKEN = 4
"""With more whole characters than this for each bad byte, it is UTF-8 that was damaged."""

_UTF8 = Wrong(
    FaultCode.WRONG_ENCODING, "the file is UTF-8, not GB 18030", "leave out --encoding gb18030"
)
_BIG5 = Wrong(FaultCode.WRONG_ENCODING, "the file is Big5, not GB 18030", SAVE_AS_UTF8)


class TextSurvey:
    """Takes the pieces of a file in order, the last one with `final`, and then tells of all."""

    def __init__(self, encoding: Encoding) -> None:
        self.lines, self.nuls, self.nul_line = 0, 0, 1
        self.begins_with, self.has_content = "", False
        self._is_gb18030 = encoding == "gb18030"
        self._head, self._last = b"", b""
        self._breaks, self._text_breaks = 0, 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._own = codecs.getincrementaldecoder(encoding)("surrogateescape")
        self._big5: codecs.IncrementalDecoder | None = None
        if self._is_gb18030:
            self._big5 = codecs.getincrementaldecoder("cp950")()
        self._bad, self._long, self._no_ascii = 0, 0, 0
        self._first_bad = 0, 1

    def add(self, piece: bytes, *, final: bool = False) -> None:
        """Look at the next piece."""
        if len(self._head) < LOOKED_AT:
            self._head += piece[: LOOKED_AT - len(self._head)]
        if not self.nuls and (at := piece.find(0)) >= 0:
            self.nul_line = self._breaks + piece.count(b"\n", 0, at) + 1
        self.nuls += piece.count(0)
        self._count_lines(piece)
        text = self._decoder.decode(piece, final)
        self._count_utf8(text)
        self._breaks += piece.count(b"\n")
        if self._is_gb18030:
            text = gb18030.meant(self._own.decode(piece, final))
            self._try_big5(piece, final=final)
        self._look_into(text)

    def _count_lines(self, piece: bytes) -> None:
        ends = piece.count(b"\n") + piece.count(b"\r") - piece.count(b"\r\n")
        self.lines += ends - (self._last == b"\r" and piece[:1] == b"\n")
        self._last = piece[-1:] or self._last

    def _count_utf8(self, text: str) -> None:
        """Count the bytes that are no UTF-8, and the characters by their length."""
        if text.isascii():
            self._text_breaks += text.count("\n")
            return
        found = UNDECODED.search(text)
        if found and not self._bad:
            line = self._text_breaks + text.count("\n", 0, found.start()) + 1
            self._first_bad = ord(found[0]) - 0xDC00, line
        bad = len(UNDECODED.findall(text)) if found else 0
        self._bad += bad
        self._no_ascii += len(_NO_ASCII.findall(text))
        if self._is_gb18030:
            self._long += len(_LONG.findall(text)) - bad
        self._text_breaks += text.count("\n")

    def _try_big5(self, piece: bytes, *, final: bool) -> None:
        if self._big5 is None:
            return
        try:
            self._big5.decode(piece, final)
        except UnicodeDecodeError:
            self._big5 = None

    def _look_into(self, text: str) -> None:
        if not self.begins_with:
            self.begins_with = text.removeprefix("\ufeff").lstrip()[:1]
        self.has_content = self.has_content or bool(_CONTENT.search(text.removeprefix("\ufeff")))

    def fault(self) -> ListFault | None:
        """Why the whole file has another encoding. Single bad bytes are a fault of their field."""
        if not self._is_gb18030:
            return self._another_encoding()
        if self._is_plainly_utf8():
            return of_the_file(_UTF8)
        return of_the_file(_BIG5) if self._is_big5() else None

    def _is_plainly_utf8(self) -> bool:
        """Whether it is UTF-8 that GB 18030 would read as other characters, without an error.

        One character of three or more bytes tells: two bytes may be GB 18030 (C4 A3 is 模). A few
        bytes that are no UTF-8 do not make it GB 18030.
        """
        return self._head.startswith(_UTF8_MARK) or self._long > _BROKEN * self._bad

    def _is_big5(self) -> bool:
        """Whether it is Big5 that GB 18030 would read as other characters.

        Big5 has second bytes below 7F in four characters of ten, GB 18030 in rare ones only.
        """
        if self._big5 is None:
            return False
        text = gb18030.decode(self._head, "surrogateescape")
        pairs = [found for char in text if len(found := char.encode("gb18030", "replace")) == 2]
        rare = sum(second < _SECOND_BYTES for _, second in pairs)
        return rare >= _FEWEST_RARE and 5 * rare >= len(pairs)

    def _another_encoding(self) -> ListFault | None:
        """Whether more of the text beyond ASCII fails as UTF-8 than is UTF-8."""
        if not self._bad or 2 * self._bad <= self._no_ascii:
            return None
        byte, line = self._first_bad
        remedy = f"if the list is GB 18030, add --encoding gb18030; if not, {SAVE_AS_UTF8}"
        problem = f"not UTF-8: byte {byte:02X}"
        return of_the_file(Wrong(FaultCode.WRONG_ENCODING, problem, remedy), line)


def undecoded_byte(text: str) -> str | None:
    """The first byte that the encoding could not read, in hex, if there is one."""
    found = UNDECODED.search(text)
    return f"{ord(found[0]) - 0xDC00:02X}" if found else None
