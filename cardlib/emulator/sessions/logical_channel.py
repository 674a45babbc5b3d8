"""The state of one logical channel."""

from ...apdu import MAX_SHORT_LE, CommandAPDU
from ..filesystem.tree import Directory, ElementaryFile
from .pending_load import Load
from .scp03 import Scp03Session
from .v2 import Session as SessionV2


class LogicalChannel:
    """One logical channel: its selection, rights, PIN state, challenge and sessions.

    `rights` is a mask: bit n is set while the n-th key of keys.csv (from 0) is authenticated.
    """

    __slots__ = (
        "chain",
        "challenge",
        "directory",
        "file",
        "load",
        "next_v2",
        "number",
        "pending",
        "pin_verified",
        "record_pointer",
        "rights",
        "scp03",
        "security_domain_selected",
        "session_ends",
        "used_challenge",
        "v2",
    )

    def __init__(self, number: int, directory: Directory) -> None:
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
        self.v2: SessionV2 | None = None
        self.next_v2: SessionV2 | None = None
        self.session_ends = False

    def room(self, command: CommandAPDU) -> int:
        """Return the most bytes of data in the reply to a reading command."""
        wanted = command.le or MAX_SHORT_LE
        return min(wanted, self.v2.room) if self.v2 else wanted

    def end_v2(self) -> None:
        """End a version-2 session with its rights, its PIN state and its challenge."""
        self.v2 = self.next_v2 = None
        self.challenge = None
        self.session_ends = False
        self.rights = 0
        self.pin_verified = False
