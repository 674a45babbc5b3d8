"""Checkpoints: the heads of all stations at one moment, signed, to be kept outside the database.

A database that is wholly rewritten is in order in itself. Only a checkpoint from before shows that
it is another one.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import func, insert, select

from cardlib.errors import DAMAGE, FormatError

from . import schema
from .bureau import Register
from .conflict import JournalConflict
from .database import now
from .folding import Folded
from .writing import Writing

EVERY = 1_000
"""A station makes a checkpoint after so many events of its own."""
_TRIES = 5
_FORMAT = "rhcard checkpoint 1"


class CheckpointSigner(Protocol):
    """Signs checkpoints for the issuer, and checks them."""

    def sign_checkpoint(self, content: bytes) -> bytes:
        """Sign the bytes of a checkpoint."""
        ...

    def check_checkpoint(self, content: bytes, signature: bytes) -> None:
        """Raise CardKeyError when the signature is not this issuer's over these bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One checkpoint: `content` is what is signed, `heads` the head of each station by name."""

    number: int
    register: str
    heads: Mapping[str, tuple[int, bytes]]
    content: bytes
    signature: bytes

    def as_dict(self) -> dict[str, Any]:
        """The checkpoint as a JSON object's members, as it is exported."""
        return {"checkpoint": json.loads(self.content), "signature": self.signature.hex()}


def make_checkpoint(register: Register, signer: CheckpointSigner) -> Checkpoint:
    """Make a checkpoint of now, and forget this station's events before it in its own file."""
    for _ in range(_TRIES):
        content = register.read(lambda connection: _content(connection, register.identity))
        made = _checkpoint(content, signer.sign_checkpoint(content))
        if _store(register, made):
            break
    else:
        raise JournalConflict("other stations made checkpoints at the same time. Try again")
    own = made.heads.get(register.station)
    if own == register.file.last:
        register.file.begin_anew(own)
    return made


def checkpoint_if_due(register: Register, signer: CheckpointSigner) -> Checkpoint | None:
    """Make a checkpoint when the station's own file has EVERY events or more."""
    return make_checkpoint(register, signer) if register.file.count >= EVERY else None


def _store(register: Register, made: Checkpoint) -> bool:
    """Store a checkpoint; False when another station has made one of this number just now."""
    table, content = schema.checkpoint, made.content.decode()
    row = {"number": made.number, "content": content, "signature": made.signature}

    def work(writing: Writing) -> bool:
        known = select(table.c.content).where(table.c.number == made.number)
        found = writing.connection.execute(known).scalar()
        if found is None:
            writing.connection.execute(insert(table), row)
        return found in (None, content)

    return register.write(work, lambda _: True)


def _content(connection: Any, register: str) -> bytes:
    stations, table = schema.station, schema.checkpoint
    heads = {
        row.name: [row.seq, row.head.hex()]
        for row in connection.execute(select(stations).order_by(stations.c.name))
    }
    last = connection.execute(select(func.max(table.c.number))).scalar() or 0
    before = connection.execute(select(table.c.content).where(table.c.number == last)).scalar()
    members = {
        "format": _FORMAT, "register": register, "number": last + 1,
        "at": connection.execute(select(now())).scalar_one(),
        "previous": hashlib.sha256((before or "").encode()).hexdigest(), "heads": heads,
    }  # fmt: skip
    return canonical(members)


def canonical(members: Mapping[str, Any]) -> bytes:
    """A JSON object in the one form that is signed."""
    return json.dumps(members, sort_keys=True, separators=(",", ":")).encode("ascii")


def _checkpoint(content: bytes, signature: bytes) -> Checkpoint:
    members = json.loads(content)
    if members["format"] != _FORMAT:
        raise FormatError("another version of this program made it")
    heads = {
        name: (int(seq), bytes.fromhex(head)) for name, (seq, head) in members["heads"].items()
    }
    return Checkpoint(int(members["number"]), str(members["register"]), heads, content, signature)


def read_checkpoint(raw: bytes, signer: CheckpointSigner) -> Checkpoint:
    """Read an exported checkpoint. FormatError when it is damaged, CardKeyError when not signed."""
    try:
        members = json.loads(raw)
        content = canonical(members["checkpoint"])
        found = _checkpoint(content, bytes.fromhex(members["signature"]))
    except DAMAGE:
        raise FormatError("it is no checkpoint, or it is damaged") from None
    signer.check_checkpoint(content, found.signature)
    return found


def stored(connection: Any) -> list[Checkpoint]:
    """The checkpoints in the database, in order. Raises FormatError when one is damaged."""
    table = schema.checkpoint
    try:
        rows = connection.execute(select(table).order_by(table.c.number)).all()
        found = [_checkpoint(row.content.encode(), bytes(row.signature)) for row in rows]
        if [each.number for each in found] != [row.number for row in rows]:
            raise FormatError("a number is another")
        return found
    except DAMAGE:
        raise FormatError("a checkpoint in the database is damaged") from None


def compare(
    folded: Folded, events: Mapping[tuple[str, int], bytes], point: Checkpoint
) -> list[str]:
    """What a journal lacks or has otherwise than a checkpoint says.

    `events` has the hash of each event by station and number.
    """
    faults = []
    for station, (seq, head) in point.heads.items():
        if not seq:
            continue
        last = folded.heads.get(station, (0, b""))[0]
        if last < seq:
            faults.append(
                f"station {station}: checkpoint {point.number} was made at event {seq}, the journal"
                f" ends with event {last}. It was cut, or an older copy was put back"
            )
        elif events.get((station, seq)) != head:
            faults.append(
                f"station {station}: event {seq} is another than at checkpoint {point.number}. The"
                " journal was rewritten"
            )
    return faults
