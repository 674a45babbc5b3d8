"""A file system as ISO/IEC 7816-4 and -9 have it, in plain lists: what a card is compared with.

Files are free to read and change. Every operation returns data and status word, as a card would
answer it; what the card specification leaves open is as docs/explanation/spec-decisions.md has it.
"""

from dataclasses import dataclass, field
from enum import Enum

Answer = tuple[bytes, int]

OK, END, DEACTIVATED, TERMINATED = 0x9000, 0x6282, 0x6283, 0x6285
WRONG_LENGTH, WRONG_STRUCTURE, NOT_NOW, NO_EF = 0x6700, 0x6981, 0x6985, 0x6986
BAD_DATA, NO_FILE, NO_RECORD, NO_ROOM = 0x6A80, 0x6A82, 0x6A83, 0x6A84
EXISTS, NAME_EXISTS, BEYOND = 0x6A89, 0x6A8A, 0x6B00
ROOM = 256


class Kind(Enum):
    """What a file is: the descriptor byte of its FCP."""

    TRANSPARENT = 0x01
    LINEAR_FIXED = 0x02
    LINEAR_VARIABLE = 0x04
    CYCLIC = 0x06
    DIRECTORY = 0x38


class State(Enum):
    """The life cycle of a file."""

    ACTIVATED, DEACTIVATED, TERMINATED = range(3)


@dataclass(eq=False)
class File:
    """A file or directory: `content` of a transparent one, `records` of others, or `children`."""

    fid: int
    kind: Kind
    parent: "File | None"
    size: int = 0
    most: int = 0
    coding: int = 0x21
    name: bytes = b""
    state: State = State.ACTIVATED
    content: bytearray = field(default_factory=bytearray)
    records: list[bytes] = field(default_factory=list)
    children: "dict[int, File]" = field(default_factory=dict)

    @property
    def is_directory(self) -> bool:
        return self.kind is Kind.DIRECTORY

    def path(self) -> "list[File]":
        """The directories it is in and itself, from the root."""
        return [*(self.parent.path() if self.parent else []), self]

    def is_usable(self) -> bool:
        return all(node.state is State.ACTIVATED for node in self.path())


class FileSystem:
    """One root directory, created files in it, and what is current."""

    def __init__(self, root: int) -> None:
        self.root = File(root, Kind.DIRECTORY, None)
        self.directory = self.root
        self.current: File | None = None

    def power_cycle(self) -> None:
        self.directory, self.current = self.root, None

    def files(self) -> list[File]:
        """Everything but the root."""
        found, waiting = [], [self.root]
        while waiting:
            children = list(waiting.pop().children.values())
            found += children
            waiting += children
        return found

    # Selection.

    def select(self, node: File | None) -> int:
        if node is None:
            return NO_FILE
        if node.is_directory:
            self.directory, self.current = node, None
        else:
            assert node.parent
            self.directory, self.current = node.parent, node
        if node.is_usable():
            return OK
        return TERMINATED if node.state is State.TERMINATED else DEACTIVATED

    def near(self, fid: int) -> File | None:
        """What SELECT by identifier finds: a child, the directory, its parent, a sibling DF."""
        here, parent = self.directory, self.directory.parent
        if fid in here.children:
            return here.children[fid]
        for node in (here, parent, parent.children.get(fid) if parent else None):
            if node and node.fid == fid and node.is_directory:
                return node
        return None

    # Administration.

    def create(self, file: File) -> int:
        here = self.directory
        if file.fid in here.children or file.fid == here.fid:
            return EXISTS
        if file.name and any(other.name == file.name for other in self.files()):
            return NAME_EXISTS
        file.parent = here
        file.content = bytearray(b"\xff" * file.size)
        here.children[file.fid] = file
        if file.is_directory:
            self.directory, self.current = file, None
        else:
            self.current = file
        return OK

    def target(self, fid: int | None) -> File | None:
        """What an administrative command names."""
        if fid is None:
            return self.current or self.directory
        if fid in self.directory.children:
            return self.directory.children[fid]
        return self.directory if fid == self.directory.fid else None

    def delete(self, node: File | None) -> int:
        if node is None:
            return NO_FILE
        assert node.parent
        del node.parent.children[node.fid]
        if node in self.directory.path():
            self.directory, self.current = node.parent, None
        elif self.current is node:
            self.current = None
        return OK

    def set_state(self, node: File | None, state: State, *, ins: int) -> int:
        if node is None:
            return NO_FILE
        if ins == 0xE8 and node.is_directory:
            return NO_EF
        if (ins == 0xE6 and not node.is_directory) or node.state is State.TERMINATED:
            return NOT_NOW
        node.state = state
        return OK

    # Content.

    def _refused(self, *, binary: bool) -> int:
        file = self.current
        if file is None:
            return NO_EF
        if not file.is_usable():
            return NOT_NOW
        return 0 if (file.kind is Kind.TRANSPARENT) == binary else WRONG_STRUCTURE

    def read_binary(self, offset: int, le: int) -> Answer:
        if sw := self._refused(binary=True):
            return b"", sw
        assert self.current
        if offset >= self.current.size:
            return b"", BEYOND
        data = bytes(self.current.content[offset : offset + le])
        return data, OK if len(data) == le or le == ROOM else END

    def change_binary(self, ins: int, offset: int, data: bytes) -> int:
        if sw := self._refused(binary=True):
            return sw
        assert self.current
        if offset >= self.current.size:
            return BEYOND
        if not data:
            return WRONG_LENGTH
        if offset + len(data) > self.current.size:
            return NO_ROOM
        old = bytes(self.current.content[offset : offset + len(data)])
        new = data if ins == 0xD6 else _written(self.current, old, data)
        if new is None:
            return NOT_NOW
        self.current.content[offset : offset + len(data)] = new
        return OK

    def erase_binary(self, start: int, end: int | None) -> int:
        if sw := self._refused(binary=True):
            return sw
        assert self.current
        size = self.current.size
        if start >= size:
            return BEYOND
        end = size if end is None else end
        if not start < end <= size:
            return BAD_DATA
        self.current.content[start:end] = b"\xff" * (end - start)
        return OK

    def search_binary(self, start: int, wanted: bytes) -> Answer:
        if sw := self._refused(binary=True):
            return b"", sw
        assert self.current
        if start >= self.current.size:
            return b"", BEYOND
        found = bytes(self.current.content).find(wanted, start)
        return (b"", END) if found < 0 else (found.to_bytes(2, "big"), OK)

    def _record(self, number: int) -> bytes | None:
        assert self.current
        records = self.current.records
        return records[number - 1] if 1 <= number <= len(records) else None

    def read_record(self, number: int) -> Answer:
        if sw := self._refused(binary=False):
            return b"", sw
        record = self._record(number)
        return (b"", NO_RECORD) if record is None else (record, OK)

    def read_records(self, number: int) -> Answer:
        """As many whole records as fit, the first one anyway."""
        data, sw = self.read_record(number)
        while sw == OK and (more := self._record(number + 1)) and len(data) + len(more) <= ROOM:
            data, number = data + more, number + 1
        return data, sw

    def _fits(self, record: bytes) -> bool:
        assert self.current
        if self.current.kind is Kind.LINEAR_VARIABLE:
            return 0 < len(record) <= self.current.size
        return len(record) == self.current.size

    def append(self, record: bytes) -> int:
        if sw := self._refused(binary=False):
            return sw
        file = self.current
        assert file
        if file.kind is not Kind.CYCLIC and len(file.records) == file.most:
            return NO_ROOM
        if not self._fits(record):
            return BAD_DATA
        if file.kind is Kind.CYCLIC:
            file.records = [record, *file.records][: file.most]
        else:
            file.records.append(record)
        return OK

    def change_record(self, ins: int, number: int, record: bytes) -> int:
        """UPDATE (DC), WRITE (D2) and ERASE RECORD (0C)."""
        if sw := self._refused(binary=False):
            return sw
        file = self.current
        assert file
        variable = file.kind is Kind.LINEAR_VARIABLE
        if file.kind is Kind.CYCLIC or (variable and ins != 0xDC):
            return WRONG_STRUCTURE
        if ins == 0x0C and record:
            return BAD_DATA
        old = self._record(number)
        if old is None:
            return NO_RECORD
        if ins == 0x0C:
            new: bytes | None = b"\xff" * file.size
        elif not self._fits(record):
            return BAD_DATA
        else:
            new = record if ins == 0xDC else _written(file, old, record)
        if new is None:
            return NOT_NOW
        file.records[number - 1] = new
        return OK

    def search_record(self, number: int, wanted: bytes, *, forward: bool) -> Answer:
        if sw := self._refused(binary=False):
            return b"", sw
        assert self.current
        start, last = number or 1, len(self.current.records)
        if start > last:
            return b"", NO_RECORD
        numbers = range(start, last + 1) if forward else range(start, 0, -1)
        found = bytes(n for n in numbers if wanted in self.current.records[n - 1])
        return (found, OK) if found else (b"", END)


def _written(file: File, old: bytes, new: bytes) -> bytes | None:
    """What WRITE leaves (ISO/IEC 7816-4 table 118); None where it was written once already."""
    behaviour = file.coding & 0x60
    if behaviour == 0x00:
        return new if old == b"\xff" * len(old) else None
    if behaviour == 0x40:
        return bytes(a | b for a, b in zip(old, new, strict=True))
    if behaviour == 0x60:
        return bytes(a & b for a, b in zip(old, new, strict=True))
    return new
