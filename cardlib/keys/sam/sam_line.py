"""The line to one SAM: its commands in their order, and its refusals in words."""

from collections.abc import Mapping
from types import MappingProxyType

from ... import commands
from ...apdu import CommandAPDU
from ...errors import CardKeyError
from ...exchange import Connection, send
from ...status import StatusWord, words

_REMEDIES: Mapping[int, str] = MappingProxyType(
    {
        StatusWord.SECURITY_STATUS_NOT_SATISFIED: "the SAM needs its PIN first. It was reset, or"
        " another program uses it: run the command again",
        StatusWord.AUTHENTICATION_METHOD_BLOCKED: "the PIN of the SAM is blocked. Its issuer must"
        " load it again",
        StatusWord.REFERENCE_DATA_NOT_USABLE: "the usage limit of the SAM is reached: it makes no"
        " authentication any more. Its issuer must load it again",
        StatusWord.REFERENCED_DATA_NOT_FOUND: "this SAM does not hold this key in this version."
        " Use a SAM of another role, or one that was loaded with this key version",
        StatusWord.INCORRECT_P1_P2: "the SAM has other levels or another usage for this key",
        StatusWord.CONDITIONS_NOT_SATISFIED: "the SAM does not do this now: its key is for the"
        " other specification, or the command before is missing",
        StatusWord.FILE_NOT_FOUND: "this is no SAM, or it is blank. `rhcard sam issue` loads a"
        " blank one",
    }
)
"""What would satisfy a SAM, by its status word."""
_WRONG_FORM = (
    "the SAM takes its PIN in another form. The setting sam_pin of the profile says which: ASCII"
    " (6 digits) or BCD (3 bytes)"
)


class SamRefusal(CardKeyError):
    """A SAM refused a command. `command` names it and its key, `sw` is the status word."""

    def __init__(self, command: str, sw: int, remedy: str = "") -> None:
        self.command, self.sw = command, sw
        remedy = remedy or _REMEDIES.get(sw, "")
        super().__init__(f"SAM: {command}: {sw:04X} {words(sw)}{remedy and f': {remedy}'}")


class SamLine:
    """A SAM on a connection that nothing else uses.

    `owner` is what began the calculation that the SAM is in, because it remembers only one.
    """

    def __init__(self, connection: Connection) -> None:
        self._transmit = connection.transmit
        self.owner: object | None = None

    def ask(self, command: CommandAPDU, name: str) -> bytes:
        """Send a command, follow 61xx, return the data. Raises SamRefusal unless it is 9000."""
        response = send(self._transmit, command)
        if response.sw != StatusWord.SUCCESS:
            raise SamRefusal(name, response.sw)
        return response.data

    def select(self, *, fci: bool) -> bytes:
        """Select DF01; return its FCI, if it is asked for and the SAM has one."""
        command = commands.SELECT_SAM if fci else commands.SELECT_SAM.with_le(None)
        return self.ask(command, "SELECT DF01")

    def tries_left(self) -> int | None:
        """Ask how many tries the PIN has left; it spends none. None if the SAM does not say."""
        sw = send(self._transmit, commands.verify_sam(b"")).sw
        return sw & 0xF if sw & 0xFFF0 == 0x63C0 else None

    def verify(self, digits: bytes) -> None:
        """VERIFY the PIN, as the SAM codes it. Raises SamRefusal, with the tries that are left."""
        sw = send(self._transmit, commands.verify_sam(digits)).sw
        if sw == StatusWord.SUCCESS:
            return
        remedy = ""
        if sw & 0xFFF0 == 0x63C0:
            remedy = "the PIN is wrong. After the last try the SAM is blocked"
        elif sw in (StatusWord.WRONG_LENGTH, StatusWord.INCORRECT_DATA):
            remedy = _WRONG_FORM
        raise SamRefusal("VERIFY", sw, remedy)
