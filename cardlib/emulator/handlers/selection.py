"""SELECT by identifier, path and DF name (ISO/IEC 7816-4:2020 11.2.2; card specification 1)."""

from ...apdu import CommandAPDU
from ...facts import HEALTH_APPLICATION, MF_ID, SECURITY_DOMAIN
from ...status import OK, StatusWord
from ...tlv import ber
from ..chip.refusal import Refusal, demand_room
from ..filesystem.tree import DDF1, MF, Directory, ElementaryFile, Node
from ..sessions.card_interface import Card
from ..sessions.logical_channel import LogicalChannel
from .access import TERMINATED, enter
from .file_control import FCI, FCP, FMD, template

_DEACTIVATED_FILE, _TERMINATED_FILE = b"\x62\x83", b"\x62\x85"
_BY_NAME = 0x04
_TEMPLATE = {0x00: FCI, 0x04: FCP, 0x08: FMD}
_NOTHING = 0x0C
_NEXT_OCCURRENCE = 0x02


def select(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Select a file; answer the template that P2 asks for, but only if there is an Le."""
    if command.p1 == _BY_NAME:
        return _select_application(card, channel, command)
    tag = _template_tag(command)
    find = _METHODS.get(command.p1)
    if find is None:
        raise Refusal(StatusWord.INCORRECT_P1_P2, f"no selection method {command.p1:02X}")
    node = find(card, channel.directory, command.data)
    answer = template(card, node, tag) if tag else b""
    demand_room(command.le if tag else None, len(answer))
    return answer + _make_current(card, channel, node)


def _template_tag(command: CommandAPDU) -> int:
    """Return the tag of the template that is asked for, or 0."""
    if command.p2 not in _TEMPLATE and command.p2 != _NOTHING:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P2 must be 00, 04, 08 or 0C")
    return 0 if command.p2 == _NOTHING or command.le is None else _TEMPLATE[command.p2]


def _by_identifier(card: Card, current: Directory, data: bytes) -> Node:
    if not data:
        return MF
    fid = _identifier(data)
    return card.child(current, fid) or _near(card, current, fid)


def _child_directory(card: Card, current: Directory, data: bytes) -> Node:
    child = card.child(current, _identifier(data))
    if isinstance(child, Directory):
        return child
    raise Refusal(StatusWord.FILE_NOT_FOUND, f"no DF {data.hex().upper()} in {current.path}")


def _child_file(card: Card, current: Directory, data: bytes) -> Node:
    child = card.child(current, _identifier(data))
    if isinstance(child, ElementaryFile):
        return child
    raise Refusal(StatusWord.FILE_NOT_FOUND, f"no EF {data.hex().upper()} in {current.path}")


def _parent(_card: Card, current: Directory, data: bytes) -> Node:
    if data:
        raise Refusal(StatusWord.NC_INCONSISTENT_WITH_P1_P2, "send no data to select the parent")
    if current.parent is None:
        raise Refusal(StatusWord.FILE_NOT_FOUND, "the MF has no parent")
    return current.parent


def _identifier(data: bytes) -> int:
    if len(data) != 2:
        raise Refusal(StatusWord.NC_INCONSISTENT_WITH_P1_P2, "a file identifier has 2 bytes")
    return data[0] << 8 | data[1]


def _near(card: Card, current: Directory, fid: int) -> Directory:
    """Find the MF, the current DF itself, its parent, or a sibling DF."""
    if fid == MF_ID:
        return MF
    parent = current.parent
    sibling = card.child(parent, fid) if parent else None
    for node in (current, parent, sibling):
        if isinstance(node, Directory) and node.fid == fid:
            return node
    raise Refusal(StatusWord.FILE_NOT_FOUND, f"no {fid:04X} in or next to {current.path}")


def _from_mf(card: Card, _current: Directory, path: bytes) -> Node:
    return _by_path(card, MF, path)


def _by_path(card: Card, start: Directory, path: bytes) -> Node:
    if not path or len(path) % 2:
        raise Refusal(StatusWord.NC_INCONSISTENT_WITH_P1_P2, "a path needs 2 bytes for each file")
    node: Node = start
    for index in range(0, len(path), 2):
        fid = int.from_bytes(path[index : index + 2], "big")
        child = card.child(node, fid) if isinstance(node, Directory) else None
        if child is None:
            raise Refusal(StatusWord.FILE_NOT_FOUND, f"no file {path.hex().upper()}")
        node = child
    return node


_METHODS = {
    0x00: _by_identifier,
    0x01: _child_directory,
    0x02: _child_file,
    0x03: _parent,
    0x08: _from_mf,
    0x09: _by_path,
}
"""The selection methods by P1, except by name (ISO/IEC 7816-4 table 62)."""


def _make_current(card: Card, channel: LogicalChannel, node: Node) -> bytes:
    if isinstance(node, Directory):
        enter(channel, node)
    else:
        if node.parent is not channel.directory:
            enter(channel, node.parent)
        channel.file = node
        channel.record_pointer = 0
    channel.security_domain_selected = False
    if node not in card.unusable:
        return OK
    terminated = card.memory.byte(node.state_address) == TERMINATED
    return _TERMINATED_FILE if terminated else _DEACTIVATED_FILE


def _select_application(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    if command.p2 == _NEXT_OCCURRENCE:
        raise Refusal(StatusWord.FILE_NOT_FOUND, "no other application has this AID")
    tag = _template_tag(command)
    is_domain = command.data in (b"", SECURITY_DOMAIN)
    node = MF if is_domain else card.application(command.data)
    if node is None:
        channel.scp03 = channel.load = None
        raise Refusal(StatusWord.FILE_NOT_FOUND, "no application has this AID")
    answer = _application_template(card, node, tag, is_domain) if tag else b""
    demand_room(command.le if tag else None, len(answer))
    channel.scp03 = channel.load = None
    if is_domain:
        enter(channel, MF)
        channel.rights = 0
        channel.session_ends = channel.v2 is not None
        channel.security_domain_selected = True
        return answer + OK
    if _application_of(node) is not _application_of(channel.directory):
        channel.session_ends = channel.v2 is not None
    return answer + _make_current(card, channel, node)


def _application_of(directory: Directory) -> Directory:
    """Return the application of a directory: a created one, else the health application."""
    created = (node for node in directory.ancestors() if node.aid and node is not DDF1)
    return next(created, DDF1)


def _application_template(card: Card, node: Directory, tag: int, is_domain: bool) -> bytes:
    if is_domain:
        return security_domain_template(tag)
    if node is MF:  # the applet of a blank card
        return ber(tag, ber(0x84, HEALTH_APPLICATION))
    return template(card, node, tag)


def security_domain_template(tag: int) -> bytes:
    """Encode the FCI or FCP of the issuer security domain (GPC 2.3.1 table 11-84)."""
    body = ber(0x84, SECURITY_DOMAIN)
    return ber(tag, body + ber(0xA5, ber(0x9F65, b"\xff")) if tag == FCI else body)
