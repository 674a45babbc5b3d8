"""Secure messaging version 1, host side: pure functions, and a channel (card specification 4)."""

import secrets

from ..apdu import MAX_SHORT_LE, CommandAPDU, ResponseAPDU, Transmit
from ..crypto import fold, pad
from ..errors import ChannelError, FormatError, StatusWordError
from ..exchange import send
from ..keys import CardKeys, ProcessKey
from ..layout import KeySpec

GET_CHALLENGE = CommandAPDU(0x00, 0x84, 0x00, 0x00, le=8)
MAC_SIZE = 4
MAX_DATA = 238
"""The most plain bytes of one command: length ‖ data ‖ 80 within the 240 that Lc leaves."""


def cryptogram(process_key: ProcessKey, data8: bytes) -> bytes:
    """C = E(data8 ‖ 00*8), its halves xored: 8 bytes."""
    if len(data8) != 8:
        raise FormatError("authentication data has 8 bytes")
    return fold(process_key.encrypt(data8 + bytes(8)))


def external_authenticate(
    process_key: ProcessKey, terminal_random: bytes, kid: int, version: int
) -> CommandAPDU:
    """00 82 00 KID 11: cryptogram8 ‖ terminal random8 ‖ key version.

    The process key is the role key's, over the challenge that the card just gave.
    """
    data = cryptogram(process_key, terminal_random) + terminal_random + bytes((version,))
    return CommandAPDU(0x00, 0x82, 0x00, kid, data)


def internal_authenticate(sam_random: bytes, data8: bytes, version: int) -> CommandAPDU:
    """00 88 00 00 11: R8sam ‖ data8 ‖ key version; the card answers `cryptogram` over data8.

    The process key to compare with is the IRK's, over the SAM's random.
    """
    if len(sam_random) != 8 or len(data8) != 8:
        raise FormatError("INTERNAL AUTHENTICATE takes 8 and 8 bytes")
    return CommandAPDU(0x00, 0x88, 0x00, 0x00, sam_random + data8 + bytes((version,)), le=8)


def protect(process_key: ProcessKey, command: CommandAPDU) -> CommandAPDU:
    """A command with its data encrypted and a 4-byte MAC; only the MAC where there is no data.

    The process key is the STK's of the file's DF, over a challenge of the card used once. The
    class gets the secure messaging bit 04. FormatError for more than 238 bytes of data.
    """
    if len(command.data) > MAX_DATA:
        raise FormatError(f"{len(command.data)} bytes, one command carries {MAX_DATA}")
    if command.cla & 0x78:
        raise FormatError(f"class {command.cla:02X} has no secure messaging version 1")
    data = command.data
    if data:
        data = process_key.encrypt(pad(bytes((len(data),)) + data))
    protected = command._replace(cla=command.cla | 0x04)
    head = protected.header + bytes((len(data) + MAC_SIZE,))
    return protected._replace(data=data + process_key.mac(head + data))


def in_clear(command: CommandAPDU) -> CommandAPDU | None:
    """An append, a binary update or a mark as field code sends it, without a MAC; None for others.

    A mark, set or erased, keeps its class 84, with Lc 00, as does nothing else.
    """
    if command.ins in (0xD2, 0x0C):
        return None if command.data else command._replace(cla=command.cla | 0x04, le=MAX_SHORT_LE)
    append = command.ins == 0xDC and (command.p1, command.p2) == (0x00, 0x03)
    return command if append or command.ins == 0xD6 else None


class V1Channel:
    """Version 1 over a transmit: reads in clear, changes under a fresh challenge each.

    With `clear_updates` appends, binary updates and marks go out as field code sends them, which
    only cards of that profile take: the right alone protects the file then.
    """

    reply_room = MAX_SHORT_LE
    command_room = MAX_DATA
    is_protected = is_over = False

    def __init__(self, transmit: Transmit, *, clear_updates: bool = False) -> None:
        self._transmit, self._clear_updates = transmit, clear_updates

    def close(self) -> None:
        """Nothing: version 1 has no sessions."""

    def send(self, command: CommandAPDU) -> ResponseAPDU:
        """Send a command in clear."""
        return send(self._transmit, command)

    def authenticate(self, keys: CardKeys, key: KeySpec) -> ResponseAPDU:
        """GET CHALLENGE and EXTERNAL AUTHENTICATE with a role key; the card's answer to it."""
        process_key = keys.process_key(key.name, self._challenge())
        command = external_authenticate(
            process_key, secrets.token_bytes(8), key.reference, keys.version
        )
        return send(self._transmit, command, may_repeat=False)

    def change(self, command: CommandAPDU, keys: CardKeys, stk: str) -> ResponseAPDU:
        """Send a changing command under the STK of the file's DF, with a fresh challenge."""
        clear = in_clear(command) if self._clear_updates else None
        if clear:
            return send(self._transmit, clear, may_repeat=False)
        process_key = keys.process_key(stk, self._challenge())
        return send(self._transmit, protect(process_key, command), may_repeat=False)

    def _challenge(self) -> bytes:
        response = self.send(GET_CHALLENGE)
        if response.sw != 0x9000:
            raise StatusWordError("GET CHALLENGE", response.sw)
        if len(response.data) != 8:
            raise ChannelError(f"the card gave a challenge of {len(response.data)} bytes")
        return response.data
