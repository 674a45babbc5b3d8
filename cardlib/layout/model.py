"""The four tables of the card specification as frozen values: files, fields, keys, columns."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .tables import read_table

NEVER = "NEVER"
"""The entry of a key column when no key allows the access: the card answers 6985."""


class Structure(StrEnum):
    """The structure of an EF (ISO/IEC 7816-4:2020 7.2.2); TLV records are SIMPLE-TLV."""

    TRANSPARENT = "transparent"
    LINEAR_FIXED = "linear-fixed"
    LINEAR_VARIABLE_TLV = "linear-variable-tlv"
    CYCLIC = "cyclic"


class Kind(StrEnum):
    """What a field's value means. It decides how the value is checked and shown."""

    TEXT = "text"
    ASCII = "ascii"
    DATE = "date"
    DATETIME = "datetime"
    CODE = "code"
    FLAG = "flag"
    MARK = "mark"
    AMOUNT = "amount"
    COUNT = "count"
    DIGITS = "digits"
    PHOTO = "photo"
    DER = "der"
    AID = "aid"
    BINARY = "binary"
    SIGNATURE = "signature"


@dataclass(frozen=True, slots=True)
class KeySpec:
    """One of the card's 30 keys: its name, its reference on the card and its number in the SAM.

    `reference` is the KID of EXTERNAL AUTHENTICATE; bit 8 set means a key of the current DF.
    `levels` is the number of diversification steps: 2 (region, then chip) or 1 (chip) (card
    specification 3).
    """

    name: str
    reference: int
    sam_usage: int
    sam_key_id: int
    levels: int
    purpose: str

    @property
    def role(self) -> str:
        """RK, UK, STK, IRK, LK, BK, STM or PUK."""
        return self.name.split("_")[0].rstrip("0123456789")

    @property
    def df_path(self) -> str:
        """The directory that holds the key: "MF", "DDF1" or "DDF1/DFnn"."""
        home = self.name.split("_")[1]
        return home if home in ("MF", "DDF1") else f"DDF1/{home}"

    @property
    def df_id(self) -> bytes:
        """The file identifier of that directory, 2 bytes (card specification 1)."""
        home = self.name.split("_")[1]
        return b"\x3f\x00" if home == "MF" else bytes.fromhex(home)


@dataclass(frozen=True, slots=True, eq=False)
class FieldSpec:
    """One field of a file. There is one object of each, so that comparing and hashing cost nothing.

    `record` is its record in a TLV file, else 0. `offset` and `length` are in bytes, within the
    record's value (in a transparent file, within the file). `one_digit` is a `cn` field of one byte
    whose table has codes of one digit: cards hold nF or 0n (card specification 10, amendment 12).
    """

    path: str
    tag: int | None
    name: str
    label_zh: str
    coding: str
    length: int
    disclosure_group: str
    kind: Kind
    table: str
    one_digit: bool
    record: int
    offset: int

    @property
    def label_en(self) -> str:
        """The English label, made from the name: "ABO blood group"."""
        words = [_CAPITALS.get(word, word) for word in self.name.split("_")]
        label = " ".join(words)
        return label[0].upper() + label[1:]


@dataclass(frozen=True, slots=True, eq=False)
class FileSpec:
    """One elementary file: its structure, records, access keys and fields. One object of each.

    `line` is its line in files.csv after the header: the nn of its DGIs. `read_key`, `update_key`
    and `erase_key` are a key's name, "" (free) or NEVER. `record_lengths` are the bytes of each
    record with tag and length, or of a whole transparent file; `size` is their sum.
    """

    line: int
    path: str
    fid: int
    structure: Structure
    records: int
    read_key: str
    update_key: str
    erase_key: str
    holder_present: bool
    title: str
    title_zh: str
    origin: str
    fields: tuple[FieldSpec, ...]
    record_lengths: tuple[int, ...] = field(init=False)
    size: int = field(init=False)
    df_path: str = field(init=False)
    """The directory that holds the file: "DDF1" or "DDF1/DFnn"."""

    def record_length(self, record: int) -> int:
        """Return the bytes of one record with tag and length, or of a whole transparent file."""
        return self.record_lengths[record - 1]

    def __post_init__(self) -> None:
        # Worked out once: every command to a file asks for them.
        head = 2 if self.is_tlv else 0
        lengths = tuple(
            head + sum(field.length for field in self.fields_of(record))
            for record in range(1, self.records + 1)
        )
        object.__setattr__(self, "record_lengths", lengths)
        object.__setattr__(self, "size", sum(lengths))
        object.__setattr__(self, "df_path", self.path.rsplit("/", 1)[0])

    @property
    def is_tlv(self) -> bool:
        """Whether each record is tag ‖ length ‖ value."""
        return self.structure is Structure.LINEAR_VARIABLE_TLV

    def fields_of(self, record: int) -> tuple[FieldSpec, ...]:
        """Return the fields of one record (any number if all records have the same fields)."""
        return (self.fields[record - 1],) if self.is_tlv else self.fields


@dataclass(frozen=True, slots=True)
class Column:
    """One column that an input file may have, with the record and the field that it fills."""

    name: str
    path: str
    record: int
    field: str


_NUMBER = re.compile(r"_\d+$")
_TEXT = {"kind": "text", "table": "", "one_digit": ""}
"""What kinds.csv says of a field that it does not name."""

_CAPITALS = {"abo": "ABO", "rh": "Rh", "id": "ID", "sam": "SAM", "aid": "AID"}
_SLOTS = {"EE0n": range(1, 4), "ED0n": range(1, 6)}


def _table(name: str) -> list[dict[str, str]]:
    return read_table(Path(__file__).with_name(name))


def _load_keys() -> tuple[KeySpec, ...]:
    return tuple(
        KeySpec(
            name=row["name"],
            reference=int(row["key_reference"], 16),
            sam_usage=int(row["sam_usage"], 16),
            sam_key_id=int(row["sam_key_id"], 16),
            levels=int(row["diversification_levels"]),
            purpose=row["purpose"],
        )
        for row in _table("keys.csv")
    )


def _field_path(path: str) -> str:
    """Return the path as in fields.csv: EE01 to EE03 share the lines of EE0n."""
    folder, name = path.rsplit("/", 1)
    return f"{folder}/{name[:3]}n" if f"{name[:3]}n" in _SLOTS else path


def _load_files() -> tuple[FileSpec, ...]:
    kinds = {(row["path"], row["field"]): row for row in _table("kinds.csv")}
    fields: dict[str, list[dict[str, Any]]] = {}
    for row in _table("fields.csv"):
        fields.setdefault(row["path"], []).append(_field(row, _kind(row, kinds)))
    return tuple(
        FileSpec(
            line=line,
            path=row["path"],
            fid=int(row["fid"], 16),
            structure=Structure(row["structure"]),
            records=int(row["records"]),
            read_key=row["read_key"],
            update_key=row["update_key"],
            erase_key=row["erase_key"],
            holder_present=row["holder_present"] == "yes",
            title=row["title"],
            title_zh=row["title_zh"],
            origin=row["origin"],
            fields=_fields_of(row, fields[_field_path(row["path"])]),
        )
        for line, row in enumerate(_table("files.csv"), 1)
    )


def _kind(row: dict[str, str], kinds: dict[tuple[str, str], dict[str, str]]) -> dict[str, str]:
    """Find what kinds.csv says of a field, by its path or *, and its name or name with _#."""
    name = row["name"]
    names = (name, _NUMBER.sub("_#", name)) if name[-1].isdigit() else (name,)
    for path in (row["path"], "*"):
        for each in names:
            if found := kinds.get((path, each)):
                return found
    return _TEXT


def _field(row: dict[str, str], kind: dict[str, str]) -> dict[str, Any]:
    """What a line of fields.csv says of its field, in each file that shares the line."""
    return {
        "tag": int(row["tag"]) if row["tag"] else None,
        "name": row["name"],
        "label_zh": row["label_zh"],
        "coding": row["coding"],
        "length": int(row["length"]),
        "disclosure_group": row["disclosure_group"],
        "kind": Kind(kind["kind"]),
        "table": kind["table"],
        "one_digit": kind["one_digit"] == "yes",
    }


def _fields_of(file: dict[str, str], fields: list[dict[str, Any]]) -> tuple[FieldSpec, ...]:
    tlv, path = file["structure"] == Structure.LINEAR_VARIABLE_TLV, file["path"]
    specs, offset = [], 0
    for number, common in enumerate(fields, 1):
        record, start = (number, 0) if tlv else (0, offset)
        specs.append(FieldSpec(path=path, record=record, offset=start, **common))
        offset += common["length"]
    return tuple(specs)


KEYS = _load_keys()
KEY_BY_NAME = MappingProxyType({key.name: key for key in KEYS})
FILES = _load_files()
FILE_BY_PATH = MappingProxyType({file.path: file for file in FILES})
COLUMNS = tuple(
    Column(row["column"], row["path"], int(row["record"]), row["field"])
    for row in _table("columns.csv")
)
