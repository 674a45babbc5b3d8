"""CREATE, DELETE, ACTIVATE, DEACTIVATE and TERMINATE (ISO/IEC 7816-4:2020 11.9, 7816-9).

All of them need the issuer's SCP03 session with C-ENC (card specification 7).
"""

from ...apdu import CommandAPDU
from ...errors import FormatError
from ...facts import HEALTH_APPLICATION, SECURITY_DOMAIN
from ...status import OK, StatusWord
from ...tlv import read_ber
from ..chip.refusal import Refusal
from ..filesystem import created_files
from ..filesystem.tree import MF, Directory, ElementaryFile
from ..profile.card_state import DYNAMIC_AREA, LifeCycle
from ..sessions.card_interface import Card
from ..sessions.issuer_session import issuer_session
from ..sessions.logical_channel import LogicalChannel
from .access import ACTIVATED, DEACTIVATED, TERMINATED, enter

_FCP = 0x62


def create_file(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Create a file in the current DF from its FCP (62), and select it."""
    issuer_session(channel)
    if command.p1 or command.p2:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P1 and P2 must be 00")
    fcp = _template(command.data)
    parent = channel.directory
    try:
        parameters = created_files.parse(fcp)
        created_files.build(parameters, parent, 0, 0)
    except FormatError as error:
        raise Refusal(StatusWord.INCORRECT_DATA, str(error)) from None
    blank = card.state.life_cycle == LifeCycle.BLANK
    if parameters.fid in parent.children or (blank and parameters.name == HEALTH_APPLICATION):
        raise Refusal(StatusWord.FILE_ALREADY_EXISTS, "STORE DATA creates the files of the profile")
    if card.child(parent, parameters.fid) or parameters.fid == parent.fid:
        raise Refusal(StatusWord.FILE_ALREADY_EXISTS, f"{parameters.fid:04X} exists already")
    name = parameters.name
    if name and (name == SECURITY_DOMAIN or card.application(name)):
        raise Refusal(StatusWord.DF_NAME_ALREADY_EXISTS)
    entry = created_files.store(card.memory, parent, fcp, ACTIVATED)
    if entry is None:
        raise Refusal(StatusWord.NOT_ENOUGH_MEMORY)
    card.memory.commit()
    card.refresh()
    node = card.child(parent, parameters.fid)
    if isinstance(node, Directory):
        enter(channel, node)
    else:
        channel.file = node
    return OK


def _template(data: bytes) -> bytes:
    try:
        tlv, end = read_ber(data)
    except FormatError as error:
        raise Refusal(StatusWord.INCORRECT_DATA, str(error)) from None
    if tlv.tag != _FCP or end != len(data) or len(tlv.value) > created_files.MAX_FCP:
        raise Refusal(StatusWord.INCORRECT_DATA, "needs one FCP template (62)")
    return tlv.value


def _target(
    card: Card, channel: LogicalChannel, command: CommandAPDU
) -> Directory | ElementaryFile:
    """Return the file that a command names by identifier in the current DF, or the current one."""
    issuer_session(channel)
    if command.p1 or command.p2:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P1 and P2 must be 00")
    if not command.data:
        return channel.file or channel.directory
    if len(command.data) != 2:
        raise Refusal(StatusWord.INCORRECT_DATA, "a file identifier has 2 bytes")
    fid = int.from_bytes(command.data, "big")
    node = card.child(channel.directory, fid)
    if node is None and fid == channel.directory.fid:
        node = channel.directory
    if node is None:
        raise Refusal(StatusWord.FILE_NOT_FOUND, f"no {fid:04X} in {channel.directory.path}")
    return node


def delete_file(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Delete a created file, or a DF with everything in it. Files of the profile are refused."""
    node = _target(card, channel, command)
    if node.state_address < DYNAMIC_AREA:
        why = "the files of the profile cannot be deleted"
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, why)
    assert node.parent is not None
    _delete_whole(card, node)
    card.memory.commit()
    card.refresh()
    card.forget(node)
    return OK


def _delete_whole(card: Card, node: Directory | ElementaryFile) -> None:
    """Delete a node and all below it. Directories may be nested deeper than calls may be."""
    whole = [node]
    for each in whole:
        if isinstance(each, Directory):
            whole.extend(card.created.get(each, {}).values())
    for each in reversed(whole):
        created_files.delete(card.memory, each)


def _set_state(card: Card, node: Directory | ElementaryFile, state: int) -> bytes:
    if card.memory.byte(node.state_address) == TERMINATED:
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, f"{node.path} is terminated")
    card.memory.write(node.state_address, bytes((state,)))
    card.refresh()
    return OK


def activate_file(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Make a deactivated file usable again."""
    return _set_state(card, _target(card, channel, command), ACTIVATED)


def deactivate_file(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Make a file unusable until it is activated. The MF is refused."""
    node = _target(card, channel, command)
    if node is MF:
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, "the MF cannot be deactivated")
    return _set_state(card, node, DEACTIVATED)


def terminate_ef(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Make an EF unusable. It cannot be undone."""
    node = _target(card, channel, command)
    if not isinstance(node, ElementaryFile):
        raise Refusal(StatusWord.NO_CURRENT_EF, f"{node.path} is not an EF")
    return _set_state(card, node, TERMINATED)


def terminate_df(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Make a DF and everything in it unusable. It cannot be undone. The MF is refused."""
    node = _target(card, channel, command)
    if not isinstance(node, Directory) or node is MF:
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, f"{node.path} is not a DF below the MF")
    return _set_state(card, node, TERMINATED)


def terminate_card_usage(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Terminate the card: from then on it answers only reset and GET DATA."""
    issuer_session(channel)
    if command.p1 or command.p2 or command.data:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P1 and P2 must be 00; send no data")
    card.state.life_cycle = LifeCycle.TERMINATED
    return OK
