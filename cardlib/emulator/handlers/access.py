"""Enforce the access rules of files; a refusal says what the rule needs."""

from collections.abc import Iterable

from ...apdu import CommandAPDU
from ...layout import KEY_BY_NAME, KeySpec, Structure
from ...status import StatusWord
from ..chip.refusal import Refusal
from ..filesystem.tree import DDF1, KEY_BIT, MF, PROFILE, Directory, ElementaryFile, Node, Rule
from ..profile.card_state import LifeCycle
from ..sessions.card_interface import Card
from ..sessions.logical_channel import LogicalChannel
from ..sessions.v1 import unprotect

ACTIVATED = 0x05
DEACTIVATED = 0x04
TERMINATED = 0x0C
"""Life cycle status bytes of files (ISO/IEC 7816-4:2020 table 14)."""
_UPDATE_RECORD, _UPDATE_BINARY, _PREVIOUS = 0xDC, 0xD6, 0x03
_MARKS = (0xD2, 0x0C)
_MESSAGING, _PROPRIETARY_MESSAGING = 0x0C, 0x84

_ISSUER_FILES = ("DDF1/EF05", "DDF1/EF06")
_UK_DDF1 = Rule(KEY_BIT["UK1_DDF1"], key=KEY_BY_NAME["UK1_DDF1"])

# Looking up an enumeration member takes longer than reading a record.
_TRANSPARENT = Structure.TRANSPARENT


def permit(rule: Rule, channel: LogicalChannel) -> None:
    """Refuse with 6985 if the rule says never, with 6982 if a right or the PIN is missing."""
    if rule.never:
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, "no key allows this on this file")
    if rule.rights & ~channel.rights:
        assert rule.key is not None
        raise Refusal(StatusWord.SECURITY_STATUS_NOT_SATISFIED, f"needs {rule.key.name}")
    if rule.pin and not channel.pin_verified:
        raise Refusal(StatusWord.SECURITY_STATUS_NOT_SATISFIED, "needs the holder's PIN")


def update_rule(card: Card, file: ElementaryFile) -> Rule:
    """Return the rule for UPDATE and WRITE; `issuer_files` says it of the issuer's two files."""
    if file.path in _ISSUER_FILES and card.options.issuer_files == "UK_DDF1":
        return _UK_DDF1
    return file.update


def has_name(card: Card, node: Directory) -> bool:
    """Whether a DF is selected by its name: not DDF1 of a card that has only file identifiers."""
    return bool(node.aid) and (node is not DDF1 or card.options.selection == "name and path")


def record_file(card: Card, channel: LogicalChannel) -> ElementaryFile:
    """Return the selected EF; refuse if it is missing, not usable, or has no records."""
    file = channel.file
    if file is None or file in card.unusable:
        raise _not_usable(card, file)
    if file.structure is _TRANSPARENT:
        raise Refusal(StatusWord.INCOMPATIBLE_FILE_STRUCTURE, f"{file.path} has no records")
    return file


def binary_file(card: Card, channel: LogicalChannel) -> ElementaryFile:
    """Return the selected EF; refuse if it is missing, not usable, or not transparent."""
    file = channel.file
    if file is None or file in card.unusable:
        raise _not_usable(card, file)
    if file.structure is not _TRANSPARENT:
        raise Refusal(StatusWord.INCOMPATIBLE_FILE_STRUCTURE, f"{file.path} has records")
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
    """Return the files that are blocked, deactivated or terminated, or are in such a DF."""
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
    """Check the rule and secure messaging of a command that changes a file; return its plain data.

    A change needs an ACTIVE card, the rule's right, and the MAC of the directory's STK (card
    specification 4 and 7).
    """
    assert channel.file is not None
    if rule.never:
        permit(rule, channel)
    if card.state.life_cycle != LifeCycle.ACTIVE:
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, "the card is not activated")
    permit(rule, channel)
    key = channel.file.parent.secure_messaging_key
    if (
        key is None
        or not rule.rights
        or (card.options.clear_updates and _is_field_code(channel.file, command))
    ):
        return command.data
    return current_messaging_data(card, channel, command, key)


def _is_field_code(file: ElementaryFile, command: CommandAPDU) -> bool:
    """Whether it is an append, a binary update or a mark in clear, as field code sends it."""
    if command.ins in _MARKS:
        bare = not command.data and file.is_index
        return bare and command.cla & _PROPRIETARY_MESSAGING == _PROPRIETARY_MESSAGING
    if command.cla & _MESSAGING:
        return False
    is_append = command.ins == _UPDATE_RECORD and (command.p1, command.p2) == (0, _PREVIOUS)
    return is_append or command.ins == _UPDATE_BINARY


def current_messaging_data(
    card: Card, channel: LogicalChannel, command: CommandAPDU, key: KeySpec
) -> bytes:
    """Check the secure messaging of a command under this key; return its plain data."""
    if channel.v2:
        return command.data
    if not command.cla & 0x0C:
        why = f"needs secure messaging under {key.name}"
        raise Refusal(StatusWord.SECURITY_STATUS_NOT_SATISFIED, why)
    return unprotect(card, channel, command, key)


def enter(channel: LogicalChannel, directory: Directory) -> None:
    """Make a DF current: no EF is selected, and only its own and its ancestors' rights remain."""
    channel.rights &= directory.kept_rights
    channel.directory = directory
    channel.file = None
    channel.record_pointer = 0
    if DDF1.kept_rights & ~directory.kept_rights:  # outside DDF1, where the PIN is valid
        channel.pin_verified = False
