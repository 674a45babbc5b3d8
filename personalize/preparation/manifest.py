"""The manifest of a batch: what it is, what its records and holders must be, and for which sites.

It is canonical JSON (members in order, no spaces, ASCII) inside CMS SignedData.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from cardlib.crypto import Cipher
from cardlib.errors import DAMAGE, CardError, FormatError
from cardlib.keys.issuer import RecordRange

FORMAT = "rhcard batch 3"
_ROOT = 32


class BatchError(CardError):
    """A batch cannot be written, opened or read. The message names the file and the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchHeader:
    """What a batch says about itself, readable without keys; no personal data and no key.

    `issue_date` is YYYYMMDD; `source_sha256`, `key_store_identity` are hex; `key_version` is that
    of the card keys; `key_store_hint` is the path the key store had, a help to find it. `batch_id`
    is a UUID, `created` ISO 8601 in UTC; by default both are made for a new batch. `profile` is
    the name of the card profile.
    """

    source_name: str
    source_sha256: str
    count: int
    issue_date: str
    spec_version: str
    cipher: Cipher
    key_store_identity: str
    key_version: int
    key_store_hint: str
    batch_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    profile: str = "rhcard"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest: the header, the roots over records and holders, and the ranges of the sites.

    The leaf of record n is n (4) ‖ sealed record, that of a holder is its entry in the file.
    """

    header: BatchHeader
    records_root: bytes
    holders_root: bytes
    holders: int
    ranges: tuple[RecordRange, ...]

    def to_json(self) -> bytes:
        """The canonical JSON of the manifest."""
        members = asdict(self.header) | {
            "format": FORMAT,
            "cipher": int(self.header.cipher),
            "records_root": self.records_root.hex(),
            "tree_size": self.header.count,
            "holders_root": self.holders_root.hex(),
            "holders": self.holders,
            "ranges": [each.as_dict() for each in self.ranges],
        }
        return json.dumps(members, sort_keys=True, separators=(",", ":")).encode("ascii")

    @classmethod
    def from_json(cls, raw: bytes) -> "Manifest":
        """Read a manifest. Raises FormatError when it is none of this format."""
        try:
            members = json.loads(raw)
        except DAMAGE:
            members = None
        if not isinstance(members, dict) or members.get("format") != FORMAT:
            raise FormatError(f"it is no manifest of the format {FORMAT!r}")
        if {name: type(value) for name, value in members.items()} != _TYPES:
            raise FormatError("some values are missing, unknown or of a wrong type")
        try:
            found = cls(
                header_of(members),
                bytes.fromhex(members["records_root"]),
                bytes.fromhex(members["holders_root"]),
                members["holders"],
                tuple(RecordRange.of_dict(each) for each in members["ranges"]),
            )
            found._check(members["tree_size"])
        except DAMAGE as error:
            raise FormatError(str(error)) from None
        if found.to_json() != raw:
            raise FormatError("it is not written in the canonical form")
        return found

    def _check(self, tree_size: int) -> None:
        if {len(self.records_root), len(self.holders_root)} != {_ROOT}:
            raise FormatError("a root does not have 32 bytes")
        if tree_size != self.header.count:
            raise FormatError(f"it has {self.header.count} cards and {tree_size} records")
        check_ranges(self.ranges, self.header.count)


_HEADER_TYPES: Mapping[str, type] = {
    name: int if name in ("count", "key_version", "cipher") else str
    for name in BatchHeader.__dataclass_fields__
}
_TYPES: Mapping[str, type] = {
    **_HEADER_TYPES, "format": str, "records_root": str, "tree_size": int, "holders_root": str,
    "holders": int, "ranges": list,
}  # fmt: skip


def header_of(members: Mapping[str, Any]) -> BatchHeader:
    """Return the header in members of the right types. Raises FormatError for a wrong value."""
    names = [name for name in BatchHeader.__dataclass_fields__ if name in members]
    named = {name: members[name] for name in names}
    header = BatchHeader(**(named | {"cipher": Cipher(named["cipher"])}))
    if str(uuid.UUID(header.batch_id)) != header.batch_id:
        raise FormatError("the batch id is not written as it should be")
    if not 0 <= header.count < 1 << 32:
        raise FormatError(f"it says {header.count} cards")
    return header


def check_ranges(ranges: Sequence[RecordRange], count: int) -> None:
    """Raise FormatError unless each of `count` records is in exactly one range, in order."""
    end = 0
    for each in ranges:
        if each.first != end + 1 or each.last < each.first:
            raise FormatError(f"records {each.first} to {each.last} come after record {end}")
        end = each.last
    if end != count:
        raise FormatError(f"the ranges end at record {end}, and there are {count}")
