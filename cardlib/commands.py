"""The table of the card's commands: name, class, INS, clause, and what their data may hold.

After the table comes one constructor for each command that the host sends. No other table says
what is secret: traces, recordings and scripts ask `spec_of`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from .apdu import MAX_SHORT_LE, CommandAPDU
from .errors import FormatError
from .facts import DDF1_ID, HEALTH_APPLICATION, MF_ID, SAM_ID, Pin

PROPRIETARY = 0x80
"""The bit of the class byte that is set in GlobalPlatform's commands and in the card's own."""


class Body(StrEnum):
    """The most secret thing that the data of a command, or of its answer, may hold."""

    OPEN = "open"
    PERSONAL = "personal"
    PIN = "PIN"
    KEY = "key"
    CRYPTOGRAM = "cryptogram"


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """One command. `cla` is 00 or 80 (hex); `sent` and `answered` say what its data may hold."""

    name: str
    cla: int
    ins: int
    clause: str
    sent: Body = Body.OPEN
    answered: Body = Body.OPEN


_O, _P, _PIN, _KEY, _C = Body.OPEN, Body.PERSONAL, Body.PIN, Body.KEY, Body.CRYPTOGRAM
_ISO, _ISO9, _GP, _OURS = "7816-4", "7816-9", "GPC 2.3.1", "card specification"

COMMANDS: tuple[CommandSpec, ...] = (
    CommandSpec("DEACTIVATE FILE", 0x00, 0x04, f"{_ISO9} 6.4"),
    CommandSpec("ERASE RECORD", 0x00, 0x0C, f"{_ISO} 11.4.8"),
    CommandSpec("ERASE BINARY", 0x00, 0x0E, f"{_ISO} 11.3.7"),
    CommandSpec("ERASE BINARY", 0x00, 0x0F, f"{_ISO} 11.3.7"),
    CommandSpec("CARD BLOCK", 0x00, 0x16, f"{_OURS} 7"),
    CommandSpec("APPLICATION UNBLOCK", 0x00, 0x18, f"{_OURS} 7"),
    CommandSpec("APPLICATION BLOCK", 0x00, 0x1E, f"{_OURS} 7"),
    CommandSpec("VERIFY", 0x00, 0x20, f"{_ISO} 11.6.6", _PIN),
    CommandSpec("VERIFY", 0x00, 0x21, f"{_ISO} 11.6.6", _PIN),
    CommandSpec("CHANGE REFERENCE DATA", 0x00, 0x24, f"{_ISO} 11.6.7", _PIN),
    CommandSpec("CHANGE REFERENCE DATA", 0x00, 0x25, f"{_ISO} 11.6.7", _PIN),
    CommandSpec("RESET RETRY COUNTER", 0x00, 0x2C, f"{_ISO} 11.6.10", _PIN),
    CommandSpec("RESET RETRY COUNTER", 0x00, 0x2D, f"{_ISO} 11.6.10", _PIN),
    CommandSpec("ACTIVATE FILE", 0x00, 0x44, f"{_ISO9} 6.5"),
    CommandSpec("MANAGE CHANNEL", 0x00, 0x70, f"{_ISO} 11.2.3"),
    CommandSpec("EXTERNAL AUTHENTICATE", 0x00, 0x82, f"{_ISO} 11.6.4", _C, _C),
    CommandSpec("GET CHALLENGE", 0x00, 0x84, f"{_ISO} 11.6.3"),
    CommandSpec("INTERNAL AUTHENTICATE", 0x00, 0x88, f"{_ISO} 11.6.2", _C, _C),
    CommandSpec("SEARCH BINARY", 0x00, 0xA0, f"{_ISO} 11.3.6", _P),
    CommandSpec("SEARCH BINARY", 0x00, 0xA1, f"{_ISO} 11.3.6", _P),
    CommandSpec("SEARCH RECORD", 0x00, 0xA2, f"{_ISO} 11.4.7", _P, _P),
    CommandSpec("SELECT", 0x00, 0xA4, f"{_ISO} 11.2.2"),
    CommandSpec("READ BINARY", 0x00, 0xB0, f"{_ISO} 11.3.3", _O, _P),
    CommandSpec("READ BINARY", 0x00, 0xB1, f"{_ISO} 11.3.3", _O, _P),
    CommandSpec("READ RECORD", 0x00, 0xB2, f"{_ISO} 11.4.3", _O, _P),
    CommandSpec("READ RECORD", 0x00, 0xB3, f"{_ISO} 11.4.3", _O, _P),
    CommandSpec("GET RESPONSE", 0x00, 0xC0, f"{_ISO} 11.8.1", _O, _P),
    CommandSpec("GET DATA", 0x00, 0xCA, f"{_ISO} 11.5.3", _O, _P),
    CommandSpec("GET DATA", 0x00, 0xCB, f"{_ISO} 11.5.3", _O, _P),
    CommandSpec("WRITE BINARY", 0x00, 0xD0, f"{_ISO} 11.3.4", _P),
    CommandSpec("WRITE BINARY", 0x00, 0xD1, f"{_ISO} 11.3.4", _P),
    CommandSpec("WRITE RECORD", 0x00, 0xD2, f"{_ISO} 11.4.4", _P),
    CommandSpec("UPDATE BINARY", 0x00, 0xD6, f"{_ISO} 11.3.5", _P),
    CommandSpec("UPDATE BINARY", 0x00, 0xD7, f"{_ISO} 11.3.5", _P),
    CommandSpec("PUT DATA", 0x00, 0xDA, f"{_ISO} 11.5.4", _P),
    CommandSpec("PUT DATA", 0x00, 0xDB, f"{_ISO} 11.5.4", _P),
    CommandSpec("UPDATE RECORD", 0x00, 0xDC, f"{_ISO} 11.4.5", _P),
    CommandSpec("UPDATE RECORD", 0x00, 0xDD, f"{_ISO} 11.4.5", _P),
    CommandSpec("CREATE FILE", 0x00, 0xE0, f"{_ISO9} 6.1"),
    CommandSpec("APPEND RECORD", 0x00, 0xE2, f"{_ISO} 11.4.6", _P),
    CommandSpec("DELETE FILE", 0x00, 0xE4, f"{_ISO9} 6.2"),
    CommandSpec("TERMINATE DF", 0x00, 0xE6, f"{_ISO9} 6.6"),
    CommandSpec("TERMINATE EF", 0x00, 0xE8, f"{_ISO9} 6.7"),
    CommandSpec("TERMINATE CARD USAGE", 0x00, 0xFE, f"{_ISO9} 6.8"),
    CommandSpec("ERASE RECORD", 0x80, 0x0C, f"{_OURS} 4"),
    CommandSpec("CARD BLOCK", 0x80, 0x16, f"{_OURS} 7"),
    CommandSpec("APPLICATION UNBLOCK", 0x80, 0x18, f"{_OURS} 7"),
    CommandSpec("APPLICATION BLOCK", 0x80, 0x1E, f"{_OURS} 7"),
    CommandSpec("PIN UNBLOCK", 0x80, 0x24, f"{_OURS} 5a", _PIN),
    CommandSpec("RESET KEY TRIES", 0x80, 0x2C, f"{_OURS} 3", _PIN),
    CommandSpec("ACTIVATE", 0x80, 0x44, f"{_OURS} 7"),
    CommandSpec("INITIALIZE UPDATE", 0x80, 0x50, "GPC Amendment D 7.1.1", _O, _C),
    CommandSpec("EXTERNAL AUTHENTICATE", 0x80, 0x82, "GPC Amendment D 7.1.2", _C),
    CommandSpec("GET RESPONSE", 0x80, 0xC0, f"{_ISO} 11.8.1", _O, _P),
    CommandSpec("GET DATA", 0x80, 0xCA, f"{_GP} 11.3", _O, _P),
    CommandSpec("GET DATA", 0x80, 0xCB, f"{_GP} 11.3", _O, _P),
    CommandSpec("WRITE RECORD", 0x80, 0xD2, f"{_OURS} 4", _P),
    CommandSpec("SAM AUTHENTICATE", 0x80, 0xEA, f"{_OURS} 3", _O, _C),
    CommandSpec("SAM CALCULATE", 0x80, 0xFA, f"{_OURS} 3", _P, _C),
    CommandSpec("SAM DIVERSIFY", 0x80, 0xDE, f"{_OURS} 3"),
    CommandSpec("SAM SESSION KEYS", 0x80, 0xEB, f"{_OURS} 3", _C, _KEY),
    CommandSpec("PUT KEY", 0x80, 0xD8, f"{_GP} 11.8", _KEY),
    CommandSpec("STORE DATA", 0x80, 0xE2, f"{_GP} 11.11", _KEY),
    CommandSpec("DELETE", 0x80, 0xE4, f"{_GP} 11.2"),
    CommandSpec("INSTALL", 0x80, 0xE6, f"{_GP} 11.5", _KEY),
    CommandSpec("LOAD", 0x80, 0xE8, f"{_GP} 11.6", _KEY),
    CommandSpec("SET STATUS", 0x80, 0xF0, f"{_GP} 11.10"),
    CommandSpec("GET STATUS", 0x80, 0xF2, f"{_GP} 11.4"),
)
"""The commands of this card, and those of other cards that a trace should show by name."""

_ASKING = frozenset(
    {
        "EXTERNAL AUTHENTICATE", "GET CHALLENGE", "GET DATA", "GET RESPONSE", "GET STATUS",
        "INITIALIZE UPDATE", "INTERNAL AUTHENTICATE", "MANAGE CHANNEL", "READ BINARY",
        "READ RECORD", "SEARCH BINARY", "SEARCH RECORD", "SELECT",
    }
)  # fmt: skip
"""The commands that change nothing that a reset does not take back."""

_BY_CODE: Mapping[tuple[int, int], CommandSpec] = MappingProxyType(
    {(spec.cla, spec.ins): spec for spec in COMMANDS}
)


def spec_of(cla: int, ins: int) -> CommandSpec | None:
    """Return the command with this class and INS, or None if it is unknown.

    The bits of the class byte for logical channel and secure messaging do not matter.
    """
    return _BY_CODE.get((cla & PROPRIETARY, ins))


def must_be_protected(command: CommandAPDU) -> bool:
    """Return whether a card of spec 2.0 takes this command in a session only.

    That is every command that changes the card, and every one whose data is secret or personal
    (card specification 5). A command that is unknown is the card's to refuse.
    """
    spec = spec_of(command.cla, command.ins)
    if spec is None:
        return False
    if spec.sent is Body.PIN:
        # Of class 00, without data and with P1 00, they ask how many tries are left.
        return bool(command.data or command.p1 or command.cla & PROPRIETARY)
    is_open = not command.data or spec.sent in (Body.OPEN, Body.CRYPTOGRAM)
    return spec.name not in _ASKING or not is_open


def sends_pin(command: CommandAPDU) -> bool:
    """Return whether the data of this command hold a PIN."""
    spec = spec_of(command.cla, command.ins)
    return spec is not None and spec.sent is Body.PIN and bool(command.data)


def name_of(cla: int, ins: int) -> str:
    """Return the command's name, or `INS xx` if it is unknown."""
    spec = spec_of(cla, ins)
    return spec.name if spec else f"INS {ins:02X}"


# --- selecting ---------------------------------------------------------------------------


def select_application(aid: bytes) -> CommandAPDU:
    """SELECT by AID; the card answers the FCI."""
    return CommandAPDU(0x00, 0xA4, 0x04, 0x00, aid, MAX_SHORT_LE)


def select(path: str, *, fci: bool = False, by_name: bool = False) -> CommandAPDU:
    """SELECT "MF", "DDF1" or a path below it, by path from the MF. `fci` asks for the FCI.

    `by_name` selects DDF1 by its AID. Raises FormatError when `path` is not a path on the card.
    """
    p2, le = (0x00, MAX_SHORT_LE) if fci else (0x0C, None)
    if path == "DDF1" and by_name:
        return CommandAPDU(0x00, 0xA4, 0x04, p2, HEALTH_APPLICATION, le)
    if path == "MF":
        return CommandAPDU(0x00, 0xA4, 0x00, p2, MF_ID.to_bytes(2, "big"), le)
    return CommandAPDU(0x00, 0xA4, 0x08, p2, path_bytes(path), le)


def path_bytes(path: str) -> bytes:
    """Return the file identifiers of a path like DDF1/DF02/EF05, 2 bytes each.

    Raises FormatError when `path` is not a path on the card.
    """
    try:
        raw = bytes.fromhex(path.replace("/", ""))
    except ValueError:
        raw = b""
    if len(raw) < 2 or raw[:2] != DDF1_ID.to_bytes(2, "big"):
        raise FormatError(f"{path} is not a path on the card: write it like DDF1/DF02/EF05")
    return raw


# --- reading and writing -----------------------------------------------------------------

BY_TAG, APPEND, BY_NUMBER, FROM_NUMBER = 0x00, 0x03, 0x04, 0x05
"""Values of P2 in the record commands (card specification 2 and 4)."""


def read_record(number: int, le: int = MAX_SHORT_LE) -> CommandAPDU:
    """READ RECORD by number, P2 04."""
    return CommandAPDU(0x00, 0xB2, number, BY_NUMBER, le=le)


def read_record_by_tag(tag: int, le: int = MAX_SHORT_LE) -> CommandAPDU:
    """READ RECORD by tag, P2 00."""
    return CommandAPDU(0x00, 0xB2, tag, BY_TAG, le=le)


def read_records_from(number: int, le: int = MAX_SHORT_LE) -> CommandAPDU:
    """READ RECORD from this number on: as many whole records as fit, P2 05."""
    return CommandAPDU(0x00, 0xB2, number, FROM_NUMBER, le=le)


def read_binary(offset: int, le: int = MAX_SHORT_LE) -> CommandAPDU:
    """READ BINARY from an offset of 0 to 7FFF."""
    return CommandAPDU(0x00, 0xB0, offset >> 8, offset & 0xFF, le=le)


def update_record(number: int, data: bytes) -> CommandAPDU:
    """UPDATE RECORD by number, the whole record."""
    return CommandAPDU(0x00, 0xDC, number, BY_NUMBER, data)


def append_record(data: bytes) -> CommandAPDU:
    """Append a record to a cyclic file; it becomes record 1 (card specification 4)."""
    return CommandAPDU(0x00, 0xDC, 0x00, APPEND, data)


def update_binary(offset: int, data: bytes) -> CommandAPDU:
    """UPDATE BINARY at an offset of 0 to 7FFF."""
    return CommandAPDU(0x00, 0xD6, offset >> 8, offset & 0xFF, data)


def mark_record(number: int, *, proprietary: bool) -> CommandAPDU:
    """WRITE RECORD without data: it marks an index record as valid (00).

    `proprietary`: in class 80, as version 1 of secure messaging needs it.
    """
    return CommandAPDU(PROPRIETARY if proprietary else 0x00, 0xD2, number, BY_NUMBER)


def erase_record(number: int, *, proprietary: bool) -> CommandAPDU:
    """ERASE RECORD: it sets an index record to FF. `proprietary` as in `mark_record`."""
    return CommandAPDU(PROPRIETARY if proprietary else 0x00, 0x0C, number, BY_NUMBER)


# --- authentication, PIN, blocking -------------------------------------------------------

GET_CHALLENGE = CommandAPDU(0x00, 0x84, 0x00, 0x00, le=8)
"""GET CHALLENGE for 8 bytes."""


def external_authenticate(kid: int, data: bytes, le: int | None = None) -> CommandAPDU:
    """EXTERNAL AUTHENTICATE with the key that has reference `kid` (card specification 4, 5)."""
    return CommandAPDU(0x00, 0x82, 0x00, kid, data, le)


def internal_authenticate(data: bytes) -> CommandAPDU:
    """INTERNAL AUTHENTICATE: 17 bytes; the card answers 8 (card specification 4)."""
    return CommandAPDU(0x00, 0x88, 0x00, 0x00, data, le=8)


PIN_STATUS = CommandAPDU(0x00, 0x20, 0x00, 0x00)
"""VERIFY without data: the card answers how many tries are left. It spends no try."""


def verify(pin: Pin) -> CommandAPDU:
    """VERIFY the holder's PIN."""
    return CommandAPDU(0x00, 0x20, 0x00, 0x00, pin.digits)


def change_reference_data(old: Pin, new: Pin) -> CommandAPDU:
    """CHANGE REFERENCE DATA: old ‖ new PIN."""
    return CommandAPDU(0x00, 0x24, 0x00, 0x00, old.digits + new.digits)


def unblock_pin(new: Pin | None, *, proprietary: bool) -> CommandAPDU:
    """Reset the PIN's try counter, and set a new PIN if one is given (card specification 5a).

    `proprietary`: PIN UNBLOCK of version 1. Else: RESET RETRY COUNTER, in the PUK's session.
    """
    data = b"" if new is None else new.digits
    if proprietary:
        return CommandAPDU(PROPRIETARY, 0x24, 0x00, 0x00, data)
    return CommandAPDU(0x00, 0x2C, 0x03 if new is None else 0x02, 0x00, data)


def block_application(*, proprietary: bool) -> CommandAPDU:
    """APPLICATION BLOCK of the current DF (card specification 7)."""
    return CommandAPDU(PROPRIETARY if proprietary else 0x00, 0x1E, 0x00, 0x00)


def unblock_application(*, proprietary: bool) -> CommandAPDU:
    """APPLICATION UNBLOCK of the current DF (card specification 7)."""
    return CommandAPDU(PROPRIETARY if proprietary else 0x00, 0x18, 0x00, 0x00)


def block_card(*, proprietary: bool) -> CommandAPDU:
    """CARD BLOCK; it cannot be undone (card specification 7)."""
    return CommandAPDU(PROPRIETARY if proprietary else 0x00, 0x16, 0x00, 0x00)


# --- the issuer's commands ---------------------------------------------------------------


def get_data(tag: int) -> CommandAPDU:
    """GET DATA of the security domain; it answers the whole object (GPC 2.3.1 11.3)."""
    return CommandAPDU(PROPRIETARY, 0xCA, tag >> 8, tag & 0xFF, le=MAX_SHORT_LE)


def initialize_update(
    challenge: bytes, key_version: int = 0, key_identifier: int = 0
) -> CommandAPDU:
    """INITIALIZE UPDATE with the host's challenge, 8 or 16 bytes (GPC Amendment D 7.1.1)."""
    return CommandAPDU(PROPRIETARY, 0x50, key_version, key_identifier, challenge, le=MAX_SHORT_LE)


def put_key(replaced: int, data: bytes) -> CommandAPDU:
    """PUT KEY: three keys replace the set of version `replaced`; 00 adds (GPC 2.3.1 11.8)."""
    return CommandAPDU(PROPRIETARY, 0xD8, replaced, 0x81, data, le=MAX_SHORT_LE)


def store_data(number: int, block: bytes, *, last: bool) -> CommandAPDU:
    """STORE DATA: one block; numbers count from 0 (card specification 6)."""
    return CommandAPDU(PROPRIETARY, 0xE2, 0x88 if last else 0x08, number, block)


ACTIVATE = CommandAPDU(PROPRIETARY, 0x44, 0x00, 0x00)
"""Make a personalized card ACTIVE, in the issuer's session (card specification 7)."""


def reset_key_tries(sam_key_id: int) -> CommandAPDU:
    """Reset the try counter of a card key, in the issuer's session (card specification 3)."""
    return CommandAPDU(PROPRIETARY, 0x2C, 0x00, sam_key_id)


# --- a SAM -------------------------------------------------------------------------------

SELECT_SAM = CommandAPDU(0x00, 0xA4, 0x00, 0x00, SAM_ID.to_bytes(2, "big"), MAX_SHORT_LE)
"""SELECT DF01 of a SAM, by its file identifier; our SAM answers which keys it holds."""


def verify_sam(digits: bytes) -> CommandAPDU:
    """VERIFY the PIN of a SAM: 6 ASCII digits, or 3 bytes of packed digits."""
    return CommandAPDU(0x00, 0x20, 0x00, 0x00, digits)


def sam_diversify(p1: int, p2: int, data: bytes) -> CommandAPDU:
    """80 DE: make a process key. `data` is chip8 [‖ region8] ‖ challenge8."""
    return CommandAPDU(PROPRIETARY, 0xDE, p1, p2, data)


def sam_encrypt(blocks: bytes) -> CommandAPDU:
    """80 FA 00: encrypt whole blocks, each by itself, under the process key."""
    return CommandAPDU(PROPRIETARY, 0xFA, 0x00, 0x00, blocks)


def sam_mac(iv: bytes, blocks: bytes) -> CommandAPDU:
    """80 FA 05: the first 4 bytes of the CBC-MAC over padded blocks, under the process key."""
    return CommandAPDU(PROPRIETARY, 0xFA, 0x05, 0x00, iv + blocks)


def sam_authenticate(p1: int, p2: int, data: bytes) -> CommandAPDU:
    """80 EA: begin a version-2 authentication. `data` is chip8 [‖ region8] ‖ RND.IC8 ‖ B6."""
    return CommandAPDU(PROPRIETARY, 0xEA, p1, p2, data)


def sam_session_keys(reply: bytes, chaining: bytes) -> CommandAPDU:
    """80 EB: the card's 40 bytes and P (16 bytes) give S_ENC16 ‖ S_MAC16."""
    return CommandAPDU(PROPRIETARY, 0xEB, 0x00, 0x00, reply + chaining)
