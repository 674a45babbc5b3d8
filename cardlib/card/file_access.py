"""Read files in as few commands as possible, and explain why a card refuses a change.

Card specification 1, 2 and 4.
"""

from collections.abc import Callable

from .. import commands
from ..apdu import MAX_SHORT_LE, CommandAPDU, ResponseAPDU
from ..errors import FormatError, StatusWordError
from ..layout import FileSpec, Kind, Structure
from ..layout.model import NEVER
from ..status import StatusWord

Send = Callable[[CommandAPDU], ResponseAPDU]


def read_file(
    send: Send, file: FileSpec, room: int = MAX_SHORT_LE, *, whole: bool
) -> list[bytes | None]:
    """Read the records of the selected file (one if transparent).

    If not `whole`, a transparent file that begins with a length is read up to it.
    """
    if file.structure is not Structure.TRANSPARENT:
        return read_records(send, file, room)
    if whole:
        return [read_range(send, file, 0, file.size, room)]
    return [read_transparent(send, file, room)]


def read_records(send: Send, file: FileSpec, room: int = MAX_SHORT_LE) -> list[bytes | None]:
    """Read all records with P2=05, as many whole records as fit each reply.

    `room` is the most bytes of a reply. None stands for a record that is not there. Of a cyclic
    file only the appended records are returned. Raises StatusWordError when the card refuses.
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
            raise FormatError(f"{name}: the reply has no record")
        found += records
    return found[: file.records]


def read_range(
    send: Send, file: FileSpec, offset: int, end: int, room: int = MAX_SHORT_LE
) -> bytes:
    """Read bytes `offset` to `end` of a transparent file; fewer if the file ends before."""
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
    """Read a transparent file up to its 2-byte length, if it begins with one; the rest is FF."""
    first = min(room, file.size)
    data = read_range(send, file, 0, first, room)
    end = _announced_end(file, data)
    if end > first == len(data):
        data += read_range(send, file, first, end, room)
    return data.ljust(file.size, b"\xff") if len(data) >= end else data


def why_refused(sw: int) -> str:
    """Say what a status word means for the card as a whole, or "" (card specification 7)."""
    if sw == StatusWord.FUNCTION_NOT_SUPPORTED:
        return "the card is blocked for ever: only its issuer's CARD BLOCK makes it answer so"
    return ""


def why_not_changed(file: FileSpec, sw: int, needed: str, stk: str) -> str:
    """Say what the card needs that refused to change a file with `sw`, or "" if unknown.

    `needed` is the key of the right, `stk` the key that protected the command in version 1.
    """
    if needed == NEVER:
        return "this file can never be changed"
    if sw == StatusWord.SECURITY_STATUS_NOT_SATISFIED:
        return f"needs {needed}" + (" and the holder's PIN" if file.holder_present else "")
    if sw == StatusWord.SM_DATA_OBJECT_INCORRECT:
        return f"the {stk} that was tried is not the card's"
    if sw == StatusWord.CONDITIONS_NOT_SATISFIED:
        return f"the card is not activated, or {file.df_path} is blocked"
    return ""


def _announced_end(file: FileSpec, start: bytes) -> int:
    if len(file.fields) != 1 or file.fields[0].kind not in (Kind.PHOTO, Kind.DER):
        return file.size
    end = 2 + int.from_bytes(start[:2], "big")
    return end if 2 < end <= file.size else file.size


def _split(file: FileSpec, number: int, data: bytes) -> list[bytes]:
    """Split a reply into records; bytes left at its end become one record that is too short."""
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
