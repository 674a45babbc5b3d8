"""An input file as text: its encoding is checked, never guessed.

A text is read in pieces, again each time that it is gone through; a packed file is kept.
"""

import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

from cardlib.errors import CardError
from cardlib.layout import gb18030
from cardlib.regular_file import open_regular

from .fault_codes import FaultCode
from .file_kinds import LOOKED_AT, is_packed, is_parquet, is_workbook, no_list
from .list_faults import ListFault, Wrong, of_the_file
from .text_survey import Encoding, TextSurvey

_PIECE = 1 << 16
_JSON_NAMES = (".jsonl", ".ndjson", ".json")


MOST_BYTES, MOST_LINES = 64 << 20, 200_000
"""More than the largest lists of a bureau: with 100,000 residents a list has some 55 MB."""

DIVIDE = "divide the list, and prepare a batch from each part"
_TOO_LARGE = Wrong(
    FaultCode.FILE_TOO_LARGE,
    f"the file is too large: {MOST_BYTES >> 20} MiB are the most",
    DIVIDE,
)
_EMPTY = Wrong(
    FaultCode.EMPTY_FILE, "empty file", "write a header line, and a line for each resident"
)


class ListChanged(CardError):
    """A list, or a photo of it, is not what it was when this program read it first."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file by its SHA-256 (hex); its text, to read from the disk; or the bytes of a packed list.

    If there are `faults`, the text must not be used.
    """

    sha256: str
    path: Path
    is_json: bool = False
    faults: tuple[ListFault, ...] = ()
    encoding: Encoding = "utf-8"
    workbook: bytes = field(default=b"", repr=False)
    parquet: bytes = field(default=b"", repr=False)

    def lines(self, ends: Literal["", "\n"] = "") -> Iterator[str]:
        r"""Each line with its end: \n, \r or \r\n, or with `ends` that one only.

        A byte that the encoding cannot read is U+DC80..U+DCFF in the text (PEP 383), so that its
        line and field can be named. After the last line, ListChanged when the file has changed.
        """
        with open_regular(self.path) as file:
            digest = hashlib.sha256()
            pieces = io.BufferedReader(_Hashed(file, digest), _PIECE)
            text = io.TextIOWrapper(pieces, self.encoding, "surrogateescape", newline=ends)
            first = True
            for line in text:
                found = gb18030.meant(line) if self.encoding == "gb18030" else line
                yield found.removeprefix("\ufeff") if first else found
                first = False
            if digest.hexdigest() != self.sha256:
                raise ListChanged(
                    f"{self.path} was changed while it was read. Start the command again"
                )

    @property
    def text(self) -> str:
        """The whole text, for a small file."""
        return "".join(self.lines())


class _Hashed(io.RawIOBase):
    """A file that is hashed as it is read."""

    def __init__(self, file: BinaryIO, digest: "hashlib._Hash") -> None:
        self._file, self._digest = file, digest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        found = self._file.read(len(buffer))
        buffer[: len(found)] = found
        self._digest.update(found)
        return len(found)


def read_source(path: Path, encoding: Encoding, *, packed: bool = False) -> Source:
    """Look at a list of residents; OSError when it cannot be read.

    It has 64 MiB and 200,000 lines at most; more is a fault. So is a workbook or a Parquet file,
    unless `packed` lists are wanted.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > MOST_BYTES:
            return Source("", path, faults=(of_the_file(_TOO_LARGE),))
        head = file.read(LOOKED_AT)
        if is_packed(head):
            return _packed(path, head + file.read(MOST_BYTES), packed=packed)
        return _text(path, head, file, encoding)


def _packed(path: Path, raw: bytes, *, packed: bool) -> Source:
    digest = hashlib.sha256(raw).hexdigest()
    if packed and is_workbook(raw):
        return Source(digest, path, workbook=raw)
    if packed and is_parquet(raw):
        return Source(digest, path, parquet=raw)
    fault = no_list(raw)
    return Source(digest, path, faults=(fault,) if fault else ())


def _text(path: Path, head: bytes, file: BinaryIO, encoding: Encoding) -> Source:
    survey, digest, size = TextSurvey(encoding), hashlib.sha256(), 0
    piece = head
    while piece:
        digest.update(piece)
        survey.add(piece)
        size += len(piece)
        if size > MOST_BYTES:
            return Source("", path, faults=(of_the_file(_TOO_LARGE),))
        piece = file.read(_PIECE)
    survey.add(b"", final=True)
    fault = (
        no_list(head, survey.nuls, survey.nul_line)
        or _too_many_lines(survey.lines)
        or survey.fault()
        or (None if survey.has_content else of_the_file(_EMPTY))
    )
    is_json = path.suffix.lower() in _JSON_NAMES or survey.begins_with in ("{", "[")
    # By the file's extension, or by its first character: no CSV header begins like JSON.
    faults = (fault,) if fault else ()
    return Source(digest.hexdigest(), path, is_json and not faults, faults, encoding)


def _too_many_lines(lines: int) -> ListFault | None:
    """Each line may have faults, so their number is bounded before any is looked for."""
    if lines <= MOST_LINES:
        return None
    problem = f"too many lines: {lines:,}, and {MOST_LINES:,} are the most"
    return of_the_file(Wrong(FaultCode.TOO_MANY_LINES, problem, DIVIDE))
