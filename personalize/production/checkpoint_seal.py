"""Checkpoints are sealed with the issuer's keys, so that nobody else can make one."""

import hashlib
import hmac
from collections.abc import Callable

from cardlib.errors import CardKeyError


class CheckpointSeal:
    """Seals checkpoints with the key that makes the tags of holders: HMAC-SHA-256, 32 bytes.

    No number of a holder has a line break, so no tag of a holder is a seal.
    """

    def __init__(self, tag: Callable[[str], bytes]) -> None:
        """Use the keys that the register's tags are made with."""
        self._tag = tag

    def sign_checkpoint(self, content: bytes) -> bytes:
        """Seal the bytes of a checkpoint."""
        return self._tag(f"rhcard checkpoint 1\n{hashlib.sha256(content).hexdigest()}")

    def check_checkpoint(self, content: bytes, signature: bytes) -> None:
        """Raise CardKeyError when the seal is not this issuer's over these bytes."""
        if not hmac.compare_digest(self.sign_checkpoint(content), signature):
            raise CardKeyError(
                "it was not sealed with the keys of this register, or it was changed"
            )


class UncheckedSeal:
    """For who has no keys: seals are not checked, and none can be made."""

    def sign_checkpoint(self, content: bytes) -> bytes:
        """Raise CardKeyError."""
        raise CardKeyError("a checkpoint needs the issuer's keys: give --keys FILE")

    def check_checkpoint(self, content: bytes, signature: bytes) -> None:
        """Do nothing."""
