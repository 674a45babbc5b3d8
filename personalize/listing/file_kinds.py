"""Files that are no list of residents but are given as one: old workbooks, archives, UTF-16."""

import re
from io import BytesIO
from typing import NamedTuple
from zipfile import BadZipFile, ZipFile

from .fault_codes import FaultCode
from .list_faults import ListFault, Wrong, of_the_file

SAVE_AS_UTF8 = "save the list as UTF-8 (in Excel: CSV UTF-8)"
_EXPORT = (
    "open it in the spreadsheet program and save it as CSV, encoding UTF-8 (in Excel: CSV UTF-8)"
)
_EXPORT_OLD = (
    "open it in the spreadsheet program and save it as an Excel workbook (.xlsx), or as CSV,"
    " encoding UTF-8"
)
_UNPACK = "unpack it, and give the list that is in it"
LOOKED_AT = 1 << 16
_MOST_NULS = 16
"""Fewer NUL bytes are faults of their fields; more say that the file is no text."""


class _Kind(NamedTuple):
    """A kind of file by its first bytes (a pattern), and what to do with it."""

    start: re.Pattern[bytes]
    wrong: Wrong


def _kind(start: bytes, name: str, remedy: str) -> _Kind:
    wrong = Wrong(FaultCode.NOT_A_LIST, name, remedy)
    return _Kind(re.compile(start, re.DOTALL | re.IGNORECASE), wrong)


_UTF16 = Wrong(FaultCode.WRONG_ENCODING, "UTF-16, not UTF-8", SAVE_AS_UTF8)
_UTF32 = Wrong(FaultCode.WRONG_ENCODING, "UTF-32, not UTF-8", SAVE_AS_UTF8)
_XLSX = rb"PK\x03\x04.*(xl/|\[Content_Types\]\.xml)"
_OFFICE_PART = re.compile(rb"PK\x03\x04(?!.*opendocument).*(xl/|docProps/|_rels/)", re.DOTALL)
_PARQUET = re.compile(rb"PAR[1E]([^\t\r\n -~]|$)")
_ZIP, _OFFICE = b"PK\x03\x04", ("xl/", "[Content_Types].xml")
_OLD, _ENCRYPTED = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "EncryptedPackage".encode("utf-16-le")
_PASSWORD = Wrong(
    FaultCode.NOT_A_LIST,
    "a workbook or other Office file with a password",
    "open it in the spreadsheet program, remove the password, and save it again",
)
_KINDS = (
    _Kind(re.compile(rb"(\xff\xfe\0\0|\0\0\xfe\xff)"), _UTF32),
    _Kind(re.compile(rb"(\xff\xfe|\xfe\xff)"), _UTF16),
    _kind(rb"PK\x03\x04.*opendocument", "an OpenDocument file (.ods), not CSV", _EXPORT_OLD),
    _kind(_XLSX, "an Excel workbook or other Office file (.xlsx), not CSV", _EXPORT),
    _kind(rb"PK(\x03\x04|\x05\x06)", "a ZIP archive, not CSV", _UNPACK),
    _kind(re.escape(_OLD), "an old Excel workbook (.xls), not CSV", _EXPORT_OLD),
    _kind(rb"\x09[\x00\x02\x04\x08]", "an old Excel workbook (.xls), not CSV", _EXPORT_OLD),
    _kind(rb"\x1f\x8b|Rar!|7z\xbc\xaf", "a packed archive, not CSV", _UNPACK),
    _kind(rb"%PDF-", "a PDF file, not CSV", _EXPORT),
    _Kind(_PARQUET, Wrong(FaultCode.NOT_A_LIST, "a Parquet file, not CSV", SAVE_AS_UTF8)),
    _kind(rb"\{\\rtf", "an RTF document, not CSV", _EXPORT),
    _kind(
        rb"(\xef\xbb\xbf)?\s*<(\?xml|!DOCTYPE|!--|html|table|head|meta|workbook)",
        "a web page or XML file, not CSV: some programs call it .xls",
        _EXPORT,
    ),
)


def is_workbook(raw: bytes) -> bool:
    """Whether a file is an Excel workbook of today (.xlsx, .xlsm) or other Office file; maybe cut.

    An OpenDocument file is none.
    """
    if not raw.startswith(_ZIP):
        return False
    try:
        names = ZipFile(BytesIO(raw)).namelist()
    except (BadZipFile, ValueError, OSError, NotImplementedError):
        return bool(_OFFICE_PART.match(raw, 0, LOOKED_AT))
    return any(name.startswith(_OFFICE) for name in names)


def no_list(head: bytes, nuls: int = 0, nul_line: int = 1) -> ListFault | None:
    """Why a file is no CSV or JSON Lines at all, and how to make one of it; None if it may be.

    `head` is its first 64 KiB or more; it has `nuls` NUL bytes, the first in line `nul_line`.
    """
    if head.startswith(_OLD) and _ENCRYPTED in head:
        return of_the_file(_PASSWORD)
    for kind in _KINDS:
        if kind.start.match(head, 0, LOOKED_AT):
            return of_the_file(kind.wrong)
    if nuls and _is_utf16(head):
        return of_the_file(_UTF16)
    if nuls < _MOST_NULS:
        return None
    remedy = "the file is damaged or is no text: export the list again as CSV, encoding UTF-8"
    problem = f"{nuls} NUL bytes, the first in this line"
    return of_the_file(Wrong(FaultCode.NOT_TEXT, problem, remedy), nul_line)


def is_packed(head: bytes) -> bool:
    """Whether a file is read as a whole: an archive, an old Office file, or a Parquet file."""
    return head.startswith((_ZIP, _OLD)) or is_parquet(head)


def is_parquet(head: bytes) -> bool:
    """Whether a file is a Parquet file; maybe damaged."""
    return bool(_PARQUET.match(head))


def _is_utf16(raw: bytes) -> bool:
    """Whether it is UTF-16 without a mark: every ASCII character has a NUL byte, on one side."""
    looked_at = raw[:LOOKED_AT]
    even, odd = looked_at[::2].count(0), looked_at[1::2].count(0)
    return max(4 * min(even, odd), len(looked_at) // 16, 2) < max(even, odd)
