"""Tell which commands of a script must not go to a card of spec 2.0 as they are written.

Such a card takes a PIN, personal data and every change in a session only (card specification 5).
What is not known to be harmless is not sent: an unknown command may carry anything.
"""

from ..apdu import MAX_SHORT_DATA, CommandAPDU
from ..commands import PROPRIETARY, must_be_protected, name_of, spec_of
from ..errors import FormatError
from ..tlv import iter_ber
from .language import Command, ScriptError

_FURTHER = 0x40
_SM_PROPRIETARY, _SM_FURTHER = 0x04, 0x20
_SM_OBJECTS = {0x85, 0x87, 0x8E, 0x97}
"""Cryptograms, MAC and Le. An object with a plain value (81) protects nothing (7816-4 table 50)."""
_MAC = 0x8E
_IN_SCP03 = {
    "ACTIVATE", "DELETE", "EXTERNAL AUTHENTICATE", "GET DATA", "GET STATUS", "INITIALIZE UPDATE",
    "INSTALL", "LOAD", "PUT KEY", "RESET KEY TRIES", "SET STATUS", "STORE DATA",
}  # fmt: skip
"""The commands of class 84 that an SCP03 session of the issuer protects."""

_WITH_KEYS = "Run the script with keys, with #! authenticate before this line"
_ASK_FIRST = (
    "SELECT F052484301 with Le first: its answer names the spec. If it is a deployed card, which"
    " does not name it, add --profile field"
)


class NotProtected(ScriptError):
    """A command was not sent: it would go in clear to a card that may be of spec 2.0."""

    def __init__(self, name: str, step: Command, *, spec_known: bool) -> None:
        card = "a card of spec 2.0" if spec_known else "a card that may be of spec 2.0"
        way = _WITH_KEYS if spec_known else _ASK_FIRST
        problem = (
            f"{name_of(step.apdu[0], step.apdu[1])} was not sent: it would go in clear to {card}."
            f" {way}. To send it all the same, add --unprotected"
        )
        super().__init__(name, step.line, problem)

    def __str__(self) -> str:
        return f"{self.name}, line {self.line}: {self.problem}"


def would_bare(raw: bytes) -> bool:
    """Whether an encoded command shows a PIN, personal data or a change to whoever listens.

    The channel in its class byte, and whether it is a part of a chain, do not matter.
    """
    command = _parsed(raw)
    return _must_be_protected(command) and not _is_protected(command)


def _parsed(raw: bytes) -> CommandAPDU:
    """A command; of one whose lengths are wrong, all that follows the header counts as data."""
    try:
        return CommandAPDU.parse(raw)
    except FormatError:
        return CommandAPDU(raw[0], raw[1], raw[2], raw[3], raw[4:][:MAX_SHORT_DATA])


def _must_be_protected(command: CommandAPDU) -> bool:
    if spec_of(command.cla, command.ins) is None:
        return bool(command.data)
    return must_be_protected(command)


def _is_protected(command: CommandAPDU) -> bool:
    """Whether it has the class and the data of secure messaging already (7816-4 5.4.1, 10)."""
    cla = command.cla
    if cla & PROPRIETARY:
        in_scp03 = cla & _SM_PROPRIETARY and not cla & _FURTHER
        return bool(in_scp03) and name_of(cla, command.ins) in _IN_SCP03
    is_iso = cla & _SM_FURTHER if cla & _FURTHER else cla & 0x08
    return bool(is_iso) and _has_only_protected_objects(command.data)


def _has_only_protected_objects(data: bytes) -> bool:
    try:
        tags = [each.tag for each in iter_ber(data)]
    except FormatError:
        return False
    return tags[-1:] == [_MAC] and set(tags) <= _SM_OBJECTS
