"""Read and update the files of a resident health card; every field has a state."""

from collections.abc import Mapping

from .. import commands
from ..apdu import CommandAPDU
from ..errors import CardError, FormatError, StatusWordError
from ..layout import (
    FILE_BY_PATH,
    KEYS,
    FieldValue,
    FileSpec,
    State,
    Structure,
    decode_file,
    encode_record,
    without_access,
    without_entries,
)
from ..layout.model import NEVER
from ..status import StatusWord
from . import file_access, visits
from .card_access import CardAccess
from .file_access import FileReader

_DENIED = StatusWord.SECURITY_STATUS_NOT_SATISFIED
_ABSENT = (StatusWord.FILE_NOT_FOUND, StatusWord.RECORD_NOT_FOUND)
_SESSION_KEYS = ("RK1_DDF1", *(key.name for key in KEYS if key.role == "RK"))
"""Keys that can open a session for reading a free file, in order of preference."""


class ResidentHealthCard(CardAccess):
    """One card on a connection that nothing else uses.

    Without a `KeySet` only free files can be read. `min_protocol` is the least version of secure
    messaging that the terminal accepts: 2 unless it is given, 1 with profile FIELD. `profile` says
    how the card is addressed, read and written, `field_card` what a card of profile FIELD does not
    say. `short_only` sends nothing in extended length, which a reader may not carry. Call `forget`
    after sending commands without this object.

    A card that refuses AID, path, P2=05 or a long READ BINARY is asked in the other form, whatever
    the profile; not if `strict`, as a card of ours is checked. Nothing else is changed without
    being told.

    Under version 2 the first authentication opens a session, and from then on every command is
    protected. A changed or unprotected reply, a failed authentication or transport ends it with
    all rights. Every method then raises ChannelError until `reset`.
    """

    def read(self, path: str) -> tuple[FieldValue, ...]:
        """Read every field of a file with its state; a picture is read up to its length.

        A refusal gives fields that are `denied` (with the key that is needed) or `missing`; a
        cyclic file without records gives one `unwritten` entry. A free file of a 2.0 card is read
        in a session: a read key opens it first (RK1_DDF1 if held). Without a read key it is read in
        clear, where nothing protects it. Raises StatusWordError on any other refusal.
        """
        self._protect_reading(file := _file(path))
        try:
            records = self._read(file, whole=False)
        except StatusWordError as error:
            if error.sw == _DENIED:
                return without_access(file, State.DENIED, file.read_key)
            if _is_without_records(file, error):
                return without_entries(file)
            if error.sw in _ABSENT:
                return without_access(file, State.MISSING, "no such file or record")
            raise
        return decode_file(file, records)

    def read_raw(self, path: str) -> list[bytes | None]:
        """Read the whole records of a file in order (one if transparent); None if one is absent.

        Of a cyclic file only appended records. Raises StatusWordError when the card refuses.
        """
        self._protect_reading(file := _file(path))
        try:
            return self._read(file, whole=True)
        except StatusWordError as error:
            if _is_without_records(file, error):
                return []
            raise

    @property
    def reader(self) -> FileReader:
        """Reads the file that is selected, as the profile says. It opens no session."""
        self._accepted()
        return FileReader(self._send, self._style, self.reply_room, self._in_session)

    def read_binary(self, path: str, offset: int, length: int) -> bytes:
        """Read a part of a transparent file; fewer bytes if the file ends before."""
        self._protect_reading(file := _file(path))
        self._select_file(file)
        end = min(offset + length, file.size)
        return self.reader.range(file, offset, end)

    def update(self, path: str, record: int, values: Mapping[str, str | bytes]) -> None:
        """Write one whole record (0: a transparent file). Fields that are left out become FF.

        Texts that are left out become what the profile says. It needs the right of the file's
        update key. Raises FormatError when a value does not fit.
        """
        file = _file(path)
        if file.structure is Structure.TRANSPARENT:
            self.write_binary(path, 0, encode_record(file, 1, values, self._profile))
            return
        if file.structure is Structure.CYCLIC or not 1 <= record <= file.records:
            raise FormatError(f"UPDATE RECORD: {path} has no record {record} that can be updated")
        data = encode_record(file, record, values, self._profile)
        self._select_file(file)
        self._protected(file, commands.update_record(record, data), f"UPDATE RECORD {record}")

    def append(self, path: str, values: Mapping[str, str | bytes]) -> None:
        """Append a record to a cyclic file; it becomes record 1."""
        file = _file(path)
        if file.structure is not Structure.CYCLIC:
            raise FormatError(f"APPEND RECORD: {path} is not a cyclic file")
        data = encode_record(file, 1, values, self._profile)
        self._select_file(file)
        self._protected(file, commands.append_record(data), "APPEND RECORD")

    def write_binary(self, path: str, offset: int, data: bytes) -> None:
        """Replace bytes of a transparent file, in as many commands as necessary."""
        file = _file(path)
        if file.structure is not Structure.TRANSPARENT or offset + len(data) > file.size:
            raise FormatError(f"UPDATE BINARY: {path} has no {len(data)} bytes at {offset}")
        self._select_file(file)
        room = min(self._messaging().command_room, self._style.block)
        for start in range(0, len(data), room):
            part, place = data[start : start + room], offset + start
            self._protected(file, commands.update_binary(place, part), f"UPDATE BINARY at {place}")

    def mark(self, path: str, record: int) -> None:
        """Mark a record of an index file as valid (00)."""
        command = commands.mark_record(record, proprietary=self.protocol == 1)
        self._select_file(file := _file(path))
        self._protected(file, command, f"WRITE RECORD {record}")

    def erase_mark(self, path: str, record: int) -> None:
        """Erase a record of an index file (FF)."""
        command = commands.erase_record(record, proprietary=self.protocol == 1)
        self._select_file(file := _file(path))
        self._protected(file, command, f"ERASE RECORD {record}", file.erase_key)

    def write_visit(self, kind: visits.VisitKind, values: Mapping[str, str | bytes]) -> int:
        """Write an inpatient or outpatient record; return its slot. See `visits.write_visit`."""
        return visits.write_visit(self, kind, values, self._profile)

    def read_visits(self, kind: visits.VisitKind) -> list[tuple[int, tuple[FieldValue, ...]]]:
        """Read the inpatient or outpatient records that are marked valid, with their slots."""
        return visits.read_visits(self, kind)

    def _protect_reading(self, file: FileSpec) -> None:
        """Open a session before a free file of a 2.0 card is read, if a read key is at hand.

        Nothing protects what is read in clear. The key is RK1_DDF1, else the first read key that
        is held; without one the file is read in clear. Raises CardKeyError when the keys are of
        another kind.
        """
        channel = self._messaging()
        if file.read_key or self._key_set is None or channel.is_protected or channel.is_over:
            return
        keys = self._accepted().fitting(self._key_set)
        if keys.protocol == 2 and (held := keys.names):
            key = next((name for name in _SESSION_KEYS if name in held), None)
            if key is not None:
                self.authenticate(key)

    def _protected(self, file: FileSpec, command: CommandAPDU, name: str, needed: str = "") -> None:
        """Send a command that changes a file; under version 1 with the STK of the file's DF.

        Raises CardError, and nothing is sent, when the profile never changes the file.
        """
        needed = needed or self._style.update_key(file)
        if needed == NEVER:
            raise CardError(
                f"{name} in {file.path}: this file is never changed after issue, so nothing was"
                " sent. A deployed card may allow it: profile FIELD, issuer_files=UK_DDF1"
            )
        stk = f"STK_{file.df_path.rsplit('/', 1)[-1]}"
        response = self.change(command, stk)
        if response.sw != 0x9000:
            if needed in self.rights and self._goes_in_clear(command):
                needed = ""
            why = file_access.why_not_changed(file, response.sw, needed, stk)
            raise StatusWordError(f"{name} in {file.path}", response.sw, why)

    def _read(self, file: FileSpec, *, whole: bool) -> list[bytes | None]:
        self._select_file(file)
        return self.reader.file(file, whole=whole)

    def _select_file(self, file: FileSpec) -> None:
        self._accepted()
        self._select(file.path)


def _file(path: str) -> FileSpec:
    try:
        return FILE_BY_PATH[path]
    except KeyError:
        raise FormatError(f"{path} is not a file of the card") from None


def _is_without_records(file: FileSpec, error: StatusWordError) -> bool:
    """Whether a cyclic file was refused because nothing was ever appended to it."""
    return file.structure is Structure.CYCLIC and error.sw == StatusWord.RECORD_NOT_FOUND
