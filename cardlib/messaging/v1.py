"""Secure messaging version 1 on the host (card specification 4)."""

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
"""The most plain bytes of one command: length ‖ data ‖ 80 must fit the 240 that Lc leaves."""


def cryptogram(process_key: ProcessKey, data8: bytes) -> bytes:
    """Calculate the cryptogram: E(data8 ‖ 00*8) with its halves xored, 8 bytes."""
    if len(data8) != 8:
        raise FormatError("authentication data must have 8 bytes")
    return fold(process_key.encrypt(data8 + bytes(8)))


def external_authenticate(
    process_key: ProcessKey, terminal_random: bytes, kid: int, version: int
) -> CommandAPDU:
    """Return EXTERNAL AUTHENTICATE, 00 82 00 KID 11: cryptogram8 ‖ terminal random8 ‖ key version.

    The process key is that of the role key for the challenge that the card gave just before.
    """
    data = cryptogram(process_key, terminal_random) + terminal_random + bytes((version,))
    return CommandAPDU(0x00, 0x82, 0x00, kid, data)


def internal_authenticate(sam_random: bytes, data8: bytes, version: int) -> CommandAPDU:
    """Return INTERNAL AUTHENTICATE, 00 88 00 00 11: R8sam ‖ data8 ‖ key version.

    The card answers `cryptogram` over data8, under the IRK's process key for R8sam.
    """
    if len(sam_random) != 8 or len(data8) != 8:
        raise FormatError("INTERNAL AUTHENTICATE needs a random and data of 8 bytes each")
    return CommandAPDU(0x00, 0x88, 0x00, 0x00, sam_random + data8 + bytes((version,)), le=8)


def protect(process_key: ProcessKey, command: CommandAPDU) -> CommandAPDU:
    """Encrypt a command's data and add a 4-byte MAC; a command without data gets only the MAC.

    The process key is that of the STK of the file's DF for a new challenge. The class gets bit 04.
    Raises FormatError when the data is longer than 238 bytes, or the class cannot be protected.
    """
    if len(command.data) > MAX_DATA:
        raise FormatError(f"{len(command.data)} bytes, but one command carries {MAX_DATA}")
    if command.cla & 0x78:
        raise FormatError(f"class {command.cla:02X} cannot be protected by version 1")
    data = command.data
    if data:
        data = process_key.encrypt(pad(bytes((len(data),)) + data))
    protected = command._replace(cla=command.cla | 0x04)
    head = protected.header + bytes((len(data) + MAC_SIZE,))
    return protected._replace(data=data + process_key.mac(head + data))


def in_clear(command: CommandAPDU) -> CommandAPDU | None:
    """Return an append, binary update or mark as field code sends it, without a MAC; else None.

    Only marks (set or erased) keep the class 84, with Lc 00.
    """
    if command.ins in (0xD2, 0x0C):
        return None if command.data else command._replace(cla=command.cla | 0x04, le=MAX_SHORT_LE)
    append = command.ins == 0xDC and (command.p1, command.p2) == (0x00, 0x03)
    return command if append or command.ins == 0xD6 else None


class V1Channel:
    """Version 1 with a card: reads in clear, and a new challenge for each command that changes it.

    `clear_updates` sends appends, binary updates and marks without a MAC, as field code does. Only
    cards with that option accept them.
    """

    reply_room = MAX_SHORT_LE
    command_room = MAX_DATA
    is_protected = is_over = False

    def __init__(self, transmit: Transmit, *, clear_updates: bool = False) -> None:
        self._transmit, self._clear_updates = transmit, clear_updates

    def close(self) -> None:
        """Do nothing: version 1 has no sessions."""

    def send(self, command: CommandAPDU) -> ResponseAPDU:
        """Send a command in clear."""
        return send(self._transmit, command)

    def authenticate(self, keys: CardKeys, key: KeySpec) -> ResponseAPDU:
        """Send GET CHALLENGE and EXTERNAL AUTHENTICATE with a role key; return the answer."""
        process_key = keys.process_key(key.name, self._challenge())
        command = external_authenticate(
            process_key, secrets.token_bytes(8), key.reference, keys.version
        )
        return send(self._transmit, command, may_repeat=False)

    def change(self, command: CommandAPDU, keys: CardKeys, stk: str) -> ResponseAPDU:
        """Send a command that changes the card, under the key `stk` and a new challenge."""
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
            given = len(response.data)
            raise ChannelError(f"GET CHALLENGE: the card's challenge has {given} bytes, not 8")
        return response.data
