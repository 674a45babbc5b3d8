"""PUT DATA and GET DATA: data objects outside the files (ISO/IEC 7816-4:2020 11.5)."""

from ...apdu import CommandAPDU
from ...status import OK, StatusWord
from ...tlv import ber, iter_ber
from ..chip.memory import Memory
from ..chip.refusal import Refusal
from ..profile.card_state import DATA_OBJECTS, DATA_OBJECTS_SIZE
from ..sessions.card_interface import Card
from ..sessions.issuer_session import issuer_session
from ..sessions.logical_channel import LogicalChannel
from . import registry

_LENGTH = 2
_MAX_VALUE = 255


def objects(memory: Memory) -> dict[int, bytes]:
    """Read the stored data objects by tag. Raises FormatError when they are damaged."""
    length = int.from_bytes(memory.read(DATA_OBJECTS, _LENGTH), "big")
    if length == 0xFFFF:
        return {}
    return {tlv.tag: tlv.value for tlv in iter_ber(memory.read(DATA_OBJECTS + _LENGTH, length))}


def put_data(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Store the data with tag P1 P2, in the issuer's session; empty data removes the object."""
    issuer_session(channel)
    tag = command.p1 << 8 | command.p2
    if tag not in _PRIVATE_TAGS or tag in registry.DATA_OBJECTS:
        why = "the tag must be 0040..00FE, 5F1F..5F7F or 7F1F..7F7F, and not the domain's own"
        raise Refusal(StatusWord.INCORRECT_P1_P2, why)
    if len(command.data) > _MAX_VALUE:
        raise Refusal(StatusWord.NOT_ENOUGH_MEMORY, f"a data object has at most {_MAX_VALUE} bytes")
    kept = {key: value for key, value in objects(card.memory).items() if key != tag}
    if command.data:
        kept[tag] = command.data
    raw = b"".join(ber(key, value) for key, value in kept.items())
    if len(raw) > DATA_OBJECTS_SIZE - _LENGTH:
        raise Refusal(StatusWord.NOT_ENOUGH_MEMORY)
    card.memory.write(DATA_OBJECTS, len(raw).to_bytes(_LENGTH, "big") + raw)
    return OK


def get_data(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Answer what PUT DATA stored with tag P1 P2, else the security domain's object.

    Class 00 answers only the value, class 80 the whole object (card specification 6).
    """
    tag = command.p1 << 8 | command.p2
    value = objects(card.memory).get(tag)
    if value is not None and not channel.security_domain_selected:
        return registry.answered(command, tag, value) + OK
    return registry.get_data(card, channel, command)


_PRIVATE_TAGS = frozenset(
    tag
    for tag in (*range(0x40, 0xFF), *range(0x5F1F, 0x5F80), *range(0x7F1F, 0x7F80))
    if tag > 0xFF or tag & 0x1F != 0x1F
)
"""The tags that P1 P2 can hold and that are whole BER tags (ISO/IEC 7816-4 11.5.2)."""
