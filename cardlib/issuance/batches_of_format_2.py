"""How the records of a batch of format 2 are opened: AES-256-GCM under a key of the batch.

The nonce is the record's number; batch, number and count are its associated data (SP 800-38D).
Record 0 is the header. No such batch is made any more.
"""

from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..errors import CardKeyError
from ..keys import Purpose, RootKeys

_HEADER = 0


class LocalOldBatch:
    """A batch of format 2 whose key is in this process."""

    def __init__(self, keys: RootKeys, batch: UUID, count: int, sealed_key: bytes) -> None:
        """Open the batch's key. Raises CardKeyError when it is damaged, or of other keys."""
        key = keys.unseal(Purpose.BATCH, sealed_key, _bound(batch, _HEADER, count))
        self._batch, self._count = batch, count
        try:
            self._key = AESGCM(key)
        except ValueError:
            raise CardKeyError("the key of the batch is damaged") from None

    def __repr__(self) -> str:
        return f"<batch {self._batch}, {self._count} records>"

    def check_header(self, header: bytes, seal: bytes) -> None:
        """Raise CardKeyError when the header is not the one that was sealed."""
        self._opened(_HEADER, seal, header)

    def unseal(self, number: int, sealed: bytes) -> bytes:
        """Open record `number`. Raises CardKeyError when it is damaged or is another record."""
        if not 1 <= number <= self._count:
            raise CardKeyError(f"there is no record {number}, the batch has {self._count}")
        return self._opened(number, sealed, _bound(self._batch, number, self._count))

    def _opened(self, number: int, sealed: bytes, bound: bytes) -> bytes:
        try:
            return self._key.decrypt(_nonce(number), sealed, bound)
        except (InvalidTag, ValueError):
            raise CardKeyError(f"record {number} is damaged, or is another record") from None


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")


def _bound(batch: UUID, number: int, count: int) -> bytes:
    """The associated data of a record: batch id (16) ‖ number (4) ‖ count (4)."""
    return batch.bytes + number.to_bytes(4, "big") + count.to_bytes(4, "big")
