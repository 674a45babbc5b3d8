"""The card's file tree, built from the layout once and shared by all software cards."""

from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from ...facts import HEALTH_APPLICATION, MF_ID
from ...layout import FILES, KEY_BY_NAME, KEYS, FileSpec, KeySpec, Kind, Structure
from ...layout.model import NEVER
from ..profile.card_state import FILE_ADDRESS, NODE_STATES

_LOCAL = 0x80
_GLOBAL = ("DDF1", "MF")
PROPRIETARY_WRITE = 0x21
"""Data coding byte of the profile's files: WRITE replaces; data units have one byte."""
KEY_BIT = MappingProxyType({key.name: 1 << index for index, key in enumerate(KEYS)})
"""The bit of each key in a channel's mask of rights."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What an operation on a file needs: rights (a mask), the PIN, or it is never allowed."""

    rights: int = 0
    pin: bool = False
    never: bool = False
    key: KeySpec | None = None


ALWAYS = Rule()
NEVER_RULE = Rule(never=True)


@dataclass(frozen=True, slots=True, eq=False)
class Directory:
    """The MF or a DF. `kept_rights` are the rights that remain when it is selected."""

    path: str
    fid: int
    parent: "Directory | None"
    state_address: int
    aid: bytes = b""
    block_bit: int = 0
    kept_rights: int = 0
    keys: tuple[KeySpec, ...] = ()
    children: dict[int, "Directory | ElementaryFile"] = field(default_factory=dict)

    def key(self, kid: int, roles: Container[str]) -> KeySpec | None:
        """Find the key of a KID: with bit 8 set in this DF, else in DDF1 or the MF.

        The nearest directory that holds the number counts (card specification 3).
        """
        holders = [self] if kid & _LOCAL else [n for n in self.ancestors() if n.path in _GLOBAL]
        for holder in holders:
            for key in holder.keys:
                if key.reference == kid and key.role in roles:
                    return key
        return None

    def ancestors(self) -> Iterator["Directory"]:
        """Iterate over this directory, its parent, and so on to the MF."""
        node: Directory | None = self
        while node:
            yield node
            node = node.parent

    @property
    def secure_messaging_key(self) -> KeySpec | None:
        """The STK (or STM) that protects commands to the files of this directory."""
        return next((key for key in self.keys if key.role in ("STK", "STM")), None)


@dataclass(frozen=True, slots=True, eq=False)
class ElementaryFile:
    """An EF: where its content is, how it is divided into records, and its access rules.

    `offsets` and `lengths` describe the stored part of each record slot. `prefixes` is not stored:
    the tag and length of a TLV record. A `growing` file begins with the number of its records; a
    `variable` one stores each record's length before it. `data_coding` says what WRITE does
    (ISO/IEC 7816-4 table 118).
    """

    path: str
    fid: int
    parent: Directory
    state_address: int
    structure: Structure
    address: int
    size: int
    offsets: tuple[int, ...]
    lengths: tuple[int, ...]
    prefixes: tuple[bytes, ...]
    read: Rule
    update: Rule
    erase: Rule
    is_index: bool = False
    growing: bool = False
    variable: bool = False
    data_coding: int = PROPRIETARY_WRITE

    @property
    def slots(self) -> int:
        """The most records that the file can hold; 0 if transparent."""
        return len(self.offsets)


Node: TypeAlias = Directory | ElementaryFile


def _rule(key: str, pin: bool = False) -> Rule:
    if key == NEVER:
        return NEVER_RULE
    return Rule(KEY_BIT[key], pin, False, KEY_BY_NAME[key]) if key else ALWAYS


def _elementary_file(spec: FileSpec, parent: Directory, index: int) -> ElementaryFile:
    records = range(1, spec.records + 1) if spec.structure is not Structure.TRANSPARENT else ()
    head = 2 if spec.structure is Structure.CYCLIC else 0
    prefixes, lengths, offsets, offset = [], [], [], head
    for record in records:
        tag = spec.fields_of(record)[0].tag
        length = sum(item.length for item in spec.fields_of(record))
        prefixes.append(b"" if tag is None else bytes((tag, length)))
        lengths.append(length)
        offsets.append(offset)
        offset += length
    return ElementaryFile(
        path=spec.path,
        fid=spec.fid,
        parent=parent,
        state_address=NODE_STATES + index,
        structure=spec.structure,
        address=FILE_ADDRESS[spec.path],
        size=spec.size,
        offsets=tuple(offsets),
        lengths=tuple(lengths),
        prefixes=tuple(prefixes),
        read=_rule(spec.read_key),
        update=_rule(spec.update_key, spec.holder_present),
        erase=_rule(spec.erase_key),
        is_index=spec.fields[0].kind is Kind.MARK,
        growing=spec.structure is Structure.CYCLIC,
    )


def _directory(path: str, parent: Directory | None, index: int) -> Directory:
    keys = tuple(key for key in KEYS if key.df_path == path)
    own = sum(KEY_BIT[key.name] for key in keys)
    name = path.rsplit("/", 1)[-1]
    number = int(name[2:]) if name.startswith("DF") else 0
    fids = {"MF": MF_ID, "DDF1": 0xDDF1}
    return Directory(
        path=path,
        fid=fids.get(name, 0xDF00 | number),
        parent=parent,
        state_address=NODE_STATES + index,
        aid=HEALTH_APPLICATION if name == "DDF1" else b"",
        block_bit=1 << (number - 1) if number else 0,
        kept_rights=own | (parent.kept_rights if parent else 0),
        keys=keys,
    )


def _profile() -> dict[str, Directory | ElementaryFile]:
    mf = _directory("MF", None, 0)
    ddf1 = _directory("DDF1", mf, 1)
    directories = {"MF": mf, "DDF1": ddf1}
    for number in range(1, 6):
        path = f"DDF1/DF0{number}"
        directories[path] = _directory(path, ddf1, 1 + number)
    nodes: dict[str, Directory | ElementaryFile] = {**directories}
    for index, spec in enumerate(FILES, len(nodes)):
        nodes[spec.path] = _elementary_file(spec, directories[spec.df_path], index)
    for node in nodes.values():
        if node.parent:
            node.parent.children[node.fid] = node
    return nodes


PROFILE = MappingProxyType(_profile())
"""Every node of a personalized card by its path: "MF", "DDF1/..."."""


def directory_of(path: str) -> Directory:
    """Return a directory of the profile by its path."""
    node = PROFILE[path]
    assert isinstance(node, Directory)
    return node


MF = directory_of("MF")
DDF1 = directory_of("DDF1")
