"""GET DATA and GET STATUS of the security domain (GPC 2.3.1 11.3, 11.4, H)."""

from ...apdu import CommandAPDU
from ...commands import PROPRIETARY
from ...errors import FormatError
from ...facts import HEALTH_APPLICATION, SECURITY_DOMAIN, TRANSPORT_KEY_VERSION
from ...status import OK, StatusWord
from ...tlv import Tlv, ber, concatenate, iter_ber
from ..chip.refusal import Refusal
from ..profile.card_state import LifeCycle
from ..sessions.card_interface import Card
from ..sessions.issuer_session import open_session
from ..sessions.logical_channel import LogicalChannel

_GLOBALPLATFORM = bytes.fromhex("2A864886FC6B")
"""The object identifier 1.2.840.114283, without its tag."""
_AES_KEY = 0x88
_SM_BITS = 0x0C
_SECURITY_DOMAINS, _APPLICATIONS, _LOAD_FILES, _MODULES = 0x80, 0x40, 0x20, 0x10
_TAGGED, _UNTAGGED = 0x02, 0x00
_SEARCH_AID, _TAG_LIST = 0x4F, 0x5C
_AID, _STATE, _PRIVILEGES = 0x4F, 0x9F70, 0xC5
_DOMAIN_PRIVILEGES, _APPLET_PRIVILEGES = bytes.fromhex("980400"), bytes.fromhex("040000")
_DOMAIN_STATES = {
    LifeCycle.BLANK: 0x07,
    LifeCycle.PERSONALIZED: 0x0F,
    LifeCycle.ACTIVE: 0x0F,
    LifeCycle.BLOCKED: 0x7F,
    LifeCycle.TERMINATED: 0xFF,
}
_OP_READY = 0x01
_APPLET_STATES = {
    LifeCycle.BLANK: 0x07,
    LifeCycle.PERSONALIZED: 0x0F,
    LifeCycle.ACTIVE: 0x1F,
    LifeCycle.BLOCKED: 0x9F,
    LifeCycle.TERMINATED: 0x87,
}
"""SELECTABLE is 07; bits 4 and 5 are our own; bit 8 is locked (GPC 2.3.1 11.1.1 table 11-4)."""


def get_data(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Answer the data object with tag P1 P2, 6A88 if there is none.

    Class 00 answers only the value, class 80 the whole object (card specification 6). The objects
    are 0045 card image number, 0066 card data, 00C1 sequence counter, 00E0 key information
    template, 9F7F CPLC (GPC 2.3.1 11.3.3.1, H.2).
    """
    if command.cla & _SM_BITS:
        raise Refusal(StatusWord.SECURE_MESSAGING_NOT_SUPPORTED, "no session is open")
    if command.data:
        raise Refusal(StatusWord.WRONG_LENGTH, "send no data")
    tag = command.p1 << 8 | command.p2
    reader = DATA_OBJECTS.get(tag)
    if reader is None:
        raise Refusal(StatusWord.REFERENCED_DATA_NOT_FOUND, f"no data object {tag:04X}")
    return answered(command, tag, reader(card)) + OK


def answered(command: CommandAPDU, tag: int, value: bytes) -> bytes:
    """Return the whole object in class 80, else only its value."""
    return ber(tag, value) if command.cla & PROPRIETARY else value


def _card_data(card: Card) -> bytes:
    """Encode the card recognition data: the standards that it follows (GPC 2.3.1 H.2, H.3)."""
    # No tag 63: it would say that 42 and 45 identify issuer and card, but there is no 42.
    oids = ((0x60, b"\x02\x02\x03\x01"), (0x64, bytes((4, 3, card.options.scp03_i))))
    parts = [(0x06, _GLOBALPLATFORM + b"\x01")]
    parts += [(tag, ber(0x06, _GLOBALPLATFORM + tail)) for tag, tail in oids]
    return ber(0x73, concatenate(parts))


def _key_information(card: Card) -> bytes:
    """Encode C0 { identifier, version, 88 (AES), length } for each key of each set."""
    return concatenate(
        (0xC0, bytes((identifier, keys.version, _AES_KEY, len(keys.enc))))
        for keys in card.state.key_sets.values()
        for identifier in (1, 2, 3)
    )


def _production_life_cycle(card: Card) -> bytes:
    """Encode the CPLC, 42 bytes; the chip serial is at offset 12 (card specification 6)."""
    return bytes(12) + card.chip + bytes(22)


DATA_OBJECTS = {
    0x0045: lambda card: card.chip,
    0x0066: _card_data,
    0x00C1: lambda card: card.state.sequence_counter.to_bytes(3, "big"),
    0x00E0: _key_information,
    0x9F7F: _production_life_cycle,
}


def get_status(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Answer registry entries: the security domain (P1 80) or applications (P1 40).

    P1 20 and 10 find nothing (6A88). The data are 4F with the beginning of an AID and, optionally,
    5C with the tags wanted. P2 02 answers E3 templates of 4F, 9F70, C5; P2 00 the older form, AID,
    state and privileges without tags.
    """
    open_session(channel)
    if command.p1 not in (_SECURITY_DOMAINS, _APPLICATIONS, _LOAD_FILES, _MODULES):
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P1 must be 80, 40, 20 or 10")
    if command.p2 not in (_TAGGED, _UNTAGGED):
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P2 must be 02, or 00 for the older form")
    prefix, tags = _search_criteria(command.data)
    found = [entry for entry in _entries(card, command.p1) if entry[0].startswith(prefix)]
    if not found:
        raise Refusal(StatusWord.REFERENCED_DATA_NOT_FOUND, "nothing matches")
    return b"".join(_entry(command.p2, tags, *entry) for entry in found) + OK


def _search_criteria(data: bytes) -> tuple[bytes, bytes]:
    try:
        objects = list(iter_ber(data)) or [Tlv(_SEARCH_AID, b"")]
    except FormatError as error:
        raise Refusal(StatusWord.INCORRECT_DATA, str(error)) from None
    tags = [item.tag for item in objects]
    if tags not in ([_SEARCH_AID], [_SEARCH_AID, _TAG_LIST]):
        raise Refusal(StatusWord.INCORRECT_DATA, "needs 4F and, optionally, 5C")
    return objects[0].value, objects[1].value if len(objects) > 1 else b""


def _entries(card: Card, p1: int) -> list[tuple[bytes, int, bytes]]:
    """Return AID, life cycle state and privileges of each entry that P1 asks for."""
    life_cycle = LifeCycle(card.state.life_cycle)
    if p1 == _SECURITY_DOMAINS:
        state = _DOMAIN_STATES[life_cycle]
        if life_cycle == LifeCycle.BLANK and TRANSPORT_KEY_VERSION in card.state.key_sets:
            state = _OP_READY
        return [(SECURITY_DOMAIN, state, _DOMAIN_PRIVILEGES)]
    if p1 == _APPLICATIONS:
        return [(HEALTH_APPLICATION, _APPLET_STATES[life_cycle], _APPLET_PRIVILEGES)]
    return []


def _entry(form: int, tags: bytes, aid: bytes, state: int, privileges: bytes) -> bytes:
    if form == _UNTAGGED:
        return bytes((len(aid),)) + aid + bytes((state,)) + privileges[:1]
    objects = [(_AID, aid), (_STATE, bytes((state,))), (_PRIVILEGES, privileges)]
    wanted = _tag_list(tags)
    return ber(0xE3, concatenate(item for item in objects if not wanted or item[0] in wanted))


def _tag_list(tags: bytes) -> set[int]:
    found, offset = set(), 0
    while offset < len(tags):
        size = 2 if tags[offset] & 0x1F == 0x1F else 1
        found.add(int.from_bytes(tags[offset : offset + size], "big"))
        offset += size
    return found
