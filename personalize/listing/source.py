"""An input file as text: its encoding is checked, never guessed."""

import errno
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cardlib.errors import FileRefused
from cardlib.layout import gb18030
from cardlib.regular_file import read_regular

from .fault_codes import FaultCode
from .file_kinds import SAVE_AS_UTF8, is_workbook, no_list
from .list_faults import ListFault, Wrong, of_the_file

Encoding = Literal["utf-8", "gb18030"]

_LOOKED_AT = 1 << 16
_SECOND_BYTES, _FEWEST_RARE = 0x7F, 3
_UTF8_MARK = b"\xef\xbb\xbf"
_UNDECODED = re.compile("[\udc80-\udcff]")
_BROKEN = 4
"""With more whole characters than this for each bad byte, it is UTF-8 that was damaged."""


MOST_BYTES, MOST_LINES = 64 << 20, 200_000
"""More than the largest lists of a bureau: with 100,000 residents a list has some 55 MB."""

DIVIDE = "divide the list, and prepare a batch from each part"
_TOO_LARGE = Wrong(
    FaultCode.FILE_TOO_LARGE,
    f"the file is too large: {MOST_BYTES >> 20} MiB are the most",
    DIVIDE,
)
_UTF8 = Wrong(
    FaultCode.WRONG_ENCODING, "the file is UTF-8, not GB 18030", "leave out --encoding gb18030"
)
_BIG5 = Wrong(FaultCode.WRONG_ENCODING, "the file is Big5, not GB 18030", SAVE_AS_UTF8)
_EMPTY = Wrong(
    FaultCode.EMPTY_FILE, "empty file", "write a header line, and a line for each resident"
)


@dataclass(frozen=True, slots=True)
class Source:
    """A file's bytes by their SHA-256 (hex), and its text; or the bytes of a workbook.

    A byte that the encoding cannot read is U+DC80..U+DCFF in the text (PEP 383), so that its line
    and field can be named. If there are `faults`, the text must not be used.
    """

    sha256: str
    text: str
    is_json: bool
    faults: tuple[ListFault, ...] = ()
    workbook: bytes = field(default=b"", repr=False)


def read_source(path: Path, encoding: Encoding, *, workbooks: bool = False) -> Source:
    """Read a list of residents; OSError when it cannot be read.

    It has 64 MiB and 200,000 lines at most; more is a fault. So is a workbook, unless `workbooks`
    are wanted.
    """
    try:
        raw = read_regular(path, MOST_BYTES)
    except FileRefused as error:
        if error.errno != errno.EFBIG:
            raise
        return Source("", "", False, (of_the_file(_TOO_LARGE),))
    digest = hashlib.sha256(raw).hexdigest()
    if workbooks and is_workbook(raw):
        return Source(digest, "", False, workbook=raw)
    fault = no_list(raw) or _too_many_lines(raw) or _encoding_fault(raw, encoding)
    if fault:
        return Source(digest, "", False, (fault,))
    decode = gb18030.decode if encoding == "gb18030" else bytes.decode
    text = decode(raw, errors="surrogateescape").removeprefix("\ufeff")
    if not text.strip("\0\t\r\n ,;"):
        return Source(digest, "", False, (of_the_file(_EMPTY),))
    return Source(digest, text, _is_json(path, text))


def _is_json(path: Path, text: str) -> bool:
    """By the file's extension, or by its first character: no CSV header begins like JSON."""
    return path.suffix.lower() in (".jsonl", ".ndjson", ".json") or text.lstrip()[:1] in ("{", "[")


def _too_many_lines(raw: bytes) -> ListFault | None:
    """Each line may have faults, so their number is bounded before any is looked for."""
    lines = raw.count(b"\n") + raw.count(b"\r") - raw.count(b"\r\n")
    if lines <= MOST_LINES:
        return None
    problem = f"too many lines: {lines:,}, and {MOST_LINES:,} are the most"
    return of_the_file(Wrong(FaultCode.TOO_MANY_LINES, problem, DIVIDE))


def _encoding_fault(raw: bytes, encoding: Encoding) -> ListFault | None:
    """Why the whole file has another encoding. Single bad bytes are a fault of their field."""
    if encoding == "gb18030":
        if _is_plainly_utf8(raw):
            return of_the_file(_UTF8)
        return of_the_file(_BIG5) if _is_big5(raw) else None
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
    bad = len(_UNDECODED.findall(text))
    long = sum(char >= "\u0800" for char in text) - bad
    return raw.startswith(_UTF8_MARK) or long > _BROKEN * bad


def _is_big5(raw: bytes) -> bool:
    """Whether it is Big5 that GB 18030 would read as other characters.

    Big5 has second bytes below 7F in four characters of ten, GB 18030 in rare ones only.
    """
    try:
        raw.decode("cp950")
    except UnicodeDecodeError:
        return False
    text = gb18030.decode(raw[:_LOOKED_AT], "surrogateescape")
    pairs = [found for char in text if len(found := char.encode("gb18030", "replace")) == 2]
    rare = sum(second < _SECOND_BYTES for _, second in pairs)
    return rare >= _FEWEST_RARE and 5 * rare >= len(pairs)


def _another_encoding(raw: bytes, start: int) -> ListFault | None:
    """Whether more of the text beyond ASCII fails as UTF-8 than is UTF-8."""
    text = raw.decode("utf-8", "surrogateescape")
    if 2 * len(_UNDECODED.findall(text)) <= sum(not char.isascii() for char in text):
        return None
    line = raw.count(b"\n", 0, start) + 1
    remedy = f"if the list is GB 18030, add --encoding gb18030; if not, {SAVE_AS_UTF8}"
    problem = f"not UTF-8: byte {raw[start]:02X}"
    return of_the_file(Wrong(FaultCode.WRONG_ENCODING, problem, remedy), line)


def undecoded_byte(text: str) -> str | None:
    """The first byte that the encoding could not read, in hex, if there is one."""
    found = _UNDECODED.search(text)
    return f"{ord(found[0]) - 0xDC00:02X}" if found else None
