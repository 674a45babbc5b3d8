"""Read files in as few commands as a profile allows, and explain why a card refuses a change.

Card specification 1, 2 and 4.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .. import commands
from ..apdu import MAX_EXTENDED_LE, MAX_SHORT_LE, CommandAPDU, ResponseAPDU
from ..errors import FormatError, StatusWordError
from ..layout import FileSpec, Kind, Structure
from ..layout.card_profile import CardProfile
from ..layout.load import ISSUER_FILE
from ..layout.model import NEVER
from ..status import StatusWord

Send = Callable[[CommandAPDU], ResponseAPDU]
_BLOCK = 0x80
"""Bytes of one READ or UPDATE BINARY of field code."""
_LENGTH = 2
_ISSUER_FILES, _KEY_OF_DDF1 = ("DDF1/EF05", "DDF1/EF06"), "UK_DDF1"
_NOT_BROUGHT = (StatusWord.RECORD_NOT_FOUND, StatusWord.INCORRECT_P1_P2)
_NO_SUCH_FORM = (
    StatusWord.FUNCTION_NOT_SUPPORTED, StatusWord.WRONG_P1_P2, StatusWord.WRONG_LENGTH,
)  # fmt: skip
"""What else a card may answer that does not know P2=05."""


@dataclass(frozen=True, slots=True)
class AccessStyle:
    """How files are read and written in a profile (card specification 10, amendment 12).

    `many`: P2=05 first, as many records as fit. `block`: the most bytes of one READ or UPDATE
    BINARY. `length_first`: the length of a photo is read alone. `issuer_files_change`: DDF1/EF05
    and EF06 can be updated after issue. `strict`: what a card refuses is not read in another form.
    """

    many: bool
    block: int
    length_first: bool
    issuer_files_change: bool
    strict: bool = False

    @classmethod
    def of(cls, profile: CardProfile, *, strict: bool = False) -> "AccessStyle":
        """Return the style of a profile."""
        blocks = profile.binary_block == "128"
        block = _BLOCK if blocks else MAX_EXTENDED_LE
        changed = profile.issuer_files == _KEY_OF_DDF1
        return cls(profile.record_reading == "many", block, blocks, changed, strict)

    def update_key(self, file: FileSpec) -> str:
        """Return the key whose right an update of the file needs, or NEVER."""
        changed = self.issuer_files_change and file.path in _ISSUER_FILES
        return "UK1_DDF1" if changed else file.update_key


@dataclass(frozen=True, slots=True)
class FileReader:
    """Reads the file that is selected. `room` is the most bytes of a reply.

    `in_session`: what the card answers is protected, and by a card that the specification binds.
    """

    send: Send
    style: AccessStyle
    room: int = MAX_SHORT_LE
    in_session: bool = False

    def file(self, file: FileSpec, *, whole: bool) -> list[bytes | None]:
        """Read the records of the file (one if transparent).

        If not `whole`, a transparent file that begins with a length is read up to it.
        """
        if file.structure is not Structure.TRANSPARENT:
            return self.records(file)
        return [self.range(file, 0, file.size) if whole else self.transparent(file)]

    def records(self, file: FileSpec) -> list[bytes | None]:
        """Read all records: with P2=05, and one by one those that this does not bring.

        None stands for a record that is not there. Of a cyclic file only the appended records are
        returned. Raises StatusWordError when the card refuses, or when it has no record at all.
        """
        if not self.style.many:
            return self._one_by_one(file, [])
        found, refusal = self._many(file)
        if len(found) >= file.records:
            return found[: file.records]
        cyclic, ended = file.structure is Structure.CYCLIC, refusal == StatusWord.RECORD_NOT_FOUND
        if not self.style.strict and not (self.in_session and cyclic and ended):
            return self._one_by_one(file, found)
        if not found or not ended:
            raise StatusWordError(_reading(file, len(found) + 1), refusal)
        return found if cyclic else found + [None] * (file.records - len(found))

    def range(self, file: FileSpec, offset: int, end: int) -> bytes:
        """Read bytes `offset` to `end` of a transparent file; fewer if the file ends before.

        A card that refuses a long reply (6700) is asked for blocks of 128; one that answers less
        than it was asked for is asked for the rest. Not if strict, or in a session.
        """
        data, most = b"", min(self.room, self.style.block)
        while (place := offset + len(data)) < end:
            le = min(most, end - place)
            response = self.send(commands.read_binary(place, le))
            if response.sw == StatusWord.WRONG_LENGTH and le > _BLOCK and not self._exact:
                most = _BLOCK
                continue
            if data and response.sw == StatusWord.WRONG_P1_P2:
                break
            if response.sw != StatusWord.END_REACHED:
                _check(file, f"READ BINARY at {place} in {file.path}", response)
            data += response.data
            is_short = len(response.data) < le and (self._exact or not response.data)
            if is_short or response.sw == StatusWord.END_REACHED:
                break
        return data

    def transparent(self, file: FileSpec) -> bytes:
        """Read a file up to its 2-byte length, if it begins with one; the rest is FF."""
        first = min(self.room, file.size)
        if self.style.length_first:
            first = _LENGTH if _has_length(file) else file.size
        data = self.range(file, 0, first)
        end = _announced_end(file, data)
        if end > first == len(data):
            data += self.range(file, first, end)
        return data.ljust(file.size, b"\xff") if len(data) >= end else data

    @property
    def _exact(self) -> bool:
        """Whether the card is bound to the specification: no other form is tried."""
        return self.style.strict or self.in_session

    def _many(self, file: FileSpec) -> tuple[list[bytes | None], int]:
        """Read with P2=05; the status word is that of the command that brought no record."""
        found: list[bytes | None] = []
        while len(found) < file.records:
            number = len(found) + 1
            response = self.send(commands.read_records_from(number, max(self.room, MAX_SHORT_LE)))
            if response.sw in _NOT_BROUGHT or (response.sw in _NO_SUCH_FORM and not self._exact):
                return found, response.sw
            _check(file, _reading(file, number), response)
            records = _split(file, number, response.data)
            if not records:
                raise FormatError(f"{_reading(file, number)}: the reply has no record")
            found += records
        return found, StatusWord.SUCCESS

    def _one_by_one(self, file: FileSpec, found: list[bytes | None]) -> list[bytes | None]:
        """Read the records after those that were found."""
        refusal = 0
        for number in range(len(found) + 1, file.records + 1):
            record, sw = self._record(file, number)
            refusal = refusal or sw
            if record is None and file.structure is Structure.CYCLIC:
                break
            found.append(record)
        if not any(found):
            raise StatusWordError(_reading(file, 1), refusal)
        return found

    def _record(self, file: FileSpec, number: int) -> tuple[bytes | None, int]:
        """Read one record: None, with the status word, when the card does not have it."""
        sw = 0
        for command in self._ways_to(file, number):
            response = self.send(command)
            if response.sw in _NOT_BROUGHT:
                sw = sw or response.sw
                continue
            _check(file, _reading(file, number), response)
            if not response.data:
                raise FormatError(f"{_reading(file, number)}: the reply has no record")
            return response.data, response.sw
        return None, sw

    def _ways_to(self, file: FileSpec, number: int) -> Iterator[CommandAPDU]:
        """The commands that may bring one record, the first choice first."""
        if file.path == ISSUER_FILE.path and not self.style.many:
            yield by_tag(file, number)
        yield commands.read_record(number)


def by_tag(file: FileSpec, number: int) -> CommandAPDU:
    """Return READ RECORD by tag with exact Le, as field code reads the issuer's data."""
    tag = file.fields_of(number)[0].tag
    if tag is None:
        raise FormatError(f"{file.path} has no tags")
    return commands.read_record_by_tag(tag, file.record_length(number))


def why_refused(sw: int) -> str:
    """Say what a status word means for the card as a whole, or "" (card specification 7)."""
    if sw == StatusWord.FUNCTION_NOT_SUPPORTED:
        return "the card is blocked for ever: only its issuer's CARD BLOCK makes it answer so"
    return ""


def why_not_changed(file: FileSpec, sw: int, needed: str, stk: str) -> str:
    """Say what the card needs that refused to change a file with `sw`, or "" if unknown.

    `needed` is the key of the right, or "" if it is held already: the command went in clear, and
    the card does not take that. `stk` is the key that protected the command in version 1.
    """
    if sw == StatusWord.SECURITY_STATUS_NOT_SATISFIED:
        if not needed:
            return (
                "the right is held, but this card does not take it in clear: set clear_updates=no"
            )
        return f"needs {needed}" + (" and the holder's PIN" if file.holder_present else "")
    if sw == StatusWord.SM_DATA_OBJECT_INCORRECT:
        return f"the {stk} that was tried is not the card's"
    if sw == StatusWord.CONDITIONS_NOT_SATISFIED:
        never = ", or it never changes this file" if file.update_key == NEVER else ""
        return f"the card is not activated, or {file.df_path} is blocked{never}"
    if sw == StatusWord.WRONG_LENGTH and file.structure is Structure.TRANSPARENT:
        return f"this card may take no more than {_BLOCK} bytes at once: set binary_block={_BLOCK}"
    return ""


def _reading(file: FileSpec, number: int) -> str:
    return f"READ RECORD {number} in {file.path}"


def _has_length(file: FileSpec) -> bool:
    return len(file.fields) == 1 and file.fields[0].kind in (Kind.PHOTO, Kind.DER)


def _announced_end(file: FileSpec, start: bytes) -> int:
    if not _has_length(file):
        return file.size
    end = _LENGTH + int.from_bytes(start[:_LENGTH], "big")
    return end if _LENGTH < end <= file.size else file.size


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
