"""Process one command (ISO/IEC 7816-4:2020 5).

The order is: class byte, logical channel, chaining, secure messaging, handler, and the length of
the answer by Le. The caller of `process` commits or undoes what the command changed.
"""

from ..apdu import MAX_EXTENDED_DATA, MAX_EXTENDED_LE, MAX_SHORT_LE, CommandAPDU
from ..commands import spec_of
from ..status import OK, StatusWord
from .chip.refusal import MemoryFailure, Refusal
from .profile.card_state import LIFE_CYCLE_ADDRESS, LifeCycle
from .sessions.card_interface import Card, CommandHandler
from .sessions.logical_channel import LogicalChannel
from .sessions.v2 import SPEC_2_0
from .sessions.v2 import Session as SessionV2

_GET_RESPONSE, _GET_DATA = 0xC0, 0xCA
_PROPRIETARY, _CHAINING, _SM_BITS = 0x80, 0x10, 0x0C
_SM_PROPRIETARY, _SM_ISO = 0x04, 0x0C
_NO_CHANNEL = -1
_BLOCKED = int(LifeCycle.BLOCKED)


def _channel_number(cla: int) -> int:
    """Return the logical channel of a class byte (ISO/IEC 7816-4 5.4.1), or -1 if refused."""
    if cla & 0x60 or cla & (_PROPRIETARY | 0x08) == _PROPRIETARY | 0x08:
        return _NO_CHANNEL
    return cla & 0x03


def _refused_class(cla: int) -> Refusal:
    if cla & 0xC0 == 0x40:
        return Refusal(StatusWord.LOGICAL_CHANNEL_NOT_SUPPORTED, "there are no channels 4 to 19")
    if _CHANNEL_NUMBERS[cla] != _NO_CHANNEL:
        return Refusal(StatusWord.LOGICAL_CHANNEL_NOT_SUPPORTED, "the channel is not open")
    return Refusal(StatusWord.CLASS_NOT_SUPPORTED)


_CHANNEL_NUMBERS = tuple(_channel_number(cla) for cla in range(0x100))


def process(card: Card, command: CommandAPDU) -> bytes:
    """Return the response (data ‖ status word) to one command. Raises Refusal when it refuses."""
    cla = command.cla
    channel = card.channels.get(_CHANNEL_NUMBERS[cla])
    if channel is None:
        raise _refused_class(cla)
    if command.ins == _GET_RESPONSE:
        return _get_response(channel, command)
    channel.pending = b""
    if card.memory.byte(LIFE_CYCLE_ADDRESS) >= _BLOCKED:
        _end_sessions(channel, command)
    if channel.v2:
        _check_class(card, channel, command)
    if command.extended and not card.options.extended_length:
        raise Refusal(StatusWord.WRONG_LENGTH, "this card does not support extended length")
    if cla & _CHAINING or channel.chain:
        joined = _chained(card, channel, command)
        if joined is None:
            return OK
        command = joined
    if channel.v2:
        return _in_version_2(card, channel, channel.v2, command)
    step = _in_secure_channel if channel.scp03 else _execute
    response = step(card, channel, command)
    if channel.next_v2:
        channel.v2, channel.next_v2 = channel.next_v2, None
    return response


def _end_sessions(channel: LogicalChannel, command: CommandAPDU) -> None:
    """End the sessions of a blocked or terminated card; refuse everything except GET DATA."""
    channel.scp03 = channel.load = channel.chain = None
    channel.end_v2()
    if command.ins != _GET_DATA:
        raise Refusal(StatusWord.FUNCTION_NOT_SUPPORTED, "the card is blocked")


def _check_class(card: Card, channel: LogicalChannel, command: CommandAPDU) -> None:
    """End a version-2 session at a plain command, or at one that is too long."""
    plain = command.cla & _PROPRIETARY or command.cla & _SM_BITS != _SM_ISO
    if plain or (command.extended and not card.options.extended_length):
        channel.end_v2()
    if plain:
        why = "not protected: the session has ended"
        raise Refusal(StatusWord.SECURITY_STATUS_NOT_SATISFIED, why)


def _chained(card: Card, channel: LogicalChannel, command: CommandAPDU) -> CommandAPDU | None:
    """Collect a chain of commands; return the joined one at the end (ISO/IEC 7816-4 5.3.3)."""
    if command.cla & _CHAINING and not card.options.command_chaining:
        raise Refusal(StatusWord.COMMAND_CHAINING_NOT_SUPPORTED)
    header = bytes((command.cla & ~_CHAINING, command.ins, command.p1, command.p2))
    started, collected = channel.chain or (header, b"")
    channel.chain = None
    if header != started:
        if command.cla & _CHAINING:
            raise Refusal(StatusWord.LAST_COMMAND_EXPECTED, "finish the first chain before another")
        return command
    collected += command.data
    if len(collected) > MAX_EXTENDED_DATA:
        raise Refusal(StatusWord.WRONG_LENGTH, "the chain has more than 65535 bytes of data")
    if command.cla & _CHAINING:
        channel.chain = header, collected
        return None
    return command._replace(data=collected)


def _in_secure_channel(card: Card, channel: LogicalChannel, command: CommandAPDU) -> bytes:
    session = channel.scp03
    assert session is not None
    try:
        plain = session.unwrap(command)
    except Refusal:
        channel.challenge = None
        raise
    if plain is command:
        return _execute(card, channel, command)
    card.plain_command = plain
    response = session.wrap(_in_session(card, channel, plain))
    if channel.session_ends:
        channel.scp03, channel.load, channel.session_ends = None, None, False
    # A protected reply is sent whole: Le means the plain data, and some hosts send none.
    return _fit(channel, _longest(command), response)


def _in_version_2(
    card: Card, channel: LogicalChannel, session: SessionV2, command: CommandAPDU
) -> bytes:
    """Process a command of a version-2 session. An error of it is answered in clear and ends it."""
    try:
        plain = session.unwrap(command)
    except Refusal:
        channel.end_v2()
        raise
    card.plain_command = plain
    response = session.wrap(_limited(session, plain, _in_session(card, channel, plain)))
    if channel.session_ends:
        channel.end_v2()
    elif channel.next_v2:
        channel.v2, channel.next_v2 = channel.next_v2, None
    return _fit(channel, _longest(command), response)


def _longest(command: CommandAPDU) -> int:
    return MAX_EXTENDED_LE if command.extended else MAX_SHORT_LE


def _limited(session: SessionV2, plain: CommandAPDU, response: bytes) -> bytes:
    """Return the plain response, or a refusal if it does not fit DO97 or the protected form."""
    available = len(response) - 2
    if available > session.room:
        return StatusWord.WRONG_LENGTH.to_bytes(2, "big")
    if plain.le is not None and available > plain.le:
        return bytes((0x6C, available & 0xFF))
    return response


def _in_session(card: Card, channel: LogicalChannel, plain: CommandAPDU) -> bytes:
    """Execute a command that came protected; a refusal is protected too."""
    try:
        response = _execute(card, channel, plain, in_session=True)
        card.memory.commit()
    except Refusal as refusal:
        response = card.undo(refusal.sw, refusal.reason)
    except MemoryFailure as failure:
        response = card.undo(StatusWord.MEMORY_FAILURE, str(failure))
    return response


def _execute(
    card: Card, channel: LogicalChannel, command: CommandAPDU, in_session: bool = False
) -> bytes:
    ins = command.ins
    entry = card.commands[command.cla >> 7].get(ins)
    if entry is None:
        raise _unknown(card, command)
    if command.cla & _SM_BITS:
        _begin_secure_messaging(card, channel, command, entry)
    response = entry.handler(card, channel, command)
    if len(response) == 2 or in_session or entry.data_anyway:
        return response
    return _fit(channel, command.le, response)


def _unknown(card: Card, command: CommandAPDU) -> Refusal:
    """Choose 6D00 (unknown, or a GlobalPlatform command that this card does not have) or 6E00."""
    elsewhere = any(command.ins in table for table in card.commands)
    of_globalplatform = command.cla & _PROPRIETARY and spec_of(command.cla, command.ins)
    if elsewhere and not of_globalplatform:
        return Refusal(StatusWord.CLASS_NOT_SUPPORTED, "the command exists in the other class only")
    return Refusal(StatusWord.INSTRUCTION_NOT_SUPPORTED)


def _begin_secure_messaging(
    card: Card, channel: LogicalChannel, command: CommandAPDU, entry: CommandHandler
) -> None:
    """Outside a session: version 1 uses up the challenge; GlobalPlatform commands may pass."""
    messaging = command.cla & _SM_BITS
    if messaging == _SM_PROPRIETARY and entry.protected and card.spec != SPEC_2_0:
        channel.used_challenge, channel.challenge = channel.challenge, None
    elif messaging == _SM_ISO and card.spec == SPEC_2_0:
        raise Refusal(StatusWord.SECURITY_STATUS_NOT_SATISFIED, "authenticate first")
    elif not entry.globalplatform:
        raise Refusal(StatusWord.SECURE_MESSAGING_NOT_SUPPORTED)


def _fit(channel: LogicalChannel, le: int | None, response: bytes) -> bytes:
    """Return as much as Le allows: 61xx without Le, 6Cxx if it is too small."""
    available = len(response) - 2
    if le is None:
        channel.pending = response
        return _more_available(available)
    if available <= le:
        return response
    if available < MAX_SHORT_LE:
        return bytes((0x6C, available))
    channel.pending = response[le:]
    return response[:le] + _more_available(available - le)


def _more_available(count: int) -> bytes:
    return bytes((0x61, count if count < MAX_SHORT_LE else 0))


def _get_response(channel: LogicalChannel, command: CommandAPDU) -> bytes:
    if not channel.pending:
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, "no response data is waiting")
    if command.p1 or command.p2:
        raise Refusal(StatusWord.INCORRECT_P1_P2)
    response, wanted = channel.pending, command.le or MAX_SHORT_LE
    available = len(response) - 2
    if wanted >= available:
        channel.pending = b""
        return response
    channel.pending = response[wanted:]
    return response[:wanted] + _more_available(available - wanted)
