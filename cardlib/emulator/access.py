"""The access rule of every file, enforced: who may, and what would satisfy the rule if not."""

from typing import TYPE_CHECKING

from ..apdu import CommandAPDU
from ..layout import KeySpec, Structure
from ..status import StatusWord
from .refusal import Refusal
from .secure_messaging_v1 import unprotect
from .session import LogicalChannel
from .state import LifeCycle
from .tree import DDF1, MF, PROFILE, Directory, ElementaryFile, Rule

if TYPE_CHECKING:
    from .card import SoftwareCard

ACTIVATED = 0x05
DEACTIVATED = 0x04
TERMINATED = 0x0C
"""Life cycle status bytes of files (ISO/IEC 7816-4:2020 table 14)."""


def permit(rule: Rule, channel: LogicalChannel) -> None:
    """Refuse with 6985 where the rule says never, with 6982 where a right or the PIN is missing."""
    if rule.never:
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, "no key allows this on this file")
    if rule.rights & ~channel.rights:
        assert rule.key is not None
        raise Refusal(StatusWord.SECURITY_STATUS_NOT_SATISFIED, f"needs {rule.key.name}")
    if rule.pin and not channel.pin_verified:
        raise Refusal(StatusWord.SECURITY_STATUS_NOT_SATISFIED, "needs the PIN: holder present")


def current_file(card: "SoftwareCard", channel: LogicalChannel) -> ElementaryFile:
    """The selected EF, if its state and its directory's let commands work on it."""
    file = channel.file
    if file is None:
        raise Refusal(StatusWord.NO_CURRENT_EF, "select an EF first")
    parent = file.parent
    if card.memory.byte(file.state_address) != ACTIVATED:
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, f"{file.path} is not activated")
    if parent in card.closed_directories:
        why = f"{parent.path} is blocked or not activated"
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, why)
    return file


def closed_directories(card: "SoftwareCard") -> frozenset[Directory]:
    """The DFs that are blocked, deactivated or terminated, and those within them."""
    if card.state.life_cycle == LifeCycle.BLANK and not card.created:
        return frozenset()
    directories = [node for node in PROFILE.values() if isinstance(node, Directory)]
    for children in card.created.values():
        directories += [node for node in children.values() if isinstance(node, Directory)]
    blocked = card.state.blocked_directories
    closed = {
        node
        for node in directories
        if node.block_bit & blocked
        or (node is not MF and card.memory.byte(node.state_address) in (DEACTIVATED, TERMINATED))
    }
    return frozenset(node for node in directories if closed.intersection(node.ancestors()))


def record_file(card: "SoftwareCard", channel: LogicalChannel) -> ElementaryFile:
    """The selected EF, which must hold records."""
    file = current_file(card, channel)
    if file.structure is Structure.TRANSPARENT:
        raise Refusal(StatusWord.INCOMPATIBLE_FILE_STRUCTURE, f"{file.path} holds no records")
    return file


def binary_file(card: "SoftwareCard", channel: LogicalChannel) -> ElementaryFile:
    """The selected EF, which must be transparent."""
    file = current_file(card, channel)
    if file.structure is not Structure.TRANSPARENT:
        raise Refusal(StatusWord.INCOMPATIBLE_FILE_STRUCTURE, f"{file.path} holds records")
    return file


def authorised_data(
    card: "SoftwareCard", channel: LogicalChannel, command: CommandAPDU, rule: Rule
) -> bytes:
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
    if key is None or not rule.rights:
        return command.data
    return current_messaging_data(card, channel, command, key)


def current_messaging_data(
    card: "SoftwareCard", channel: LogicalChannel, command: CommandAPDU, key: KeySpec
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
