"""Collect and check the data groupings of a load (card specification 6)."""

from hmac import compare_digest

from ...apdu import CommandAPDU
from ...crypto import BLOCK_SIZE, Cipher, key_check_value, unpad
from ...errors import FormatError
from ...layout import KeySpec, Structure, key_of_dgi, record_of_dgi
from ...layout.records import DGI_PIN, DGI_PIN_TRIES, MANDATORY_DGIS
from ...status import StatusWord
from ..chip.refusal import Refusal
from ..filesystem.tree import PROFILE, ElementaryFile
from .scp03 import Scp03Session

_MORE_BLOCKS, _LAST_BLOCK = 0x08, 0x88
_KEY_GROUPING_LENGTH = 2 + BLOCK_SIZE + 3
_KEY_VERSIONS = range(1, 8)
_PIN_DIGITS = 6
_MAX_PIN_TRIES = 15


class Load:
    """A load in progress: the number of the next block, and the groupings so far.

    A grouping is kept in the form that will be stored: keys and PIN are decrypted and checked.
    """

    __slots__ = ("_pending", "groupings", "next_block")

    mandatory = MANDATORY_DGIS
    """The groupings that a finished load has."""

    def __init__(self) -> None:
        self.next_block = 0
        self.groupings: dict[int, bytes] = {}
        self._pending = b""

    def take(self, command: CommandAPDU, session: Scp03Session) -> bool:
        """Add the block of one STORE DATA; tell whether the load is complete with it.

        P1 is 08, or 88 on the last block; P2 is the block's number from 00. Refuses with 6A86 if
        not, and as `add` and `finish` do.
        """
        if command.p1 not in (_MORE_BLOCKS, _LAST_BLOCK):
            raise Refusal(StatusWord.INCORRECT_P1_P2, "P1 must be 08, or 88 on the last block")
        if command.p2 != self.next_block:
            why = f"the next block must be {self.next_block:02X}"
            raise Refusal(StatusWord.INCORRECT_P1_P2, why)
        self.add(command.data, session)
        if command.p1 == _MORE_BLOCKS:
            return False
        self.finish()
        return True

    def add(self, block: bytes, session: Scp03Session) -> None:
        """Add one block. Each grouping is checked as soon as it is complete."""
        data = self._pending + block
        offset = 0
        while (end := _grouping_end(data, offset)) and end <= len(data):
            dgi = int.from_bytes(data[offset : offset + 2], "big")
            value = data[offset + (5 if data[offset + 2] == 0xFF else 3) : end]
            if dgi in self.groupings:
                raise Refusal(StatusWord.INCORRECT_DATA, f"DGI {dgi:04X} comes twice")
            self.groupings[dgi] = self.checked(dgi, value, session)
            offset = end
        self._pending = data[offset:]
        self.next_block += 1

    def finish(self) -> None:
        """Refuse with 6A80 if the last grouping is not complete, with 6985 if one is missing."""
        if self._pending:
            raise Refusal(StatusWord.INCORRECT_DATA, "the last DGI is not complete")
        if missing := self.mandatory - self.groupings.keys():
            why = f"{len(missing)} mandatory DGIs are missing; the first is {min(missing):04X}"
            raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, why)

    def checked(self, dgi: int, value: bytes, session: Scp03Session) -> bytes:
        """Return a grouping in the form to store. Refuses with 6A88 if unknown, 6A80 if wrong."""
        return _checked(dgi, value, session)


def _grouping_end(data: bytes, offset: int) -> int:
    """Return where the grouping at `offset` ends, or 0 if its head is not complete."""
    head = data[offset : offset + 5]
    if len(head) < 3:
        return 0
    if head[2] != 0xFF:
        return offset + 3 + head[2]
    return offset + 5 + int.from_bytes(head[3:5], "big") if len(head) == 5 else 0


def _checked(dgi: int, value: bytes, session: Scp03Session) -> bytes:
    if dgi == DGI_PIN:
        return pin_block_of(value, session)
    if dgi == DGI_PIN_TRIES:
        return pin_tries_of(value)
    if spec := key_of_dgi(dgi):
        return _card_key(spec, value, session)
    if found := record_of_dgi(dgi):
        file = PROFILE[found[0].path]
        assert isinstance(file, ElementaryFile)
        return _stored_part(file, found[1], value)
    raise Refusal(StatusWord.REFERENCED_DATA_NOT_FOUND, f"no DGI {dgi:04X}")


def _card_key(spec: KeySpec, value: bytes, session: Scp03Session) -> bytes:
    """Decrypt version ‖ cipher ‖ CBC(DEK, key16) ‖ KCV3 to version ‖ cipher ‖ key16."""
    if (
        len(value) != _KEY_GROUPING_LENGTH
        or value[0] not in _KEY_VERSIONS
        or value[1] not in (1, 2)
    ):
        why = f"{spec.name} must be version (1 to 7), cipher (1 or 2), key16, KCV3"
        raise Refusal(StatusWord.INCORRECT_DATA, why)
    key = session.decrypt_dek(value[2 : 2 + BLOCK_SIZE])
    check_value = key_check_value(Cipher(value[1]), key)
    if not compare_digest(check_value, value[2 + BLOCK_SIZE :]):
        raise Refusal(StatusWord.INCORRECT_DATA, f"{spec.name}: the key check value is wrong")
    return value[:2] + key


def pin_block_of(value: bytes, session: Scp03Session) -> bytes:
    """Decrypt 16 bytes to one ISO 9564-1 format 2 block of 6 digits, 8 bytes."""
    why = "the PIN must be one ISO 9564-1 format 2 block of 6 digits"
    wrong = Refusal(StatusWord.INCORRECT_DATA, why)
    if len(value) != BLOCK_SIZE:
        raise wrong
    try:
        block = unpad(session.decrypt_dek(value))
    except FormatError:
        raise wrong from None
    digits = block.hex()[2 : 2 + _PIN_DIGITS]
    if block != b"\x26" + bytes.fromhex(digits) + b"\xff" * 4 or not digits.isdecimal():
        raise wrong
    return block


def pin_tries_of(value: bytes) -> bytes:
    """Return limit and remaining tries, 2 bytes. Refuses with 6A80 if they are not 1 to 15."""
    if len(value) != 2 or not 1 <= value[1] <= value[0] <= _MAX_PIN_TRIES:
        raise Refusal(StatusWord.INCORRECT_DATA, "PIN tries must be limit ‖ remaining, 1 to 15")
    return value


def _stored_part(file: ElementaryFile, record: int, value: bytes) -> bytes:
    """Return the part of a record to store; a transparent file may be shorter than its size."""
    if file.structure is Structure.TRANSPARENT:
        if not 1 <= len(value) <= file.size:
            raise Refusal(StatusWord.INCORRECT_DATA, f"{file.path} has {file.size} bytes")
        return value
    prefix = file.prefixes[record - 1]
    stored = value[len(prefix) :]
    if value[: len(prefix)] != prefix or len(stored) != file.lengths[record - 1]:
        size = len(prefix) + file.lengths[record - 1]
        why = f"{file.path} record {record} must have {size} bytes and begin {prefix.hex().upper()}"
        raise Refusal(StatusWord.INCORRECT_DATA, why)
    return stored
