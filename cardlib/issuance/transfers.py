"""Transfers: a site gives records of a batch to another one, and signs that.

The keys of these records alone are enveloped for the receiving site: with the key of the range it
could open all of it. The statement is canonical JSON inside CMS SignedData.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ..errors import DAMAGE, FormatError
from ..keys.issuer import RecordRange

FORMAT = "rhcard transfer 1"
MOST_TRANSFERRED = 2000
"""Records of one transfer: 32 bytes each in one message to the key agent."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Records of a batch that the site with the key `giver` gives to the site of `to`."""

    batch: UUID
    count: int
    giver: UUID
    to: RecordRange

    def to_json(self) -> bytes:
        """The canonical JSON of the statement."""
        members = {
            "format": FORMAT,
            "batch_id": str(self.batch),
            "count": self.count,
            "giver": str(self.giver),
            "to": self.to.as_dict(),
        }
        return json.dumps(members, sort_keys=True, separators=(",", ":")).encode("ascii")

    @classmethod
    def from_json(cls, raw: bytes) -> "Transfer":
        """Read a statement. Raises FormatError when it is none."""
        try:
            members: Mapping[str, Any] = json.loads(raw)
            found = cls(
                UUID(members["batch_id"]), members["count"], UUID(members["giver"]),
                RecordRange.of_dict(members["to"]),
            )  # fmt: skip
            if found.to_json() == raw:
                return found
        except DAMAGE:
            pass
        raise FormatError(f"it is no statement of the format {FORMAT!r}")
