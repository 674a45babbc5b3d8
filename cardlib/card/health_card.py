"""Select, authenticate, read and update a resident health card; every field has a state."""

import secrets
from collections.abc import Mapping
from hmac import compare_digest

from .. import commands
from ..apdu import CommandAPDU, ResponseAPDU
from ..errors import CardKeyError, ChannelError, FormatError, NotGenuine, StatusWordError
from ..exchange import Connection, send
from ..facts import Pin
from ..keys import CardKeys, KeySet
from ..layout import (
    FILE_BY_PATH,
    KEY_BY_NAME,
    KEYS,
    FieldValue,
    FileSpec,
    KeySpec,
    State,
    Structure,
    decode_file,
    encode_record,
    without_access,
    without_entries,
)
from ..messaging import Messaging, v1
from ..messaging.v1 import V1Channel
from ..messaging.v2 import V2Channel
from ..status import StatusWord
from ..transport import forms
from . import file_access, visits
from .identity import CardIdentity

_SELECTED = (0x9000, StatusWord.SELECTED_FILE_DEACTIVATED)
_DENIED = StatusWord.SECURITY_STATUS_NOT_SATISFIED
_ABSENT = (StatusWord.FILE_NOT_FOUND, StatusWord.RECORD_NOT_FOUND)
_SESSION_KEYS = ("RK1_DDF1", *(key.name for key in KEYS if key.role == "RK"))
"""Keys that can open a session for reading a free file, in order of preference."""


class ResidentHealthCard:
    """One card on a connection that nothing else uses.

    Without a `KeySet` only free files can be read. `min_protocol` is the least version of secure
    messaging that the terminal accepts. `clear_updates` sends appends, marks and binary updates of
    version 1 without a MAC; `short_only` sends nothing in extended length, which a reader may not
    carry. Call `forget` after sending commands without this object.

    Under version 2 the first authentication opens a session, and from then on every command is
    protected. A changed or unprotected reply, a failed authentication or transport ends it with
    all rights. Every method then raises ChannelError until `reset`.
    """

    def __init__(
        self,
        connection: Connection,
        keys: KeySet | None = None,
        min_protocol: int = 2,
        *,
        clear_updates: bool = False,
        short_only: bool = False,
    ) -> None:
        self._connection, self._key_set, self._min_protocol = connection, keys, min_protocol
        self._clear_updates, self._short_only = clear_updates, short_only
        self._identity: CardIdentity | None = None
        self._card_keys: CardKeys | None = None
        self._channel: Messaging | None = None
        self._df, self._rights = "", frozenset[str]()

    @property
    def rights(self) -> frozenset[str]:
        """The names of the authenticated keys whose rights are still held."""
        over = self._channel is not None and self._channel.is_over
        return frozenset() if over else self._rights

    @property
    def reply_room(self) -> int:
        """The most bytes of data in a reply: 256, and in a session what its protection leaves."""
        return self._messaging().reply_room

    @property
    def protocol(self) -> int:
        """The card's version of secure messaging. Raises ChannelError when it is not accepted."""
        return self._accepted().protocol

    def forget(self) -> None:
        """Forget what is selected and which rights are held; an open session ends until `reset`."""
        if self._channel is not None:
            self._channel.close()
            if self._channel.is_over:
                return
        self._forget()

    def reset(self) -> None:
        """Reset the card: it ends the session and all rights."""
        self._connection.reset()
        self._forget()

    def identify(self) -> CardIdentity:
        """Select DDF1 and read what the card says about itself.

        Outside a session nothing protects it. The first authentication confirms spec, cipher and
        key version; a level-2 key also confirms the region. Raises StatusWordError or CardError
        when it is not a personalized health card.
        """
        command = self._select_command("DDF1", fci=True)
        try:
            fci = self._sent(command, "SELECT DDF1").data
        except StatusWordError as error:
            if error.sw != _DENIED or self._channel is not None:
                raise
            # Another program left the card in a session; that command has ended it.
            fci = self._sent(command, "SELECT DDF1").data
        self._entered("DDF1")
        identity = CardIdentity.parse(fci, self._connection.atr)
        if self._channel is None or not self._channel.is_protected:
            channel = self._new_channel(identity)
            self._identity, self._card_keys, self._channel = identity, None, channel
        elif identity != self._identity:
            self._channel.close()
            raise ChannelError(f"the card said {self._identity} in clear, {identity} protected")
        return identity

    def select(self, path: str) -> bytes:
        """Select "MF", "DDF1", a DF or an EF by its path; return its FCI."""
        response = self._sent(self._select_command(path, fci=True), f"SELECT {path}")
        self._entered(path if path not in FILE_BY_PATH else FILE_BY_PATH[path].df_path)
        return response.data

    def authenticate(self, key_name: str) -> None:
        """EXTERNAL AUTHENTICATE with a role key, in its DF, which is selected if necessary.

        Raises StatusWordError, which names the key, when the card refuses; it also refuses if the
        FCI was changed on the line. Raises ChannelError when the card's cryptogram is wrong.
        """
        key, keys, channel = _key(key_name), self._keys(), self._messaging()
        self._enter(key.df_path)
        response = channel.authenticate(keys, key)
        if response.sw != 0x9000:
            self._rights -= {key_name}
            check_value = keys.key_check_value(key_name).hex().upper()
            target = f"EXTERNAL AUTHENTICATE with {key_name} in {key.df_path}"
            tried = f"tried check value {check_value} for {self._identity}"
            raise StatusWordError(target, response.sw, tried)
        self._rights |= {key_name}

    def internal_authenticate(self) -> None:
        """INTERNAL AUTHENTICATE. Raises NotGenuine when the card does not hold the IRK."""
        keys, identity = self._keys(), self._accepted()
        self._enter("DDF1")
        sam_random, data8 = secrets.token_bytes(8), secrets.token_bytes(8)
        command = v1.internal_authenticate(sam_random, data8, identity.key_version)
        reply = self._sent(command, "INTERNAL AUTHENTICATE").data
        expected = v1.cryptogram(keys.process_key("IRK_DDF1", sam_random), data8)
        if not compare_digest(reply, expected):
            tried = f"IRK_DDF1 {keys.key_check_value('IRK_DDF1').hex().upper()}, {identity}"
            raise NotGenuine(tried)

    def verify_pin(self, pin: str) -> None:
        """VERIFY the holder's PIN, 6 digits.

        Raises StatusWordError, which says how many tries are left, when the PIN is wrong, and
        ChannelError on a card of spec 2.0 outside a session: a PIN is never sent in clear there.
        """
        command = commands.verify(Pin(pin))
        self._accepted()
        self._enter("DDF1")
        self._sent(command, "VERIFY")

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

    def read_binary(self, path: str, offset: int, length: int) -> bytes:
        """Read a part of a transparent file; fewer bytes if the file ends before."""
        self._protect_reading(file := _file(path))
        self._select_file(file)
        end = min(offset + length, file.size)
        return file_access.read_range(self._send, file, offset, end, self.reply_room)

    def update(self, path: str, record: int, values: Mapping[str, str | bytes]) -> None:
        """Write one whole record (0: a transparent file). Fields that are left out become FF.

        It needs the right of the file's update key. Raises FormatError when a value does not fit.
        """
        file = _file(path)
        if file.structure is Structure.TRANSPARENT:
            self.write_binary(path, 0, encode_record(file, 1, values))
            return
        if file.structure is Structure.CYCLIC or not 1 <= record <= file.records:
            raise FormatError(f"UPDATE RECORD: {path} has no record {record} that can be updated")
        data = encode_record(file, record, values)
        self._select_file(file)
        self._protected(file, commands.update_record(record, data), f"UPDATE RECORD {record}")

    def append(self, path: str, values: Mapping[str, str | bytes]) -> None:
        """Append a record to a cyclic file; it becomes record 1."""
        file = _file(path)
        if file.structure is not Structure.CYCLIC:
            raise FormatError(f"APPEND RECORD: {path} is not a cyclic file")
        data = encode_record(file, 1, values)
        self._select_file(file)
        self._protected(file, commands.append_record(data), "APPEND RECORD")

    def write_binary(self, path: str, offset: int, data: bytes) -> None:
        """Replace bytes of a transparent file, in as many commands as necessary."""
        file = _file(path)
        if file.structure is not Structure.TRANSPARENT or offset + len(data) > file.size:
            raise FormatError(f"UPDATE BINARY: {path} has no {len(data)} bytes at {offset}")
        self._select_file(file)
        room = self._messaging().command_room
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
        return visits.write_visit(self, kind, values)

    def read_visits(self, kind: visits.VisitKind) -> list[tuple[int, tuple[FieldValue, ...]]]:
        """Read the inpatient or outpatient records that are marked valid, with their slots."""
        return visits.read_visits(self, kind)

    def send(self, command: CommandAPDU, name: str) -> ResponseAPDU:
        """Send a command, protected in a session. Raises StatusWordError when it is refused."""
        self._accepted()
        return self._sent(command, name)

    def exchange(self, command: CommandAPDU) -> ResponseAPDU:
        """Send a command, protected in a session; return the answer, also if it is a refusal."""
        self._accepted()
        return self._send(command)

    def change(self, command: CommandAPDU, key_name: str) -> ResponseAPDU:
        """Send a command that changes the card; under version 1 with the MAC of `key_name`."""
        return self._messaging().change(command, self._keys(), key_name)

    # --- inside ---------------------------------------------------------------------------

    def _forget(self) -> None:
        self._identity = self._card_keys = self._channel = None
        self._df, self._rights = "", frozenset()

    def _new_channel(self, identity: CardIdentity) -> Messaging:
        transmit = self._connection.transmit
        if identity.protocol == 1:
            return V1Channel(transmit, clear_updates=self._clear_updates)
        chaining, extended = forms(self._connection, short_only=self._short_only)
        return V2Channel(transmit, identity.c1, extended=extended, chaining=chaining)

    def _messaging(self) -> Messaging:
        self._accepted()
        assert self._channel is not None
        return self._channel

    def _send(self, command: CommandAPDU) -> ResponseAPDU:
        if self._channel is None:
            return send(self._connection.transmit, command)
        return self._channel.send(command)

    def _sent(self, command: CommandAPDU, name: str) -> ResponseAPDU:
        response = self._send(command)
        if response.sw not in _SELECTED:
            raise StatusWordError(name, response.sw, file_access.why_refused(response.sw))
        return response

    def _accepted(self) -> CardIdentity:
        """Return the card's identity. Raises ChannelError when its protocol is not accepted."""
        identity = self._identity or self.identify()
        if identity.protocol < self._min_protocol:
            raise ChannelError(
                f"the card uses version {identity.protocol} of secure messaging; "
                f"this terminal accepts version {self._min_protocol} and later"
            )
        return identity

    def _protect_reading(self, file: FileSpec) -> None:
        """Open a session before a free file of a 2.0 card is read, if a read key is at hand.

        Nothing protects what is read in clear. The key is RK1_DDF1, else the first read key that
        is held; without one the file is read in clear. Raises CardKeyError when the keys are of
        another kind.
        """
        channel = self._messaging()
        if file.read_key or self._key_set is None or channel.is_protected or channel.is_over:
            return
        if self._keys().protocol == 2 and (held := self._key_set.names):
            key = next((name for name in _SESSION_KEYS if name in held), None)
            if key is not None:
                self.authenticate(key)

    def _keys(self) -> CardKeys:
        if self._card_keys is None:
            if self._key_set is None:
                raise CardKeyError("no keys were given: only free files can be read")
            identity = self._accepted()
            identity.refuse_other_keys(self._key_set)
            self._card_keys = self._key_set.for_card(identity.chip, identity.region)
        return self._card_keys

    def _select_command(self, path: str, *, fci: bool = False) -> CommandAPDU:
        by_name = not (self._channel and self._channel.is_protected)
        return commands.select(path, fci=fci, by_name=by_name)

    def _enter(self, df_path: str) -> None:
        """Select a DF unless it is current; keys of DDF1 are also found from the DFs below it."""
        if self._df == df_path or (df_path == "DDF1" and self._df.startswith("DDF1/")):
            return
        self._sent(self._select_command(df_path), f"SELECT {df_path}")
        self._entered(df_path)

    def _entered(self, df_path: str) -> None:
        self._df = df_path
        kept = {name for name in self._rights if _contains(KEY_BY_NAME[name].df_path, df_path)}
        self._rights = frozenset(kept)

    def _select_file(self, file: FileSpec) -> None:
        self._accepted()
        self._sent(self._select_command(file.path), f"SELECT {file.path}")
        self._entered(file.df_path)

    def _protected(self, file: FileSpec, command: CommandAPDU, name: str, needed: str = "") -> None:
        """Send a command that changes a file; under version 1 with the STK of the file's DF."""
        stk = f"STK_{file.df_path.rsplit('/', 1)[-1]}"
        response = self.change(command, stk)
        if response.sw != 0x9000:
            why = file_access.why_not_changed(file, response.sw, needed or file.update_key, stk)
            raise StatusWordError(f"{name} in {file.path}", response.sw, why)

    def _read(self, file: FileSpec, *, whole: bool) -> list[bytes | None]:
        self._select_file(file)
        return file_access.read_file(self._send, file, self.reply_room, whole=whole)


def _file(path: str) -> FileSpec:
    try:
        return FILE_BY_PATH[path]
    except KeyError:
        raise FormatError(f"{path} is not a file of the card") from None


def _key(name: str) -> KeySpec:
    try:
        return KEY_BY_NAME[name]
    except KeyError:
        raise CardKeyError(f"{name} is not a key of the card") from None


def _is_without_records(file: FileSpec, error: StatusWordError) -> bool:
    """Whether a cyclic file was refused because nothing was ever appended to it."""
    return file.structure is Structure.CYCLIC and error.sw == StatusWord.RECORD_NOT_FOUND


def _contains(directory: str, path: str) -> bool:
    """Whether `directory` is the DF `path` or contains it."""
    return directory in ("MF", path) or path.startswith(f"{directory}/")
