"""The events of the journal. Those of one station form a chain by their hashes.

There is no order over all stations. The steps of a card, and those of a chip, are counted: so the
events of one card, or of one chip, have an order whoever wrote them.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cardlib.errors import DAMAGE, FormatError
from cardlib.facts import ChipSerial

from .states import Act

FIRST = bytes(32)
"""What the first event of a station has in the place of the hash before it."""
_BYTES = ("chip", "previous", "hash")
_NUMBERS = ("seq", "at", "number", "attempt", "card_step", "chip_step")


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `at` is the database's time in ms since 1970; `previous` and `hash` 32 bytes.

    `number` and `attempt` name the card of `batch`; `card_step` and `chip_step` count the changes
    of its record and its chip. `detail` holds what only this act has; nothing of a resident.
    """

    station: str
    seq: int
    at: int
    act: Act
    transaction_id: str
    previous: bytes
    batch: str | None = None
    number: int | None = None
    attempt: int | None = None
    card_step: int | None = None
    chip: ChipSerial | None = None
    chip_step: int | None = None
    detail: Mapping[str, int | str] = field(default_factory=dict)
    hash: bytes = b""

    def as_dict(self) -> dict[str, Any]:
        """The event as a JSON object's members; bytes are hex."""
        found = {name: getattr(self, name) for name in _MEMBERS}
        found |= {"act": self.act.value, "detail": dict(self.detail)}
        return found | {name: found[name].hex() for name in _BYTES if found[name] is not None}

    def as_row(self) -> dict[str, Any]:
        """The event as a row of the table."""
        found = {name: getattr(self, name) for name in _MEMBERS}
        chip = None if self.chip is None else bytes(self.chip)
        detail = json.dumps(dict(self.detail), sort_keys=True)
        return found | {"act": self.act.value, "chip": chip, "detail": detail}

    def own_hash(self) -> bytes:
        """The hash that this event must have: SHA-256 over its other members in canonical JSON."""
        members = self.as_dict()
        del members["hash"]
        text = json.dumps(members, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("ascii")).digest()


_MEMBERS = tuple(Event.__dataclass_fields__)


def event_of_row(row: Mapping[Any, Any]) -> Event:
    """Decode a row of the table; FormatError when it is damaged."""
    try:
        chip = None if row["chip"] is None else ChipSerial(row["chip"])
        if not all(isinstance(row[name], int | None) for name in _NUMBERS):
            raise TypeError
        detail = json.loads(row["detail"])
        return Event(**dict(row) | {"act": Act(row["act"]), "chip": chip, "detail": dict(detail)})
    except DAMAGE:
        where = f"event {row.get('seq')} of station {row.get('station')!r}"
        raise FormatError(f"{where} is damaged") from None


def event_of_dict(members: Mapping[str, Any]) -> Event:
    """Decode a JSON object's members; FormatError when they are not an event, or damaged."""
    try:
        found = dict(members) | {"act": Act(members["act"])}
        chip = members["chip"]
        found["chip"] = None if chip is None else ChipSerial.parse(chip)
        found |= {name: bytes.fromhex(members[name]) for name in ("previous", "hash")}
        event = Event(**found)
        if event.own_hash() != event.hash:
            raise FormatError("the hash is another")
    except DAMAGE:
        raise FormatError("this is no event of a journal, or it is damaged") from None
    return event
