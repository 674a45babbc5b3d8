"""Find out whether commands of more than 255 bytes reach the card (extended length).

The card's ATR announces extended length; the reader, its driver or T=0 may be unable to carry it.
That is decided before a session: a protected command that got lost is never sent again.
"""

from typing import NamedTuple, Protocol, runtime_checkable

from ..apdu import CommandAPDU, Transmit
from ..errors import TransportError
from ..exchange import Connection
from ..status import StatusWord
from .atr import capabilities

_FEATURES_ENTRY = 6
_GET_TLV_PROPERTIES = 0x12
_MAX_APDU_DATA_SIZE = 0x0A
_WHOLE = 65536

PROBE = CommandAPDU(0x00, 0xA4, 0x08, 0x0C, b"\xff" * 256)
"""SELECT of a path that no card has. It has no personal data and changes nothing.

A card that receives it whole answers 6A82; one that receives its beginning answers another word.
"""


@runtime_checkable
class KnowsItsReader(Protocol):
    """A connection that can say whether its reader carries extended length; None: not known."""

    @property
    def extended_length(self) -> bool | None: ...


class Forms(NamedTuple):
    """Which command forms may be used beside short ones; `extended` is None if `carries` tells."""

    chaining: bool
    extended: bool | None


def forms(connection: Connection, *, short_only: bool = False) -> Forms:
    """Return the command forms that card and reader have; `short_only` rules extended length out.

    Nothing is sent to the card. Raises FormatError when the ATR is damaged.
    """
    chaining, announced = capabilities(connection.atr)
    if not announced or short_only:
        return Forms(chaining, False)
    known = connection.extended_length if isinstance(connection, KnowsItsReader) else None
    return Forms(chaining, known)


def carries(transmit: Transmit) -> bool:
    """Send a harmless command of 256 bytes in clear; return whether the card received it whole.

    A session that is open on the card would end. A lost answer counts as no: then short commands
    are used, which is slower and always right.
    """
    try:
        return transmit(bytes(PROBE)) == StatusWord.FILE_NOT_FOUND.to_bytes(2, "big")
    except TransportError:
        return False


def control_code(features: bytes) -> int | None:
    """Find the control code for a reader's properties in its list of features.

    The list has 6 bytes for each feature: tag ‖ 04 ‖ code, big-endian (PC/SC part 10,
    GET_FEATURE_REQUEST). None if the reader has no properties.
    """
    for start in range(0, len(features) - _FEATURES_ENTRY + 1, _FEATURES_ENTRY):
        if features[start] == _GET_TLV_PROPERTIES:
            return int.from_bytes(features[start + 2 : start + _FEATURES_ENTRY], "big")
    return None


def in_properties(properties: bytes) -> bool | None:
    """Return whether a reader's properties promise extended length; None if they don't say.

    They are tag ‖ length ‖ value; dwMaxAPDUDataSize (0A) has 4 bytes, little-endian: 10000 (hex)
    for all of it, 0 for none (PC/SC part 10, GET_TLV_PROPERTIES). A limit between counts as none.
    """
    while len(properties) >= 2:
        tag, value = properties[0], properties[2 : 2 + properties[1]]
        if tag == _MAX_APDU_DATA_SIZE and len(value) == properties[1]:
            return int.from_bytes(value, "little") >= _WHOLE
        properties = properties[2 + properties[1] :]
    return None
