"""STORE DATA: a card's personal data, gathered block by block and written at once at the last.

The commands are GlobalPlatform's (GPCS 2.3.1 11.11), the data groupings EMV CPS's; which there
are, and what makes a load complete, is the card specification's section 6.
"""

from hmac import compare_digest
from typing import TYPE_CHECKING

from ..apdu import CommandAPDU
from ..crypto import BLOCK_SIZE, Cipher, key_check_value, unpad
from ..errors import FormatError
from ..layout import (
    FILE_BY_PATH,
    KEYS,
    KeySpec,
    Structure,
    dgi_of_key,
    dgi_of_record,
    key_of_dgi,
    record_of_dgi,
)
from ..layout.records import DGI_PIN, DGI_PIN_TRIES, MANDATORY_DGIS
from ..status import StatusWord
from . import records
from .refusal import Refusal
from .scp03 import C_ENC, Scp03Session, open_session
from .session import LogicalChannel
from .state import (
    KEY_TRIES,
    NODE_STATES,
    TRANSPORT_KEY_VERSION,
    LifeCycle,
    StoredKey,
    StoredPin,
)
from .tree import PROFILE, ElementaryFile

if TYPE_CHECKING:
    from .card import SoftwareCard

OK = b"\x90\x00"
_MORE_BLOCKS, _LAST_BLOCK = 0x08, 0x88
_ACTIVATED = b"\x05"
_KEY_GROUPING_LENGTH = 2 + BLOCK_SIZE + 3
_KEY_VERSIONS = range(1, 8)
_PIN_DIGITS = 6
_MAX_PIN_TRIES = 15
_ISSUER_FILE = "DDF1/EF05"
_SPEC_VERSIONS = {b"1.0": 0x10, b"2.0": 0x20}


class Load:
    """A load in progress: the next block's number, bytes not yet a grouping, and the groupings.

    A grouping is kept as it will be stored; keys and PIN are deciphered and checked already.
    """

    __slots__ = ("_pending", "groupings", "next_block")

    def __init__(self) -> None:
        self.next_block = 0
        self.groupings: dict[int, bytes] = {}
        self._pending = b""

    def add(self, block: bytes, session: Scp03Session) -> None:
        """Take one block; each grouping is checked as soon as it is whole."""
        data = self._pending + block
        offset = 0
        while (end := _grouping_end(data, offset)) and end <= len(data):
            dgi = int.from_bytes(data[offset : offset + 2], "big")
            value = data[offset + (5 if data[offset + 2] == 0xFF else 3) : end]
            if dgi in self.groupings:
                raise Refusal(StatusWord.INCORRECT_DATA, f"DGI {dgi:04X} comes twice")
            self.groupings[dgi] = _checked(dgi, value, session)
            offset = end
        self._pending = data[offset:]
        self.next_block += 1

    def finish(self) -> None:
        """Refuse (6A80) when the last grouping is cut off, (6985) when one is missing."""
        if self._pending:
            raise Refusal(StatusWord.INCORRECT_DATA, "the last DGI is cut off")
        if missing := MANDATORY_DGIS - self.groupings.keys():
            why = f"{len(missing)} mandatory DGIs are missing, {min(missing):04X} first"
            raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, why)


def _grouping_end(data: bytes, offset: int) -> int:
    """Where the grouping at `offset` ends; 0 while its head is not whole."""
    head = data[offset : offset + 5]
    if len(head) < 3:
        return 0
    if head[2] != 0xFF:
        return offset + 3 + head[2]
    return offset + 5 + int.from_bytes(head[3:5], "big") if len(head) == 5 else 0


def store_data(card: "SoftwareCard", channel: LogicalChannel, command: CommandAPDU) -> bytes:
    """One block of the load: P1 08, or 88 on the last; P2 its number from 00.

    Needs C-ENC and a BLANK card; any error drops the whole load. The last block commits it.
    """
    load, channel.load = channel.load or Load(), None
    session = open_session(channel, C_ENC)
    if card.state.life_cycle != LifeCycle.BLANK:
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, "the card is personalized already")
    if command.p1 not in (_MORE_BLOCKS, _LAST_BLOCK):
        raise Refusal(StatusWord.INCORRECT_P1_P2, "P1 is 08, or 88 on the last block")
    if command.p2 != load.next_block:
        raise Refusal(StatusWord.INCORRECT_P1_P2, f"block {load.next_block:02X} comes next")
    load.add(command.data, session)
    if command.p1 == _MORE_BLOCKS:
        channel.load = load
        return OK
    load.finish()
    _require_issuer_keys(card, session)
    commit(card, load.groupings)
    return OK


def _require_issuer_keys(card: "SoftwareCard", session: Scp03Session) -> None:
    if TRANSPORT_KEY_VERSION in card.state.key_sets:
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, "the transport keys are on the card")
    if not session.is_issuer:
        raise Refusal(StatusWord.CONDITIONS_NOT_SATISFIED, "open a session with the issuer's keys")


def _checked(dgi: int, value: bytes, session: Scp03Session) -> bytes:
    """The content of one grouping as it will be stored: 6A88 if unknown, 6A80 if wrong."""
    if dgi == DGI_PIN:
        return _pin_block(value, session)
    if dgi == DGI_PIN_TRIES:
        return _pin_tries(value)
    if spec := key_of_dgi(dgi):
        return _card_key(spec, value, session)
    if found := record_of_dgi(dgi):
        file = PROFILE[found[0].path]
        assert isinstance(file, ElementaryFile)
        return _stored_part(file, found[1], value)
    raise Refusal(StatusWord.REFERENCED_DATA_NOT_FOUND, f"no DGI {dgi:04X}")


def _card_key(spec: KeySpec, value: bytes, session: Scp03Session) -> bytes:
    """Version ‖ cipher ‖ CBC(DEK, key16) ‖ KCV3 becomes version ‖ cipher ‖ key16."""
    if (
        len(value) != _KEY_GROUPING_LENGTH
        or value[0] not in _KEY_VERSIONS
        or value[1] not in (1, 2)
    ):
        raise Refusal(StatusWord.INCORRECT_DATA, f"{spec.name}: version, cipher, key16, KCV3")
    key = session.decrypt_dek(value[2 : 2 + BLOCK_SIZE])
    check_value = key_check_value(Cipher(value[1]), key)
    if not compare_digest(check_value, value[2 + BLOCK_SIZE :]):
        raise Refusal(StatusWord.INCORRECT_DATA, f"{spec.name}: the key check value is wrong")
    return value[:2] + key


def _pin_block(value: bytes, session: Scp03Session) -> bytes:
    """One ISO 9564-1 format 2 block of 6 digits, 8 bytes, out of its cryptogram of 16."""
    wrong = Refusal(StatusWord.INCORRECT_DATA, "the PIN is one ISO 9564-1 format 2 block, 6 digits")
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


def _pin_tries(value: bytes) -> bytes:
    if len(value) != 2 or not 1 <= value[1] <= value[0] <= _MAX_PIN_TRIES:
        raise Refusal(StatusWord.INCORRECT_DATA, "PIN limit and remaining tries, 1 to 15")
    return value


def _stored_part(file: ElementaryFile, record: int, value: bytes) -> bytes:
    """The part of a record that the memory holds; a transparent file may come in part."""
    if file.structure is Structure.TRANSPARENT:
        if not 1 <= len(value) <= file.size:
            raise Refusal(StatusWord.INCORRECT_DATA, f"{file.path} has {file.size} bytes")
        return value
    prefix = file.prefixes[record - 1]
    stored = value[len(prefix) :]
    if value[: len(prefix)] != prefix or len(stored) != file.lengths[record - 1]:
        size = len(prefix) + file.lengths[record - 1]
        why = f"{file.path} record {record} has {size} bytes {prefix.hex().upper()}"
        raise Refusal(StatusWord.INCORRECT_DATA, why)
    return stored


def commit(card: "SoftwareCard", groupings: dict[int, bytes]) -> None:
    """Write a finished load: from here on the card is PERSONALIZED."""
    state, memory = card.state, card.memory
    version, cipher = _common_key_set(groupings)
    for spec in KEYS:
        key = groupings[dgi_of_key(spec)][2:]
        state.set_card_key(spec, StoredKey(version, cipher, key, KEY_TRIES))
    limit, remaining = groupings[DGI_PIN_TRIES]
    state.pin = StoredPin(groupings[DGI_PIN], limit, remaining)
    cyclic: dict[str, dict[int, bytes]] = {}
    for dgi, stored in groupings.items():
        if found := record_of_dgi(dgi):
            file = PROFILE[found[0].path]
            assert isinstance(file, ElementaryFile)
            if file.structure is Structure.TRANSPARENT:
                memory.write(file.address, stored)
            elif file.structure is Structure.CYCLIC:
                cyclic.setdefault(file.path, {})[found[1]] = stored
            else:
                records.write(memory, file, found[1], stored)
    _append_all(card, cyclic)
    state.profile = (_spec_version(groupings), cipher, version, _region(groupings))
    memory.write(NODE_STATES, _ACTIVATED * len(PROFILE))
    state.blocked_directories = 0
    state.life_cycle = LifeCycle.PERSONALIZED
    card.refresh()


def _common_key_set(groupings: dict[int, bytes]) -> tuple[int, Cipher]:
    heads = {groupings[dgi_of_key(spec)][:2] for spec in KEYS}
    if len(heads) != 1:
        raise Refusal(StatusWord.INCORRECT_DATA, "all keys have one version and one cipher")
    version, cipher = heads.pop()
    return version, Cipher(cipher)


def _append_all(card: "SoftwareCard", cyclic: dict[str, dict[int, bytes]]) -> None:
    """Append the records of cyclic files, oldest first: record 1 ends as the newest."""
    for path, by_number in cyclic.items():
        file = PROFILE[path]
        assert isinstance(file, ElementaryFile)
        if sorted(by_number) != list(range(1, len(by_number) + 1)):
            raise Refusal(StatusWord.INCORRECT_DATA, f"{path}: records from 1 without a gap")
        for number in sorted(by_number, reverse=True):
            records.append(card.memory, file, by_number[number])


def _issuer_field(groupings: dict[int, bytes], name: str) -> bytes:
    file = FILE_BY_PATH[_ISSUER_FILE]
    record = next(field.record for field in file.fields if field.name == name)
    return groupings[dgi_of_record(file, record)]


def _spec_version(groupings: dict[int, bytes]) -> int:
    text = _issuer_field(groupings, "spec_version").rstrip(b"\0 ")
    if text not in _SPEC_VERSIONS:
        raise Refusal(StatusWord.INCORRECT_DATA, "spec_version is neither 1.0 nor 2.0")
    return _SPEC_VERSIONS[text]


def _region(groupings: dict[int, bytes]) -> bytes:
    """The region factor, 8 bytes: the first two digits of city_code and six 0, in ASCII."""
    digits = _issuer_field(groupings, "city_code")[:1].hex()
    if not digits.isdecimal():
        raise Refusal(StatusWord.INCORRECT_DATA, "city_code does not begin with two digits")
    return digits.encode("ascii") + b"000000"
