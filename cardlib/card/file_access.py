"""Reading in as few commands as it takes, and why the card refuses.

Card specification, sections 1, 2 and 4.
"""

from collections.abc import Callable

from .. import commands
from ..apdu import MAX_SHORT_LE, CommandAPDU, ResponseAPDU
from ..errors import FormatError, StatusWordError
from ..layout import FileSpec, Kind, Structure
from ..layout.model import NEVER
from ..status import StatusWord

Send = Callable[[CommandAPDU], ResponseAPDU]


def read_records(send: Send, file: FileSpec, room: int = MAX_SHORT_LE) -> list[bytes | None]:
    """All records by P2=05, as many whole ones as fit each reply; None for one that is not there.

    `room` is the most bytes of a reply.
    Of a cyclic file those that were appended, at least one. StatusWordError when the card refuses.
    """
    found: list[bytes | None] = []
    while len(found) < file.records:
        number = len(found) + 1
        name = f"READ RECORD {number} in {file.path}"
        response = send(commands.read_records_from(number, max(room, MAX_SHORT_LE)))
        if found and response.sw == StatusWord.RECORD_NOT_FOUND:
            cyclic = file.structure is Structure.CYCLIC
            return found if cyclic else found + [None] * (file.records - len(found))
        _check(file, name, response)
        records = _split(file, number, response.data)
        if not records:
            raise FormatError(f"{name}: no record in the reply")
        found += records
    return found[: file.records]


def read_range(
    send: Send, file: FileSpec, offset: int, end: int, room: int = MAX_SHORT_LE
) -> bytes:
    """Bytes `offset` to `end` of a transparent file; fewer when the file ends before."""
    data = b""
    while (place := offset + len(data)) < end:
        le = min(room, end - place)
        response = send(commands.read_binary(place, le))
        if data and response.sw == StatusWord.WRONG_P1_P2:
            break
        if response.sw != StatusWord.END_REACHED:
            _check(file, f"READ BINARY at {place} in {file.path}", response)
        data += response.data
        if len(response.data) < le:
            break
    return data


def read_transparent(send: Send, file: FileSpec, room: int = MAX_SHORT_LE) -> bytes:
    """A transparent file as far as its 2-byte length says, if it begins with one; the rest FF."""
    first = min(room, file.size)
    data = read_range(send, file, 0, first, room)
    end = _announced_end(file, data)
    if end > first == len(data):
        data += read_range(send, file, first, end, room)
    return data.ljust(file.size, b"\xff") if len(data) >= end else data


def why_not_changed(file: FileSpec, sw: int, needed: str, stk: str) -> str:
    """What would satisfy the card that refused to change a file with `sw`; "" if unknown.

    `needed` is the right's key, `stk` the key that the command was protected with in version 1.
    """
    if needed == NEVER:
        return "nothing changes this file"
    if sw == StatusWord.SECURITY_STATUS_NOT_SATISFIED:
        return f"needs {needed}" + (" and the holder's PIN" if file.holder_present else "")
    if sw == StatusWord.SM_DATA_OBJECT_INCORRECT:
        return f"{stk} as tried is not the card's"
    if sw == StatusWord.CONDITIONS_NOT_SATISFIED:
        return f"the card is not activated, or {file.df_path} is blocked"
    return ""


def _announced_end(file: FileSpec, start: bytes) -> int:
    if len(file.fields) != 1 or file.fields[0].kind not in (Kind.PHOTO, Kind.DER):
        return file.size
    end = 2 + int.from_bytes(start[:2], "big")
    return end if 2 < end <= file.size else file.size


def _split(file: FileSpec, number: int, data: bytes) -> list[bytes]:
    """The records of one reply; what is left over at its end is a record, too short."""
    records: list[bytes] = []
    while data:
        size = file.record_length(min(number + len(records), file.records))
        if file.is_tlv and len(data) >= 2:
            size = 2 + data[1]
        records.append(data[:size])
        data = data[size:]
    return records


def _check(file: FileSpec, name: str, response: ResponseAPDU) -> None:
    if response.sw != StatusWord.SUCCESS:
        denied = response.sw == StatusWord.SECURITY_STATUS_NOT_SATISFIED and file.read_key
        raise StatusWordError(name, response.sw, f"needs {file.read_key}" if denied else "")
