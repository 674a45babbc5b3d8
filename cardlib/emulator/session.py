"""What the card forgets at reset: the state of one logical channel."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .personalization import Load
    from .scp03 import Scp03Session
    from .tree import Directory, ElementaryFile


class LogicalChannel:
    """Selection, rights, PIN state, challenge and sessions of one logical channel.

    `rights` is a mask: bit n is set while the n-th key of keys.csv is authenticated.
    """

    __slots__ = (
        "chain",
        "challenge",
        "directory",
        "file",
        "load",
        "number",
        "pending",
        "pin_verified",
        "record_pointer",
        "rights",
        "scp03",
        "security_domain_selected",
        "used_challenge",
    )

    def __init__(self, number: int, directory: "Directory") -> None:
        self.number = number
        self.directory = directory
        self.file: ElementaryFile | None = None
        self.record_pointer = 0
        self.rights = 0
        self.pin_verified = False
        self.challenge: bytes | None = None
        self.used_challenge: bytes | None = None
        self.pending = b""
        self.chain: tuple[bytes, bytes] | None = None
        self.security_domain_selected = False
        self.scp03: Scp03Session | None = None
        self.load: Load | None = None
