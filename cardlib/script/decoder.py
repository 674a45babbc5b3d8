"""Decode answers for a person: fields of records; facts in ATR, FCI, CPLC, key information."""

from typing import NamedTuple

from ..apdu import ResponseAPDU
from ..commands import name_of
from ..crypto import Cipher
from ..errors import FormatError
from ..layout import FieldValue, FileSpec, State, Structure, decode_record
from ..layout.records import without_entries, without_value
from ..status import StatusWord, words
from ..tlv import find_ber, iter_ber
from ..transport import chip_serial

_BY_TAG, _BY_NUMBER, _FROM_NUMBER = 0x00, 0x04, 0x05
_FCI, _AID, _PROPRIETARY, _PROFILE, _REGION = 0x6F, 0x84, 0xA5, 0xC1, 0xC2
_CPLC, _KEY_INFORMATION, _KEY_DATA = 0x9F7F, 0xE0, 0xC0
_CHIP_IN_CPLC = slice(12, 20)


class Fact(NamedTuple):
    """One thing that an answer says, for a person."""

    name: str
    value: str


class Profile(NamedTuple):
    """C1 and C2 of DDF1's FCI: spec (10 or 20), cipher, key version, region factor (8 bytes)."""

    spec: int
    cipher: int
    key_version: int
    region: bytes

    @property
    def c1(self) -> bytes:
        """The value of C1, 3 bytes."""
        return bytes((self.spec, self.cipher, self.key_version))


def fields_of(file: FileSpec, command: bytes, response: ResponseAPDU) -> tuple[FieldValue, ...]:
    """Decode the fields that READ RECORD asked for, with their states.

    The result is empty when the card refused for any reason but a missing right, file or record.
    """
    numbers = _records_asked(file, command[2], command[3])
    if response.sw == StatusWord.SUCCESS:
        return _decoded(file, numbers, response.data, several=command[3] == _FROM_NUMBER)
    if response.sw == StatusWord.SECURITY_STATUS_NOT_SATISFIED:
        return _all(file, numbers, State.DENIED, file.read_key)
    if response.sw == StatusWord.RECORD_NOT_FOUND and file.structure is Structure.CYCLIC:
        return _not_appended(file, numbers)
    if response.sw in (StatusWord.FILE_NOT_FOUND, StatusWord.RECORD_NOT_FOUND):
        return _all(file, numbers, State.MISSING, words(response.sw))
    return ()


def _records_asked(file: FileSpec, p1: int, p2: int) -> list[int]:
    if p2 == _BY_TAG:
        return [field.record for field in file.fields if field.tag == p1 and p1]
    if p2 not in (_BY_NUMBER, _FROM_NUMBER) or not 1 <= p1 <= file.records:
        return []
    return list(range(p1, file.records + 1)) if p2 == _FROM_NUMBER else [p1]


def _decoded(
    file: FileSpec, numbers: list[int], data: bytes, several: bool
) -> tuple[FieldValue, ...]:
    found: list[FieldValue] = []
    for number in numbers:
        if not data:
            break
        length = file.record_length(number) if several else len(data)
        found += decode_record(file, number, data[:length])
        data = data[length:]
    return tuple(found)


def _not_appended(file: FileSpec, numbers: list[int]) -> tuple[FieldValue, ...]:
    """Return one entry that nobody appended: of an empty file, or after the last record."""
    if numbers[:1] == [1]:
        return without_entries(file)
    return _all(file, numbers, State.UNWRITTEN, "")


def _all(file: FileSpec, numbers: list[int], state: State, detail: str) -> tuple[FieldValue, ...]:
    """Return every record asked for; of a cyclic file one, because its number is not known."""
    known = numbers[:1] if file.structure is Structure.CYCLIC else numbers
    return tuple(v for number in known for v in without_value(file, number, state, detail))


def profile_in(command: bytes, response: ResponseAPDU) -> Profile | None:
    """Decode C1 and C2 if the answer is the FCI of the health application, else return None."""
    if name_of(command[0], command[1]) != "SELECT" or response.sw != StatusWord.SUCCESS:
        return None
    try:
        profile = find_ber(response.data, _FCI, _PROPRIETARY, _PROFILE)
        region = find_ber(response.data, _FCI, _PROPRIETARY, _REGION)
    except FormatError:
        return None
    if profile is None or region is None or len(profile) != 3 or len(region) != 8:
        return None
    return Profile(profile[0], profile[1], profile[2], region)


def facts_of_reset(atr: bytes) -> tuple[Fact, ...]:
    """Return the chip serial in an ATR, or why there is none."""
    try:
        return (Fact("chip serial", chip_serial(atr).hex().upper()),)
    except FormatError as error:
        return (Fact("chip serial", f"none: {error}"),)


def facts_of(command: bytes, response: ResponseAPDU) -> tuple[Fact, ...]:
    """Decode the answers to SELECT and GET DATA; other answers give nothing."""
    if response.sw != StatusWord.SUCCESS or not response.data:
        return ()
    name = name_of(command[0], command[1])
    try:
        if name == "SELECT":
            return _facts_of_fci(command, response)
        if name == "GET DATA":
            return _facts_of_data(int.from_bytes(command[2:4], "big"), response.data)
    except FormatError as error:
        return (Fact("not decoded", str(error)),)
    return ()


def _facts_of_fci(command: bytes, response: ResponseAPDU) -> tuple[Fact, ...]:
    aid = find_ber(response.data, _FCI, _AID)
    facts = [Fact("application", aid.hex().upper())] if aid else []
    if profile := profile_in(command, response):
        known = profile.cipher in Cipher._value2member_map_
        cipher = Cipher(profile.cipher).name if known else f"unknown, {profile.cipher:02X}"
        facts += [
            Fact("card specification", f"{profile.spec >> 4}.{profile.spec & 0x0F}"),
            Fact("cipher", cipher),
            Fact("key version", str(profile.key_version)),
            Fact("region factor", profile.region.hex().upper()),
        ]
    return tuple(facts)


def _facts_of_data(tag: int, data: bytes) -> tuple[Fact, ...]:
    if tag == _CPLC:
        serial = (find_ber(data, _CPLC) or b"")[_CHIP_IN_CPLC]
        return (Fact("chip serial", serial.hex().upper()),)
    if tag == _KEY_INFORMATION:
        keys = [o.value for o in iter_ber(find_ber(data, tag) or b"") if o.tag == _KEY_DATA]
        versions = sorted({key[1] for key in keys if len(key) > 1})
        return tuple(Fact("SCP03 key set", f"{version:02X}") for version in versions)
    return ()
