"""The access rule of every file, enforced: who may, and what would satisfy the rule if not."""

from collections.abc import Iterable

from ...apdu import CommandAPDU
from ...layout import KeySpec, Structure
from ...status import StatusWord
from ..chip.refusal import Refusal
from ..filesystem.tree import DDF1, MF, PROFILE, Directory, ElementaryFile, Node, Rule
from ..profile.card_state import LifeCycle
from ..sessions.context import Card
from ..sessions.logical_channel import LogicalChannel
from ..sessions.v1 import unprotect

ACTIVATED = 0x05
DEACTIVATED = 0x04
TERMINATED = 0x0C
"""Life cycle status bytes of files (ISO/IEC 7816-4:2020 table 14)."""
_UPDATE_RECORD, _UPDATE_BINARY, _PREVIOUS = 0xDC, 0xD6, 0x03
_MARKS = (0xD2, 0x0C)
_MESSAGING, _PROPRIETARY_MESSAGING = 0x0C, 0x84

# A member of an enumeration takes longer to look up than a record to be read.
_TRANSPARENT = Structure.TRANSPARENT


def permit(rule: Rule, channel: LogicalChannel) -> None:
    """Refuse with 6985 where the rule says never, with 6982 where a right or the PIN is missing."""
    if rule.never:
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, "no key allows this on this file")
    if rule.rights & ~channel.rights:
        assert rule.key is not None
        raise Refusal(StatusWord.SECURITY_STATUS_NOT_SATISFIED, f"needs {rule.key.name}")
    if rule.pin and not channel.pin_verified:
        raise Refusal(StatusWord.SECURITY_STATUS_NOT_SATISFIED, "needs the PIN: holder present")


def record_file(card: Card, channel: LogicalChannel) -> ElementaryFile:
    """The selected EF, if commands work on it; it must hold records."""
    file = channel.file
    if file is None or file in card.unusable:
        raise _not_usable(card, file)
    if file.structure is _TRANSPARENT:
        raise Refusal(StatusWord.INCOMPATIBLE_FILE_STRUCTURE, f"{file.path} holds no records")
    return file


def binary_file(card: Card, channel: LogicalChannel) -> ElementaryFile:
    """The selected EF, if commands work on it; it must be transparent."""
    file = channel.file
    if file is None or file in card.unusable:
        raise _not_usable(card, file)
    if file.structure is not _TRANSPARENT:
        raise Refusal(StatusWord.INCOMPATIBLE_FILE_STRUCTURE, f"{file.path} holds records")
    return file


def _not_usable(card: Card, file: ElementaryFile | None) -> Refusal:
    if file is None:
        return Refusal(StatusWord.NO_CURRENT_EF, "select an EF first")
    if file.parent in card.unusable:
        why = f"{file.parent.path} is blocked or not activated"
    else:
        why = f"{file.path} is not activated"
    return Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, why)


def unusable_nodes(card: Card) -> frozenset[Node]:
    """The files that are blocked, deactivated or terminated, and all that lies in such DFs."""
    nodes = list(PROFILE.values()) if card.state.is_personalized else []
    for children in card.created.values():
        nodes += children.values()
    blocked = card.state.blocked_directories
    closed = {
        node
        for node in nodes
        if (node is not MF and card.memory.byte(node.state_address) != ACTIVATED)
        or (isinstance(node, Directory) and node.block_bit & blocked)
    }
    if not closed:
        return frozenset()
    return frozenset(node for node in nodes if not closed.isdisjoint(_with_ancestors(node)))


def _with_ancestors(node: Node) -> Iterable[Node]:
    return (node, *node.parent.ancestors()) if node.parent else (node,)


def authorised_data(card: Card, channel: LogicalChannel, command: CommandAPDU, rule: Rule) -> bytes:
    """The plain data of a changing command, once the rule and secure messaging are satisfied.

    Changes need an ACTIVE card, the rule's right, and the MAC of the directory's STK
    (card specification, sections 4 and 7).
    """
    assert channel.file is not None
    if rule.never:
        permit(rule, channel)
    if card.state.life_cycle != LifeCycle.ACTIVE:
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, "the card is not activated")
    permit(rule, channel)
    key = channel.file.parent.secure_messaging_key
    if key is None or not rule.rights or (card.options.clear_updates and _is_field_code(command)):
        return command.data
    return current_messaging_data(card, channel, command, key)


def _is_field_code(command: CommandAPDU) -> bool:
    """An append, a binary update or a mark in clear, as field code sends it."""
    if command.ins in _MARKS:
        return command.cla & _PROPRIETARY_MESSAGING == _PROPRIETARY_MESSAGING and not command.data
    if command.cla & _MESSAGING:
        return False
    is_append = command.ins == _UPDATE_RECORD and (command.p1, command.p2) == (0, _PREVIOUS)
    return is_append or command.ins == _UPDATE_BINARY


def current_messaging_data(
    card: Card, channel: LogicalChannel, command: CommandAPDU, key: KeySpec
) -> bytes:
    """The plain data of a command that secure messaging must protect, under that key."""
    if channel.v2:
        return command.data
    if not command.cla & 0x0C:
        why = f"needs secure messaging under {key.name}"
        raise Refusal(StatusWord.SECURITY_STATUS_NOT_SATISFIED, why)
    return unprotect(card, channel, command, key)


def enter(channel: LogicalChannel, directory: Directory) -> None:
    """Make a DF current: no EF is, and the rights of DFs that are not above it are gone."""
    channel.rights &= directory.kept_rights
    channel.directory = directory
    channel.file = None
    channel.record_pointer = 0
    if DDF1.kept_rights & ~directory.kept_rights:  # it is not in DDF1, the PIN's directory
        channel.pin_verified = False
