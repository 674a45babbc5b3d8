"""Find out why an SCP03 session does not open, as far as the protocol allows.

Amendment D has only one answer for every wrong cryptogram. More is found out from the key version
and the diversification data in the card's answer, and from the key information, which everybody can
read (GET DATA 00E0, GPC 2.3.1 11.3.3.1 and H.4).
"""

from dataclasses import dataclass
from enum import StrEnum

from ..apdu import CommandAPDU, Transmit
from ..errors import CardError, ChannelError
from ..exchange import send
from ..keys import HasKeyVersion
from ..tlv import find_ber, iter_ber

KEY_INFORMATION = CommandAPDU(0x80, 0xCA, 0x00, 0xE0, le=256)
CARD_DATA = CommandAPDU(0x80, 0xCA, 0x00, 0x66, le=256)
_AES = 0x88
_DES = (0x80, 0x81, 0x82)
_SCP03_OID = bytes.fromhex("2A864886FC6B0403")


class Cause(StrEnum):
    """What is wrong. DIVERSIFICATION, KEY_TYPE and KEY all mean a wrong card cryptogram."""

    NO_KEY_SET = "the card has no such key set"
    KEY_VERSION = "the card uses another key version"
    PROTOCOL = "the card does not use SCP03 with these keys"
    CHALLENGE_LENGTH = "the card needs challenges of another length"
    LEVEL = "the card does not support this security level"
    DIVERSIFICATION = "the keys were derived for another chip"
    KEY_TYPE = "the card's keys are of another type"
    KEY = "wrong keys"
    HOST_REFUSED = "the card refused the host's cryptogram"
    BLOCKED = "the key set has no tries left"
    REFUSED = "the card refused"


class Scp03Failure(ChannelError):
    """A session did not open. `cause` says why, `detail` what was tried and what was found."""

    def __init__(self, cause: Cause, detail: str) -> None:
        super().__init__(f"{cause}: {detail}")
        self.cause, self.detail = cause, detail


@dataclass(frozen=True, slots=True)
class KeySetInformation:
    """One key set as the card describes it: version, key type (88 is AES), bytes of each key."""

    version: int
    type: int
    length: int

    @property
    def kind(self) -> str:
        """The cipher and key length in words."""
        if self.type == _AES:
            return f"AES-{8 * self.length}"
        return "3DES" if self.type in _DES else f"type {self.type:02X} of {self.length} bytes"

    def __str__(self) -> str:
        return f"{self.version:02X} ({self.kind})"


def key_sets(template: bytes) -> list[KeySetInformation]:
    """Decode the key sets in the answer to GET DATA 00E0, in its order.

    Each key is C0 { identifier, version, type, length }; the first key of a set counts. Raises
    CardError when the answer has no key information.
    """
    information = find_ber(template, 0xE0)
    if information is None:
        raise CardError("GET DATA 00E0: the answer has no key information template")
    found: dict[int, KeySetInformation] = {}
    for entry in iter_ber(information):
        if entry.tag == 0xC0 and len(entry.value) >= 4:
            version, kind, length = entry.value[1:4]
            found.setdefault(version, KeySetInformation(version, kind, length))
    return list(found.values())


def diagnosed(transmit: Transmit, failure: Scp03Failure, keys: HasKeyVersion) -> Scp03Failure:
    """Add to a failure what the card says about its keys; its cause may become more exact.

    Only plain GET DATA is sent. If the card does not answer it, the failure stays unchanged.
    """
    try:
        if failure.cause is Cause.CHALLENGE_LENGTH:
            return _with_option(failure, send(transmit, CARD_DATA).data)
        if failure.cause in (Cause.NO_KEY_SET, Cause.KEY_VERSION, Cause.PROTOCOL, Cause.KEY):
            return _with_sets(failure, keys, key_sets(send(transmit, KEY_INFORMATION).data))
    except CardError:
        return failure
    return failure


def _with_option(failure: Scp03Failure, card_data: bytes) -> Scp03Failure:
    place = card_data.find(_SCP03_OID)
    option = card_data[place + len(_SCP03_OID) :][:1] if place >= 0 else b""
    if not option:
        return failure
    mode = "S16, 16" if option[0] & 1 else "S8, 8"
    detail = f"{failure.detail}; the card's data say i={option.hex().upper()}: {mode} bytes"
    return Scp03Failure(failure.cause, detail)


def _with_sets(
    failure: Scp03Failure, keys: HasKeyVersion, found: list[KeySetInformation]
) -> Scp03Failure:
    detail = f"{failure.detail}; the card has key sets {', '.join(map(str, found)) or 'none'}"
    tried = next((each for each in found if each.version == keys.key_version), None)
    other_type = tried and (tried.type, tried.length) != (_AES, keys.key_length)
    cause = Cause.KEY_TYPE if failure.cause is Cause.KEY and other_type else failure.cause
    return Scp03Failure(cause, detail)
