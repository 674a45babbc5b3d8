"""Batches whose keys are at the key agent. This process has none of them."""

from collections.abc import Sequence
from uuid import UUID

from ..errors import CardKeyError
from ..keys.agent.agent_connection import AgentConnection
from ..keys.agent.agent_wire import Document
from ..keys.issuer import RecordRange, Share


class AgentSealingBatch:
    """A new batch whose keys are at the agent."""

    def __init__(self, connection: AgentConnection, begun: Document) -> None:
        self._connection, self._sealing = connection, begun["sealing"]
        self.kept: bytes = begun["kept"]
        self.ranges: Sequence[RecordRange] = tuple(range_of(each) for each in begun["ranges"])

    def seal(self, number: int, record: bytes) -> bytes:
        """Seal record `number`, from 1 in order."""
        found = self._connection.call(
            "seal-record", sealing=self._sealing, number=number, record=record
        )
        sealed: bytes = found["sealed"]
        return sealed

    def sign(self, manifest: bytes) -> bytes:
        """Have the manifest signed after the last record; return CMS SignedData, DER."""
        found = self._connection.call("sign-batch", sealing=self._sealing, manifest=manifest)
        signed: bytes = found["signed"]
        return signed


class AgentSealedBatch:
    """A batch whose keys are at the agent."""

    def __init__(
        self,
        connection: AgentConnection,
        members: Document,
        ranges: Sequence[RecordRange],
        transfers: Sequence[RecordRange],
    ) -> None:
        self._connection, self._members = connection, members
        owners = ((transfers, True), (ranges, False))
        self._owners = [(each, kind) for some, kind in owners for each in reversed(some)]

    def unseal(self, number: int, sealed: bytes) -> bytes:
        """Open record `number`. Raises RecordRefused or CardKeyError as `SealedBatch` says."""
        for each, is_transfer in self._owners:
            if each.first <= number <= each.last:
                members = {**self._members, **owned_members(each, is_transfer)}
                found = self._connection.call(
                    "unseal-record", **members, number=number, sealed=sealed
                )
                record: bytes = found["record"]
                return record
        raise CardKeyError(f"there is no record {number} in the ranges of the batch")


class AgentOldBatch:
    """A batch of format 2 whose key is at the agent."""

    def __init__(self, connection: AgentConnection, members: Document) -> None:
        self._connection, self._members = connection, members

    def check_header(self, header: bytes, seal: bytes) -> None:
        """Raise CardKeyError when the header is not the one that was sealed."""
        self._connection.call("check-old-header", **self._members, header=header, seal=seal)

    def unseal(self, number: int, sealed: bytes) -> bytes:
        """Open record `number`. Raises CardKeyError when it is damaged or is another record."""
        found = self._connection.call(
            "unseal-old-record", **self._members, number=number, sealed=sealed
        )
        record: bytes = found["record"]
        return record


def share_members(share: Share) -> Document:
    """A share as the agent takes it."""
    members: Document = {"site": share.site, "first": share.first, "last": share.last}
    if share.offer is not None:
        members |= {"key_id": share.offer.key_id.bytes, "public": share.offer.public}
    return members


def range_members(each: RecordRange) -> Document:
    """A range as the agent takes it."""
    return {
        "site": each.site, "first": each.first, "last": each.last, "key_id": each.key_id.bytes,
        "key": each.enveloped, "sealed_site_key": each.sealed,
    }  # fmt: skip


def owned_members(each: RecordRange, is_transfer: bool) -> Document:
    """What a site owns, a range or a transfer, as the agent takes it."""
    return {"range": range_members(each), "transferred": is_transfer}


def range_of(members: Document) -> RecordRange:
    """The range that the agent has of such members."""
    return RecordRange(
        members["site"], members["first"], members["last"], UUID(bytes=members["key_id"]),
        members["key"], members["sealed_site_key"],
    )  # fmt: skip
