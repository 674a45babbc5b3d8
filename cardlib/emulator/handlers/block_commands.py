"""APPLICATION BLOCK, APPLICATION UNBLOCK, CARD BLOCK (card specification 7)."""

from ...apdu import CommandAPDU
from ...layout import KeySpec
from ...status import OK, StatusWord
from ..chip.refusal import Refusal
from ..filesystem.tree import KEY_BIT, MF
from ..profile.card_state import LifeCycle
from ..sessions.card_interface import Card
from ..sessions.logical_channel import LogicalChannel
from .access import current_messaging_data


def _demand(card: Card, channel: LogicalChannel, command: CommandAPDU, role: str) -> None:
    """Refuse unless the current DF's key of this role is authenticated and its STK's MAC right."""
    if command.p1 or command.p2:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P1 and P2 must be 00")
    key: KeySpec | None = next((k for k in channel.directory.keys if k.role == role), None)
    messaging = channel.directory.secure_messaging_key
    if key is None or messaging is None:
        why = f"{channel.directory.path} has no {role}"
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, why)
    if not channel.rights & KEY_BIT[key.name]:
        raise Refusal(StatusWord.SECURITY_STATUS_NOT_SATISFIED, f"needs {key.name}")
    if current_messaging_data(card, channel, command, messaging):
        raise Refusal(StatusWord.INCORRECT_DATA, "send only the MAC, no data")


def block_application(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Block the current DF: SELECT then answers 6283, its files 6985."""
    _demand(card, channel, command, "LK")
    card.state.blocked_directories |= channel.directory.block_bit
    card.refresh()
    return OK


def unblock_application(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Unblock the current DF."""
    _demand(card, channel, command, "LK")
    card.state.blocked_directories &= ~channel.directory.block_bit
    card.refresh()
    return OK


def block_card(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Block the card, from the MF. It cannot be undone."""
    if channel.directory is not MF:
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, "select the MF first")
    _demand(card, channel, command, "BK")
    card.state.life_cycle = LifeCycle.BLOCKED
    return OK
