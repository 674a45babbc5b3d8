"""ResidentHealthCard: select, authenticate, read and update, every field with its state."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hmac import compare_digest

from . import reading, visits
from .apdu import MAX_SHORT_LE, CommandAPDU, ResponseAPDU, exchange
from .channel import v1
from .crypto import Cipher
from .errors import CardError, CardKeyError, ChannelError, FormatError, StatusWordError
from .keys import CardKeys, KeySet
from .layout import (
    FILE_BY_PATH,
    KEY_BY_NAME,
    FieldValue,
    FileSpec,
    KeySpec,
    State,
    Structure,
    decode_file,
    encode_record,
    without_access,
)
from .layout.model import NEVER
from .status import StatusWord
from .tlv import find_ber
from .transport import Connection, chip_serial

DDF1_AID = bytes.fromhex("F052484301")
_BY_NUMBER, _APPEND = 0x04, 0x03
_SELECTED = (0x9000, StatusWord.SELECTED_FILE_DEACTIVATED)
_DENIED = StatusWord.SECURITY_STATUS_NOT_SATISFIED
_ABSENT = (StatusWord.FILE_NOT_FOUND, StatusWord.RECORD_NOT_FOUND)


@dataclass(frozen=True, slots=True)
class CardIdentity:
    """What a card says of itself: chip serial (8 bytes) in the ATR, the rest in DDF1's FCI.

    `spec` is 10 or 20 (hex) for specification 1.0 or 2.0, `region` the 8-byte region factor.
    """

    chip: bytes
    spec: int
    cipher: Cipher
    key_version: int
    region: bytes

    @property
    def protocol(self) -> int:
        """The version of secure messaging that the card speaks."""
        return self.spec >> 4

    def __str__(self) -> str:
        return (
            f"chip {self.chip.hex().upper()}, spec {self.spec >> 4}.{self.spec & 15}, "
            f"{self.cipher.name} keys version {self.key_version}, "
            f"region {self.region.decode('ascii', 'replace')}"
        )


class ResidentHealthCard:
    """One card over a connection that it has for itself.

    Keys are used through a `KeySet`; without one, only what is free can be read. Whoever sends
    commands past this object calls `forget` afterwards.
    """

    def __init__(self, connection: Connection, keys: KeySet | None = None) -> None:
        self._connection, self._key_set = connection, keys
        self._identity: CardIdentity | None = None
        self._card_keys: CardKeys | None = None
        self._df = ""
        self._rights: frozenset[str] = frozenset()

    @property
    def rights(self) -> frozenset[str]:
        """The names of the keys that were authenticated and whose rights are still held."""
        return self._rights

    def forget(self) -> None:
        """Assume nothing about what is selected and held."""
        self._identity = self._card_keys = None
        self._df, self._rights = "", frozenset()

    def reset(self) -> None:
        """Reset the card: all rights are gone."""
        self._connection.reset()
        self.forget()

    def identify(self) -> CardIdentity:
        """Select DDF1 and read what the card says of itself; CardError when it is no health card.

        StatusWordError when there is no such application.
        """
        fci = self._sent(self._select_command("DDF1", fci=True), "SELECT DDF1").data
        self._entered("DDF1")
        issuer_data = find_ber(fci, 0x6F, 0xA5)
        card = None if issuer_data is None else find_ber(issuer_data, 0xC1)
        region = None if issuer_data is None else find_ber(issuer_data, 0xC2)
        if card is None or region is None or len(card) != 3 or len(region) != 8:
            raise CardError("not a personalized health card: its FCI does not say so")
        if card[1] not in list(Cipher):
            raise CardError(f"the card's cipher {card[1]:02X} is unknown")
        chip = chip_serial(self._connection.atr)
        self._identity = CardIdentity(chip, card[0], Cipher(card[1]), card[2], region)
        return self._identity

    def select(self, path: str) -> bytes:
        """Select "MF", "DDF1", a DF or an EF by its path; returns its FCI."""
        response = self._sent(self._select_command(path, fci=True), f"SELECT {path}")
        self._entered(path if path not in FILE_BY_PATH else FILE_BY_PATH[path].df_path)
        return response.data

    def authenticate(self, key_name: str) -> None:
        """EXTERNAL AUTHENTICATE with a role key in its DF, which is selected when needed.

        StatusWordError when the card refuses, saying which key was tried.
        """
        key, keys, identity = _key(key_name), self._keys(), self._identified()
        self._enter(key.df_path)
        process_key = keys.process_key(key_name, self._challenge())
        command = v1.external_authenticate(
            process_key, secrets.token_bytes(8), key.reference, identity.key_version
        )
        response = self._exchange(command)
        if response.sw != 0x9000:
            self._rights -= {key_name}
            tried = f"tried check value {keys.key_check_value(key_name).hex().upper()}, {identity}"
            target = f"EXTERNAL AUTHENTICATE with {key_name} in {key.df_path}"
            raise StatusWordError(target, response.sw, tried)
        self._rights |= {key_name}

    def internal_authenticate(self) -> None:
        """INTERNAL AUTHENTICATE; ChannelError if the card does not hold the issuer's IRK."""
        keys, identity = self._keys(), self._identified()
        self._enter("DDF1")
        sam_random, data8 = secrets.token_bytes(8), secrets.token_bytes(8)
        command = v1.internal_authenticate(sam_random, data8, identity.key_version)
        reply = self._sent(command, "INTERNAL AUTHENTICATE").data
        expected = v1.cryptogram(keys.process_key("IRK_DDF1", sam_random), data8)
        if not compare_digest(reply, expected):
            check_value = keys.key_check_value("IRK_DDF1").hex().upper()
            raise ChannelError(
                f"the card is not genuine: INTERNAL AUTHENTICATE answered wrongly; tried IRK_DDF1 "
                f"with check value {check_value}, {identity}"
            )

    def verify_pin(self, pin: str) -> None:
        """VERIFY the holder's PIN, 6 digits; StatusWordError with the tries left if it is wrong."""
        if not (len(pin) == 6 and pin.isascii() and pin.isdigit()):
            raise FormatError("a PIN has 6 digits")
        self._identified()
        self._enter("DDF1")
        self._sent(CommandAPDU(0x00, 0x20, 0x00, 0x00, pin.encode("ascii")), "VERIFY")

    def read(self, path: str) -> tuple[FieldValue, ...]:
        """Every field of a file with its state: `denied` names the key, `missing` has no record.

        StatusWordError for any other refusal. A picture is read as far as its length says.
        """
        file = _file(path)
        self._identified()
        try:
            records = self._read(file, whole=False)
        except StatusWordError as error:
            if error.sw == _DENIED:
                return without_access(file, State.DENIED, file.read_key)
            if error.sw in _ABSENT:
                return without_access(file, State.MISSING, "no such file or record")
            raise
        return decode_file(file, records)

    def read_raw(self, path: str) -> list[bytes | None]:
        """The whole records of a file in order, one if transparent; None for one it has not.

        Of a cyclic file only what was appended. StatusWordError when the card refuses.
        """
        file = _file(path)
        self._identified()
        try:
            return self._read(file, whole=True)
        except StatusWordError as error:
            if file.structure is Structure.CYCLIC and error.sw == StatusWord.RECORD_NOT_FOUND:
                return []
            raise

    def read_binary(self, path: str, offset: int, length: int) -> bytes:
        """A part of a transparent file; fewer bytes when the file ends before."""
        file = _file(path)
        self._select_file(file)
        return reading.read_range(self._exchange, file, offset, min(offset + length, file.size))

    def update(self, path: str, record: int, values: Mapping[str, str | bytes]) -> None:
        """Write one whole record (0: a transparent file); fields not given become FF.

        The right of the file's update key must be held. FormatError for a value that does not fit.
        """
        file = _file(path)
        if file.structure is Structure.TRANSPARENT:
            self.write_binary(path, 0, encode_record(file, 1, values))
            return
        if file.structure is Structure.CYCLIC or not 1 <= record <= file.records:
            raise FormatError(f"{path} has no record {record} that can be updated")
        data = encode_record(file, record, values)
        self._select_file(file)
        command = CommandAPDU(0x00, 0xDC, record, _BY_NUMBER, data)
        self._protected(file, command, f"UPDATE RECORD {record}")

    def append(self, path: str, values: Mapping[str, str | bytes]) -> None:
        """Append a record to a cyclic file; it becomes record 1."""
        file = _file(path)
        if file.structure is not Structure.CYCLIC:
            raise FormatError(f"{path} is not cyclic")
        data = encode_record(file, 1, values)
        self._select_file(file)
        self._protected(file, CommandAPDU(0x00, 0xDC, 0x00, _APPEND, data), "APPEND RECORD")

    def write_binary(self, path: str, offset: int, data: bytes) -> None:
        """Replace bytes of a transparent file, 238 a command."""
        file = _file(path)
        if file.structure is not Structure.TRANSPARENT or offset + len(data) > file.size:
            raise FormatError(f"{path} has no {len(data)} bytes at {offset}")
        self._select_file(file)
        for start in range(0, len(data), v1.MAX_DATA):
            part, place = data[start : start + v1.MAX_DATA], offset + start
            command = CommandAPDU(0x00, 0xD6, place >> 8, place & 0xFF, part)
            self._protected(file, command, f"UPDATE BINARY at {place}")

    def mark(self, path: str, record: int) -> None:
        """Mark a record of an index file as valid (00)."""
        file = _file(path)
        self._select_file(file)
        command = CommandAPDU(0x80, 0xD2, record, _BY_NUMBER)
        self._protected(file, command, f"WRITE RECORD {record}")

    def erase_mark(self, path: str, record: int) -> None:
        """Erase a record of an index file (FF)."""
        file = _file(path)
        self._select_file(file)
        command = CommandAPDU(0x80, 0x0C, record, _BY_NUMBER)
        self._protected(file, command, f"ERASE RECORD {record}", file.erase_key)

    def write_visit(self, kind: visits.VisitKind, values: Mapping[str, str | bytes]) -> int:
        """Write an inpatient or outpatient record; returns its slot. See `visits.write_visit`."""
        return visits.write_visit(self, kind, values)

    def read_visits(self, kind: visits.VisitKind) -> list[tuple[int, tuple[FieldValue, ...]]]:
        """The inpatient or outpatient records that are marked valid, with their slots."""
        return visits.read_visits(self, kind)

    # --- inside ---------------------------------------------------------------------------

    def _exchange(self, command: CommandAPDU) -> ResponseAPDU:
        return exchange(self._connection.transmit, command)

    def _sent(self, command: CommandAPDU, name: str, explanation: str = "") -> ResponseAPDU:
        response = self._exchange(command)
        if response.sw not in _SELECTED:
            raise StatusWordError(name, response.sw, explanation)
        return response

    def _identified(self) -> CardIdentity:
        return self._identity or self.identify()

    def _keys(self) -> CardKeys:
        if self._card_keys is None:
            if self._key_set is None:
                raise CardKeyError("no keys were given: only what is free can be read")
            identity, keys = self._identified(), self._key_set
            given = (keys.protocol, keys.cipher, keys.version)
            if given != (identity.protocol, identity.cipher, identity.key_version):
                raise CardKeyError(
                    f"keys for protocol {keys.protocol}, {keys.cipher.name}, version "
                    f"{keys.version} are not this card's: {identity}"
                )
            self._card_keys = keys.for_card(identity.chip, identity.region)
        return self._card_keys

    def _select_command(self, path: str, *, fci: bool = False) -> CommandAPDU:
        p2, le = (0x00, MAX_SHORT_LE) if fci else (0x0C, None)
        if path == "DDF1":
            return CommandAPDU(0x00, 0xA4, 0x04, p2, DDF1_AID, le)
        if path == "MF":
            return CommandAPDU(0x00, 0xA4, 0x00, p2, b"\x3f\x00", le)
        try:
            return CommandAPDU(0x00, 0xA4, 0x08, p2, bytes.fromhex(path.replace("/", "")), le)
        except ValueError:
            raise FormatError(f"{path} is not a path on the card") from None

    def _enter(self, df_path: str) -> None:
        """Be in a DF, or for keys of DDF1 anywhere below it: they are found from there."""
        if self._df == df_path or (df_path == "DDF1" and self._df.startswith("DDF1/")):
            return
        self._sent(self._select_command(df_path), f"SELECT {df_path}")
        self._entered(df_path)

    def _entered(self, df_path: str) -> None:
        self._df = df_path
        kept = {name for name in self._rights if _contains(KEY_BY_NAME[name].df_path, df_path)}
        self._rights = frozenset(kept)

    def _select_file(self, file: FileSpec) -> None:
        self._identified()
        self._sent(self._select_command(file.path), f"SELECT {file.path}")
        self._entered(file.df_path)

    def _challenge(self) -> bytes:
        challenge = self._sent(v1.GET_CHALLENGE, "GET CHALLENGE").data
        if len(challenge) != 8:
            raise ChannelError(f"the card gave a challenge of {len(challenge)} bytes")
        return challenge

    def _protected(self, file: FileSpec, command: CommandAPDU, name: str, needed: str = "") -> None:
        """Send a changing command under the STK of the file's DF, with a fresh challenge."""
        stk = f"STK_{file.df_path.rsplit('/', 1)[-1]}"
        process_key = self._keys().process_key(stk, self._challenge())
        response = self._exchange(v1.protect(process_key, command))
        if response.sw != 0x9000:
            why = _why_not(file, response.sw, needed or file.update_key, stk)
            raise StatusWordError(f"{name} in {file.path}", response.sw, why)

    def _read(self, file: FileSpec, *, whole: bool) -> list[bytes | None]:
        self._select_file(file)
        if file.structure is not Structure.TRANSPARENT:
            return reading.read_records(self._exchange, file)
        if whole:
            return [reading.read_range(self._exchange, file, 0, file.size)]
        return [reading.read_transparent(self._exchange, file)]


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


def _contains(directory: str, path: str) -> bool:
    """Whether a directory is the other one or above it."""
    return directory in ("MF", path) or path.startswith(f"{directory}/")


def _why_not(file: FileSpec, sw: int, needed: str, stk: str) -> str:
    if needed == NEVER:
        return "nothing changes this file"
    if sw == _DENIED:
        return f"needs {needed}" + (" and the holder's PIN" if file.holder_present else "")
    if sw == StatusWord.SM_DATA_OBJECT_INCORRECT:
        return f"{stk} as tried is not the card's"
    if sw == StatusWord.CONDITIONS_NOT_SATISFIED:
        return f"the card is not activated, or {file.df_path} is blocked"
    return ""
