"""Files that CREATE FILE made: their entries in memory, and the nodes built from them.

Each entry has one page: life cycle byte (00 deleted, FF never used), parent (2 bytes), content
address (4), FCP length (1), FCP, checksum of all but the life cycle (2). The content has its own
pages, the first free ones that fit.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

from ...errors import FormatError
from ...layout import Structure
from ...tlv import iter_ber
from ..chip.memory import PAGE_SIZE, Memory
from ..profile.card_state import CHECKSUM_SIZE, DYNAMIC_AREA, NODE_STATES, with_checksum
from .security_attributes import rules
from .tree import PROFILE, PROPRIETARY_WRITE, Directory, ElementaryFile, Node

MAX_ENTRIES = 1024
_CONTENT = DYNAMIC_AREA + MAX_ENTRIES * PAGE_SIZE
_CONTENT_END = 0x7000 * PAGE_SIZE
_DELETED, _NEVER_USED = 0x00, 0xFF
_FCP = 8
MAX_FCP = PAGE_SIZE - _FCP - CHECKSUM_SIZE
_FIRST_CREATED = 0x100
_PROFILE_BY_STATE = {node.state_address: node for node in PROFILE.values()}
_STRUCTURES = {
    0x01: Structure.TRANSPARENT,
    0x02: Structure.LINEAR_FIXED,
    0x04: Structure.LINEAR_VARIABLE_TLV,
    0x06: Structure.CYCLIC,
}
_DIRECTORY = 0x38

Created = Mapping[Directory, Mapping[int, Node]]
"""The created files of each directory by identifier."""

_NOTHING: Created = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Parameters:
    """The FCP of a file to create, decoded (ISO/IEC 7816-4 tables 10 and 12)."""

    fid: int
    name: bytes
    structure: Structure | None
    size: int
    record_length: int
    records: int
    data_coding: int
    compact: bytes | None
    expanded: bytes | None

    @property
    def is_directory(self) -> bool:
        """Whether the file is a DF."""
        return self.structure is None


def parse(fcp: bytes) -> Parameters:
    """Decode the value of an FCP template. Raises FormatError when it cannot be created."""
    found = {tlv.tag: tlv.value for tlv in iter_ber(fcp)}
    descriptor, fid = found.get(0x82, b""), found.get(0x83, b"")
    if len(fid) != 2 or fid in (b"\x3f\x00", b"\x3f\xff", b"\xff\xff", b"\0\0"):
        raise FormatError("83 must be a file identifier of 2 bytes that is not reserved")
    if len(descriptor) not in (1, 2, 4, 5, 6):
        raise FormatError("82 must be a file descriptor of 1, 2, 4, 5 or 6 bytes")
    kind = descriptor[0] & 0x3F
    if kind != _DIRECTORY and kind not in _STRUCTURES:
        raise FormatError(f"82: file type {kind:02X} is not supported")
    size = int.from_bytes(found.get(0x80, found.get(0x81, b"")), "big")
    structure = None if kind == _DIRECTORY else _STRUCTURES[kind]
    length, records = _record_numbers(descriptor)
    if structure not in (None, Structure.TRANSPARENT) and not (length and records):
        raise FormatError("82 must say record length and number of records")
    if structure is Structure.TRANSPARENT and not 0 < size <= 0x8000:
        raise FormatError("80 must be a size of 1 to 32768 bytes")
    coding = descriptor[1] if len(descriptor) > 1 else PROPRIETARY_WRITE
    name = found.get(0x84, b"")
    return Parameters(
        int.from_bytes(fid, "big"), name, structure, size, length, records, coding,
        found.get(0x8C), found.get(0xAB),
    )  # fmt: skip


def _record_numbers(descriptor: bytes) -> tuple[int, int]:
    if len(descriptor) < 4:
        return 0, 0
    length = int.from_bytes(descriptor[2:4], "big")
    records = int.from_bytes(descriptor[4:], "big") if len(descriptor) > 4 else 254
    if not 0 < length <= 0x7FFF or not 0 < records <= 254:
        raise FormatError("82 must say 1 to 254 records of 1 to 32767 bytes")
    return length, records


def node_number(node: Node) -> int:
    """Return a node's number for the entries of its children: profile from 0, created from 0100."""
    if node.state_address < DYNAMIC_AREA:
        return node.state_address - NODE_STATES
    return _FIRST_CREATED + (node.state_address - DYNAMIC_AREA) // PAGE_SIZE


def build(parameters: Parameters, parent: Directory, state_address: int, address: int) -> Node:
    """Build the node of a created file. Raises FormatError when its access rules are not valid."""
    path = f"{parent.path}/{parameters.fid:04X}"
    if parameters.structure is None:
        return Directory(
            path, parameters.fid, parent, state_address, parameters.name,
            kept_rights=parent.kept_rights,
        )  # fmt: skip
    read, update, erase = rules(parent, parameters.compact, parameters.expanded)
    variable = parameters.structure is Structure.LINEAR_VARIABLE_TLV
    stride = parameters.record_length + (2 if variable else 0)
    records = parameters.records
    return ElementaryFile(
        path, parameters.fid, parent, state_address, parameters.structure, address,
        size=parameters.size or parameters.record_length * records,
        offsets=tuple(2 + stride * index for index in range(records)),
        lengths=(parameters.record_length,) * records,
        prefixes=(b"",) * records,
        read=read, update=update, erase=erase,
        growing=bool(records), variable=variable, data_coding=parameters.data_coding,
    )  # fmt: skip


def content_size(parameters: Parameters) -> int:
    """Return the bytes of memory that a file's content needs."""
    if not parameters.records:
        return parameters.size
    variable = parameters.structure is Structure.LINEAR_VARIABLE_TLV
    return 2 + (parameters.record_length + (2 if variable else 0)) * parameters.records


def _entries(memory: Memory) -> Iterator[tuple[int, int, int, bytes]]:
    """Find address, parent number, content address and FCP of every entry in use."""
    for index in range(MAX_ENTRIES):
        entry = DYNAMIC_AREA + index * PAGE_SIZE
        state = memory.byte(entry)
        if state == _NEVER_USED:
            return
        if state != _DELETED:
            raw = memory.read(entry, PAGE_SIZE)
            yield (
                entry,
                int.from_bytes(raw[1:3], "big"),
                int.from_bytes(raw[3:7], "big"),
                raw[_FCP : _FCP + raw[7]],
            )


def load(memory: Memory, known: Created = _NOTHING) -> dict[Directory, dict[int, Node]]:
    """Read every created file from memory, by directory and identifier.

    A node in `known` that did not change stays the same object, because a channel may select it.
    """
    found: dict[Directory, dict[int, Node]] = {}
    nodes: dict[int, Node] = {n - NODE_STATES: node for n, node in _PROFILE_BY_STATE.items()}
    before = {node.state_address: node for old in known.values() for node in old.values()}
    waiting = list(_entries(memory))
    while waiting:
        ready = [entry for entry in waiting if entry[1] in nodes]
        if not ready:
            break
        for entry in ready:
            parent = nodes[entry[1]]
            if isinstance(parent, Directory):
                node = build(parse(entry[3]), parent, entry[0], entry[2])
                old = before.get(entry[0])
                node = old if old and _are_alike(old, node) else node
                nodes[node_number(node)] = node
                found.setdefault(parent, {})[node.fid] = node
        waiting = [entry for entry in waiting if entry not in ready]
    return found


def _are_alike(old: Node, new: Node) -> bool:
    return type(old) is type(new) and all(
        getattr(old, field.name) == getattr(new, field.name) for field in fields(old)
    )


def problem(memory: Memory) -> str:
    """Say what is wrong with the entries, or "" if CREATE FILE can have written them."""
    for entry, _, _, fcp in _entries(memory):
        raw = memory.read(entry + 1, _FCP - 1 + len(fcp) + CHECKSUM_SIZE)
        if raw != with_checksum(raw[:-CHECKSUM_SIZE]):
            return "the entry of a created file is damaged"
    try:
        found = load(memory)
        places = sorted((start, content_size(parse(fcp))) for _, _, start, fcp in _entries(memory))
    except FormatError as error:
        return f"the entry of a created file is not valid: {error}"
    if sum(map(len, found.values())) != len(places):
        return "a created file has no directory, or two have one identifier"
    end = _CONTENT
    for start, size in places:
        if (start < end and size) or start % PAGE_SIZE or start + size > _CONTENT_END:
            return "the content address of a created file is not valid"
        end = start + size
    return ""


def store(memory: Memory, parent: Directory, fcp: bytes, state: int) -> int | None:
    """Write a new file's entry and reserve its memory; return its address, or None if full."""
    size = content_size(parse(fcp))
    entry = _free_entry(memory)
    address = _free_content(memory, size)
    if entry is None or address is None:
        return None
    number = node_number(parent)
    raw = number.to_bytes(2, "big") + address.to_bytes(4, "big") + bytes((len(fcp),)) + fcp
    memory.write(entry, bytes((state,)) + with_checksum(raw))
    return entry


def _free_entry(memory: Memory) -> int | None:
    for index in range(MAX_ENTRIES):
        entry = DYNAMIC_AREA + index * PAGE_SIZE
        if memory.byte(entry) in (_DELETED, _NEVER_USED):
            return entry
    return None


def _free_content(memory: Memory, size: int) -> int | None:
    address = _CONTENT
    taken = sorted((start, content_size(parse(fcp))) for _, _, start, fcp in _entries(memory))
    for start, length in taken:
        if address + size <= start:
            break
        address = max(address, start + -(-length // PAGE_SIZE) * PAGE_SIZE)
    return address if address + size <= _CONTENT_END else None


def delete(memory: Memory, node: Node) -> None:
    """Free a created file's entry and erase its content."""
    raw = memory.read(node.state_address, PAGE_SIZE)
    size = content_size(parse(raw[_FCP : _FCP + raw[7]]))
    memory.erase(int.from_bytes(raw[3:7], "big"), size)
    memory.write(node.state_address, bytes((_DELETED,)))
