"""MANAGE CHANNEL: open and close logical channels (ISO/IEC 7816-4:2020 11.2.3)."""

from ...apdu import CommandAPDU
from ...status import OK, StatusWord
from ..chip.refusal import Refusal
from ..filesystem.tree import MF
from ..sessions.card_interface import Card
from ..sessions.logical_channel import LogicalChannel

_OPEN, _CLOSE = 0x00, 0x80


def manage_channel(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """P1 00 opens channel P2 (P2 00: the card chooses and answers a number); P1 80 closes it.

    A channel that the basic channel opens begins at the MF; any other begins in the DF of the
    channel that opens it. It begins without rights. Closing it ends its rights and its session.
    """
    available = card.options.logical_channels
    if available == 1:
        raise Refusal(StatusWord.LOGICAL_CHANNEL_NOT_SUPPORTED, "this card has only one channel")
    if command.data:
        raise Refusal(StatusWord.WRONG_LENGTH, "send no data")
    if command.p1 == _CLOSE:
        return _close(card, channel, command.p2)
    if command.p1 != _OPEN or command.p2 >= available:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P1 must be 00 (open) or 80, P2 a channel")
    free = [number for number in range(1, available) if number not in card.channels]
    wanted = [command.p2] if command.p2 else free[:1]
    if not wanted or wanted[0] not in free:
        raise Refusal(StatusWord.FUNCTION_NOT_SUPPORTED, "the channel is not free")
    start = channel.directory if channel.number else MF
    card.channels[wanted[0]] = LogicalChannel(wanted[0], start)
    return (b"" if command.p2 else bytes(wanted)) + OK


def _close(card: Card, channel: LogicalChannel, number: int) -> bytes:
    number = number or channel.number
    if number == 0:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "the basic channel cannot be closed")
    if card.channels.pop(number, None) is None:
        raise Refusal(StatusWord.NO_INFORMATION_CHANGED, f"channel {number} is not open")
    return OK
