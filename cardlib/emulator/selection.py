"""SELECT by file identifier, path and DF name (ISO/IEC 7816-4:2020 11.2.2)."""

from typing import TYPE_CHECKING

from ..apdu import CommandAPDU
from ..status import StatusWord
from ..tlv import ber
from .access import ACTIVATED, TERMINATED, enter
from .control import FCI, FCP, FMD, template
from .refusal import Refusal
from .session import LogicalChannel
from .state import LifeCycle
from .tree import DDF1_AID, MF, MF_ID, SECURITY_DOMAIN_AID, Directory, ElementaryFile

if TYPE_CHECKING:
    from .card import SoftwareCard

OK = b"\x90\x00"
_DEACTIVATED_FILE, _TERMINATED_FILE = b"\x62\x83", b"\x62\x85"
_BY_FID, _CHILD_DF, _CHILD_EF, _PARENT, _BY_NAME, _FROM_MF, _FROM_CURRENT = 0, 1, 2, 3, 4, 8, 9
_TEMPLATE = {0x00: FCI, 0x04: FCP, 0x08: FMD}
_NOTHING = 0x0C


def select(card: "SoftwareCard", channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Select; what P2 asks for comes back only if there is an Le."""
    if command.p2 not in _TEMPLATE and command.p2 != _NOTHING:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P2 is 00, 04, 08 or 0C")
    if command.p1 == _BY_NAME:
        return _select_application(card, channel, command)
    node = _find(card, channel, command)
    answer = _make_current(card, channel, node)
    if command.p2 == _NOTHING or command.le is None:
        return answer
    return template(card, node, _TEMPLATE[command.p2]) + answer


def _find(
    card: "SoftwareCard", channel: LogicalChannel, command: CommandAPDU
) -> Directory | ElementaryFile:
    p1, data = command.p1, command.data
    if p1 == _PARENT:
        if data:
            raise Refusal(StatusWord.NC_INCONSISTENT_WITH_P1_P2, "the parent takes no data")
        return _found(channel.directory.parent)
    if p1 in (_FROM_MF, _FROM_CURRENT):
        return _by_path(card, MF if p1 == _FROM_MF else channel.directory, data)
    if p1 not in (_BY_FID, _CHILD_DF, _CHILD_EF):
        raise Refusal(StatusWord.INCORRECT_P1_P2, f"no selection method {p1:02X}")
    if not data and p1 == _BY_FID:
        return MF
    if len(data) != 2:
        raise Refusal(StatusWord.NC_INCONSISTENT_WITH_P1_P2, "a file identifier has 2 bytes")
    fid = data[0] << 8 | data[1]
    child = card.child(channel.directory, fid)
    if p1 == _BY_FID:
        return child or _near(card, channel.directory, fid)
    if isinstance(child, Directory) == (p1 == _CHILD_DF):
        return _found(child)
    raise Refusal(StatusWord.FILE_NOT_FOUND, f"{fid:04X} is not of that type")


def _found(node: Directory | ElementaryFile | None) -> Directory | ElementaryFile:
    if node is None:
        raise Refusal(StatusWord.FILE_NOT_FOUND)
    return node


def _near(card: "SoftwareCard", current: Directory, fid: int) -> Directory:
    """The MF, the current DF itself, its parent, or a sibling DF."""
    if fid == MF_ID:
        return MF
    parent = current.parent
    sibling = card.child(parent, fid) if parent else None
    for node in (current, parent, sibling):
        if isinstance(node, Directory) and node.fid == fid:
            return node
    raise Refusal(StatusWord.FILE_NOT_FOUND, f"no {fid:04X} from {current.path}")


def _by_path(card: "SoftwareCard", start: Directory, path: bytes) -> Directory | ElementaryFile:
    if not path or len(path) % 2:
        raise Refusal(StatusWord.NC_INCONSISTENT_WITH_P1_P2, "a path is pairs of bytes")
    node: Directory | ElementaryFile | None = start
    for index in range(0, len(path), 2):
        fid = int.from_bytes(path[index : index + 2], "big")
        node = card.child(node, fid) if isinstance(node, Directory) else None
        if node is None:
            raise Refusal(StatusWord.FILE_NOT_FOUND, f"no {path.hex().upper()}")
    return _found(node)


def _make_current(
    card: "SoftwareCard", channel: LogicalChannel, node: Directory | ElementaryFile
) -> bytes:
    if isinstance(node, Directory):
        enter(channel, node)
        directory = node
    else:
        directory = node.parent
        if directory is not channel.directory:
            enter(channel, directory)
        channel.file = node
        channel.record_pointer = 0
    channel.security_domain_selected = False
    state = card.memory.byte(node.state_address)
    if state == ACTIVATED and directory not in card.closed_directories:
        return OK
    if card.state.life_cycle == LifeCycle.BLANK and node is MF:
        return OK
    return _TERMINATED_FILE if state == TERMINATED else _DEACTIVATED_FILE


def _select_application(
    card: "SoftwareCard", channel: LogicalChannel, command: CommandAPDU
) -> bytes:
    wanted = command.p2 != _NOTHING and command.le is not None
    channel.scp03 = None
    channel.load = None
    if command.data in (b"", SECURITY_DOMAIN_AID):
        enter(channel, MF)
        channel.rights = 0
        channel.session_ends = channel.v2 is not None
        channel.security_domain_selected = True
        return (security_domain_template(_TEMPLATE[command.p2]) if wanted else b"") + OK
    node = card.application(command.data)
    if node is None:
        raise Refusal(StatusWord.FILE_NOT_FOUND, "no application of that AID")
    answer = _make_current(card, channel, node)
    if not wanted:
        return answer
    if node is MF:
        return ber(_TEMPLATE[command.p2], ber(0x84, DDF1_AID)) + answer
    return template(card, node, _TEMPLATE[command.p2]) + answer


def security_domain_template(tag: int) -> bytes:
    """FCI of the issuer security domain (GlobalPlatform Card 2.3.1, table 11-84)."""
    body = ber(0x84, SECURITY_DOMAIN_AID)
    return ber(tag, body + ber(0xA5, ber(0x9F65, b"\xff")) if tag == FCI else body)
