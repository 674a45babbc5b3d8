"""What the pages of a Parquet file say of their size, so that no page is larger than was said.

pyarrow makes room for a page as large as the page's own header says. The file's metadata, which
we have checked, may say less. So the headers are read before (Thrift compact protocol; Apache
Parquet, PageHeader: 2 is the uncompressed size, 3 the compressed size).
"""

from collections.abc import Iterator
from typing import NamedTuple

from cardlib.errors import FormatError

_UNPACKED, _PACKED = 2, 3
_BOOLEANS, _BYTE, _INTEGERS, _DOUBLE, _BINARY = (1, 2), 3, (4, 5, 6), 7, 8
_LISTS, _STRUCT = (9, 10), 12
_DEEPEST, _LONGEST_NUMBER = 8, 10


class PageSize(NamedTuple):
    """The bytes of one page in the file, with its header, and when it is unpacked."""

    in_file: int
    unpacked: int


def page_sizes(raw: bytes, start: int, length: int) -> Iterator[PageSize]:
    """Each page of a column chunk of `length` bytes. FormatError, LookupError if it is damaged."""
    at, end = start, start + length
    if not 0 <= start <= end <= len(raw):
        raise FormatError("a column is not inside the file")
    while at < end:
        reader = _Reader(raw, at)
        sizes = reader.struct()
        packed, unpacked = sizes[_PACKED], sizes[_UNPACKED]
        in_file = reader.at - at + packed
        if packed < 0 or unpacked < 0 or at + in_file > end:
            raise FormatError("a page is not inside its column")
        yield PageSize(in_file, unpacked)
        at += in_file


class _Reader:
    """Reads Thrift's compact protocol, and keeps the integers of the outermost struct."""

    def __init__(self, raw: bytes, at: int) -> None:
        self._raw, self.at = raw, at

    def struct(self, depth: int = 0) -> dict[int, int]:
        """The integers of a struct by their field; all else is passed over."""
        if depth > _DEEPEST:
            raise FormatError("nested too deep")
        found: dict[int, int] = {}
        field = 0
        while head := self._byte():
            kind = head & 0x0F
            field = field + (head >> 4) if head >> 4 else self._integer()
            value = self._value(kind, depth)
            if value is not None:
                found[field] = value
        return found

    def _value(self, kind: int, depth: int) -> int | None:
        if kind in _INTEGERS:
            return self._integer()
        if kind in _LISTS:
            self._pass_list(depth)
        elif kind == _STRUCT:
            self.struct(depth + 1)
        elif kind not in _BOOLEANS:
            size = self._number() if kind == _BINARY else {_BYTE: 1, _DOUBLE: 8}[kind]
            self.at += size
        return None

    def _pass_list(self, depth: int) -> None:
        head = self._byte()
        count = self._number() if head >> 4 == 0x0F else head >> 4
        if count > len(self._raw):
            raise FormatError("a list is longer than the file")
        for _ in range(count):
            if head & 0x0F in _BOOLEANS:
                self.at += 1
            else:
                self._value(head & 0x0F, depth + 1)

    def _byte(self) -> int:
        self.at += 1
        return self._raw[self.at - 1]

    def _number(self) -> int:
        found = 0
        for place in range(_LONGEST_NUMBER):
            byte = self._byte()
            found |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                return found
        raise FormatError("a number is too long")

    def _integer(self) -> int:
        number = self._number()
        return number >> 1 ^ -(number & 1)
