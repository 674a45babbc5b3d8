"""VERIFY, CHANGE REFERENCE DATA, RESET RETRY COUNTER, PIN UNBLOCK (ISO/IEC 7816-4:2020 11.6).

The PIN has reference 00 at DDF1 and 6 ASCII digits (card specification 5a).
"""

from hmac import compare_digest

from ...apdu import CommandAPDU
from ...layout import KEY_BY_NAME
from ...status import OK, StatusWord
from ..chip.refusal import Refusal
from ..filesystem.tree import DDF1, KEY_BIT
from ..profile.card_state import StoredPin
from ..sessions.card_interface import Card
from ..sessions.logical_channel import LogicalChannel
from ..sessions.v2 import SPEC_2_0
from .access import current_messaging_data

PIN_LENGTH = 6
_NEW_PIN, _SAME_PIN = 0x02, 0x03
_PUK = KEY_BY_NAME["PUK_DDF1"]


def _pin(card: Card, channel: LogicalChannel, command: CommandAPDU) -> StoredPin:
    if command.p1 or command.p2:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P1 and P2 must be 00")
    pin = card.state.pin
    if pin is None or DDF1 not in channel.directory.ancestors():
        raise Refusal(StatusWord.REFERENCED_DATA_NOT_FOUND, "no PIN here")
    if card.spec == SPEC_2_0 and not channel.v2:
        why = "a 2.0 card accepts the PIN only in a session"
        raise Refusal(StatusWord.SECURITY_STATUS_NOT_SATISFIED, why)
    return pin


def verify(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Compare the PIN. Without data, answer how many tries are left and spend none."""
    pin = _pin(card, channel, command)
    if not command.data:
        if channel.pin_verified:
            return OK
        raise Refusal(0x63C0 | pin.remaining, "the PIN is not verified")
    _compare(card, channel, pin, command.data)
    card.memory.commit()
    channel.pin_verified = True
    return OK


def change_reference_data(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Replace the PIN: old ‖ new, 12 digits."""
    pin = _pin(card, channel, command)
    if len(command.data) != 2 * PIN_LENGTH:
        raise Refusal(StatusWord.WRONG_LENGTH, "needs the old PIN and the new one")
    new = pin_block(command.data[PIN_LENGTH:])
    _compare(card, channel, pin, command.data[:PIN_LENGTH])
    card.state.pin = StoredPin(new, pin.limit, pin.limit)
    return OK


def unblock_pin(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """PIN UNBLOCK under the PUK: reset the tries, and set the new PIN if the data has one."""
    pin = _pin(card, channel, command)
    data = current_messaging_data(card, channel, command, _PUK)
    block = pin_block(data) if data else pin.block
    card.state.pin = StoredPin(block, pin.limit, pin.limit)
    channel.pin_verified = False
    return OK


def reset_retry_counter(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """Unblock the PIN in a version-2 session of the PUK: P1 02 with a new PIN, P1 03 without."""
    if command.p1 not in (_NEW_PIN, _SAME_PIN) or command.p2:
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P1 must be 02 or 03, P2 must be 00")
    pin = _pin(card, channel, command._replace(p1=0))
    if not (channel.v2 and channel.rights & KEY_BIT[_PUK.name]):
        why = f"needs {_PUK.name} in a session; on a 1.0 card use PIN UNBLOCK, 84 24"
        raise Refusal(StatusWord.SECURITY_STATUS_NOT_SATISFIED, why)
    if (command.p1 == _SAME_PIN) == bool(command.data):
        raise Refusal(StatusWord.WRONG_LENGTH, "P1 02 needs the new PIN, P1 03 no data")
    block = pin_block(command.data) if command.data else pin.block
    card.state.pin = StoredPin(block, pin.limit, pin.limit)
    channel.pin_verified = False
    return OK


def pin_block(digits: bytes) -> bytes:
    """Encode 6 ASCII digits as an ISO 9564-1 format 2 block, 8 bytes. Refuses with 6700 or 6A80."""
    if len(digits) != PIN_LENGTH:
        raise Refusal(StatusWord.WRONG_LENGTH, "a PIN must have 6 ASCII digits")
    if not digits.isdigit():
        raise Refusal(StatusWord.INCORRECT_DATA, "a PIN must have 6 ASCII digits")
    return b"\x26" + bytes.fromhex(digits.decode("ascii")) + b"\xff" * 4


def _compare(card: Card, channel: LogicalChannel, pin: StoredPin, digits: bytes) -> None:
    """Spend a try in memory, compare, and restore the tries. Refuses a wrong PIN: 63Cx, 6983."""
    if not pin.remaining:
        raise Refusal(StatusWord.AUTHENTICATION_METHOD_BLOCKED, "the PIN is blocked")
    presented = pin_block(digits)
    channel.pin_verified = False
    card.state.pin = StoredPin(pin.block, pin.limit, pin.remaining - 1)
    card.memory.commit()
    if not compare_digest(presented, pin.block):
        if pin.remaining == 1:
            for each in card.channels.values():
                each.pin_verified = False
        raise Refusal(0x63C0 | (pin.remaining - 1), "wrong PIN")
    card.state.pin = StoredPin(pin.block, pin.limit, pin.limit)
