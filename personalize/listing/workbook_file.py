"""An Excel workbook as a ZIP archive of XML: it is checked before anything in it is read.

openpyxl and we read the parts one after the other, so what one of them could not bear is refused
here: too much to unpack, document types (which may declare entities), and parts of the same name.
"""

import posixpath
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile, ZipInfo

from cardlib.errors import CardError

from .fault_codes import FaultCode
from .list_faults import Wrong

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MOST_UNPACKED = 512 << 20
"""Bytes of all parts together; a list of 100,000 residents has less than half of it."""

_MOST_PART = 32 << 20
"""Bytes of a part that is kept in memory as a whole: all but sheets and shared strings."""

_MOST_PARTS = 10_000
_MOST_RATIO, _ALWAYS_FINE = 100, 1 << 20
"""How many times a part's packed bytes it may have, if it has more than 1 MiB; XML has 10 to 40."""

_CHUNK, _OVERLAP = 1 << 20, 32
_STREAMED = ("xl/worksheets/", "xl/sharedStrings.xml")
_PICTURES = ("xl/media/",)
_DOCTYPES = tuple("<!DOCTYPE".encode(name) for name in ("ascii", "utf-16-le", "utf-16-be"))

TYPES = "[Content_Types].xml"
_SPREADSHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml."
_MAIN_TYPES = (
    f"{_SPREADSHEET}sheet.main+xml",
    f"{_SPREADSHEET}template.main+xml",
    "application/vnd.ms-excel.sheet.macroEnabled.main+xml",
    "application/vnd.ms-excel.template.macroEnabled.main+xml",
)
_BINARY_TYPE = "application/vnd.ms-excel.sheet.binary.macroEnabled.main"
_STRICT = "{http://purl.oclc.org/ooxml/"
MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_RELATIONS = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"

_SAVE = "open it in the spreadsheet program, and save it as an Excel workbook (.xlsx)"
_DAMAGED = Wrong(FaultCode.DAMAGED_WORKBOOK, "the workbook is damaged or cut", f"{_SAVE} again")
_STRICT_FORM = Wrong(
    FaultCode.NOT_A_LIST, "a workbook in the form Strict Open XML, which is not read", _SAVE
)
_BINARY_FORM = Wrong(
    FaultCode.NOT_A_LIST, "a binary Excel workbook (.xlsb), which is not read", _SAVE
)
_NO_WORKBOOK = Wrong(
    FaultCode.NOT_A_LIST,
    "an Office file that is no workbook",
    "give a CSV file, JSON Lines, or an Excel workbook (.xlsx)",
)
_TOO_LARGE = Wrong(
    FaultCode.FILE_TOO_LARGE,
    f"the workbook is too large when it is unpacked: {MOST_UNPACKED >> 20} MiB are the most",
    "copy the list alone into a new workbook, as values, or save it as CSV, encoding UTF-8",
)
_DOCTYPE = Wrong(
    FaultCode.DAMAGED_WORKBOOK, "the workbook has a document type, which no program writes", _SAVE
)

_UNREADABLE = (
    BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    SyntaxError,
    MemoryError,
)
"""What zipfile, the XML parser and openpyxl raise on damaged files."""


class WorkbookRefused(CardError):
    """A workbook that is not read as a list; `wrong` says why, and what to do."""

    def __init__(self, wrong: Wrong) -> None:
        super().__init__(wrong.problem)
        self.wrong = wrong


def damaged() -> WorkbookRefused:
    """What to raise when a part of the workbook is not as it must be."""
    return WorkbookRefused(_DAMAGED)


@contextmanager
def refused_if_damaged() -> Iterator[None]:
    """Raise WorkbookRefused for whatever zipfile, the XML parser and openpyxl raise inside."""
    try:
        yield
    except WorkbookRefused:
        raise
    except _UNREADABLE:
        raise damaged() from None


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sheet of cells: its name, the part with its XML, and whether the program shows it."""

    name: str
    part: str
    is_visible: bool


def open_workbook(raw: bytes) -> ZipFile:
    """The archive of a workbook whose parts may be read; WorkbookRefused if they may not."""
    with refused_if_damaged():
        archive = ZipFile(BytesIO(raw))
        parts = archive.infolist()
        names = {part.filename for part in parts}
        if len(names) < len(parts) or sum(part.compress_size for part in parts) > len(raw):
            raise damaged()
        if len(parts) > _MOST_PARTS or sum(part.file_size for part in parts) > MOST_UNPACKED:
            raise WorkbookRefused(_TOO_LARGE)
        for part in parts:
            _check_size(part)
        for part in parts:
            if not part.filename.startswith(_PICTURES):
                _check_content(archive, part)
        return archive


def _check_size(part: ZipInfo) -> None:
    """Raise WorkbookRefused, before it is unpacked, for a part that is too large unpacked."""
    is_bomb = part.file_size > max(_ALWAYS_FINE, _MOST_RATIO * part.compress_size)
    kept = not part.filename.startswith((*_STREAMED, *_PICTURES))
    if is_bomb or (kept and part.file_size > _MOST_PART):
        raise WorkbookRefused(_TOO_LARGE)


def _check_content(archive: ZipFile, part: ZipInfo) -> None:
    """Unpack a part once, and keep nothing of it: it has the size that it says, and no DTD."""
    size, end = 0, b""
    with archive.open(part) as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            if size > part.file_size:
                raise WorkbookRefused(_TOO_LARGE)
            seen = end + chunk
            if any(doctype in seen for doctype in _DOCTYPES):
                raise WorkbookRefused(_DOCTYPE)
            end = seen[-_OVERLAP:]
    if size != part.file_size:
        raise damaged()


def sheets_of(archive: ZipFile) -> tuple[Sheet, ...]:
    """The sheets of cells, in the workbook's order; WorkbookRefused if it is another kind."""
    with refused_if_damaged():
        part = _main_part(archive)
        root = _xml(archive, part)
        if root.tag.startswith(_STRICT):
            raise WorkbookRefused(_STRICT_FORM)
        folder, name = posixpath.split(part)
        relations = {
            each.attrib["Id"]: each.attrib
            for each in _xml(archive, f"{folder}/_rels/{name}.rels")
            if each.get("TargetMode") != "External"
        }
        found: list[Sheet] = []
        for each in root.iterfind(f"{MAIN}sheets/{MAIN}sheet"):
            relation = relations[each.attrib[f"{_RELATIONS}id"]]
            if relation["Type"].endswith("/worksheet"):
                target = posixpath.normpath(posixpath.join("/", folder, relation["Target"]))[1:]
                visible = each.get("state", "visible") == "visible"
                found.append(Sheet(each.attrib["name"], target, visible))
        if not found or len({sheet.name for sheet in found}) < len(found):
            raise damaged()
        return tuple(found)


def _main_part(archive: ZipFile) -> str:
    """The part that names the sheets."""
    if TYPES not in archive.namelist():
        raise damaged()
    types = [(each.get("ContentType"), each.get("PartName", "")) for each in _xml(archive, TYPES)]
    mains = [name for kind, name in types if kind in _MAIN_TYPES]
    if any(kind == _BINARY_TYPE for kind, _ in types):
        raise WorkbookRefused(_BINARY_FORM)
    if not mains:
        raise WorkbookRefused(_NO_WORKBOOK)
    if len(mains) > 1:
        raise damaged()
    return mains[0].removeprefix("/") or "xl/workbook.xml"


def _xml(archive: ZipFile, part: str) -> "Element":
    from defusedxml.ElementTree import fromstring

    root: Element = fromstring(archive.read(part), forbid_dtd=True)
    return root
