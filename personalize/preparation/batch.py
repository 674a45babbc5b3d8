"""Batches: prepared cards sealed in a folder, one record a card, for the stations to issue.

`batch.json` is the header, readable without keys; `records.bin` holds length (4) ‖ sealed record
for each card. The issuer seals and opens them (`cardlib.issuance.batches`). `holders.bin` holds
card number in the batch (4) ‖ holder hash (32) for each number of each holder; the header names its
SHA-256.
"""

import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from cardlib.crypto import Cipher
from cardlib.errors import DAMAGE, CardError, CardKeyError, FormatError, KeysUnavailable, file_error
from cardlib.keys.issuer import Issuer, SealedBatch
from cardlib.regular_file import open_regular, read_regular
from cardlib.unfinished import sync_folder, unfinished_folder, wanted_name

from ..listing.holders import NUMBER_COLUMNS, holders
from .prepared import PreparedCard

HEADER_FILE = "batch.json"
RECORDS_FILE = "records.bin"
HOLDERS_FILE = "holders.bin"
BATCH_FILES = frozenset((HEADER_FILE, RECORDS_FILE, HOLDERS_FILE))
"""Those that a batch has when it is made; `issue` adds its own."""

_FORMAT = "rhcard batch 2"
_OLDER_FORMATS = ("rhcard batch 1",)
_HASH_LENGTH = 32
_TAG_LENGTH = 16
LARGEST_HEADER = 64 * 1024
_LARGEST_RECORD = 1024 * 1024


class BatchError(CardError):
    """A batch cannot be written, opened or read. The message names the file and the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchHeader:
    """What a batch says about itself, readable without keys; no personal data and no key.

    `issue_date` is YYYYMMDD; `source_sha256`, `key_store_identity` are hex; `key_version` is that
    of the card keys; `key_store_hint` is the path the key store had, a help to find it. `batch_id`
    is a UUID, `created` ISO 8601 in UTC; by default both are made for a new batch.
    """

    source_name: str
    source_sha256: str
    count: int
    issue_date: str
    spec_version: str
    cipher: Cipher
    key_store_identity: str
    key_version: int
    key_store_hint: str
    batch_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


_TYPES: Mapping[str, type] = {
    name: int if name in ("count", "key_version", "cipher") else str
    for name in BatchHeader.__dataclass_fields__
} | {"format": str, "holders_sha256": str, "sealed_key": str, "seal": str}


def read_header(folder: Path) -> BatchHeader:
    """Read the header without keys. It is not authenticated: only `Batch.open` does that.

    BatchError when the folder holds no batch or the header is damaged.
    """
    return _header(folder, _read_json(folder))


def write_batch(
    folder: Path, header: BatchHeader, cards: Iterable[PreparedCard], issuer: Issuer
) -> None:
    """Seal the cards, numbered 1 to `header.count`, into a new folder (mode 0700).

    The folder appears whole or not at all: BatchError when it exists already, when the cards are
    not those counted, when two are for one holder, or when it cannot be written; nothing is left
    behind then.
    """
    _check_new(folder)
    try:
        with unfinished_folder(folder) as temporary:
            _fill(temporary, header, cards, issuer)
            _move(temporary, folder)
    except OSError as error:
        raise file_error(BatchError, error, folder) from None


class Batch:
    """An opened batch; decrypts one record at a time and keeps none.

    `holders` gives the card of the batch for each holder hash.
    """

    def __init__(
        self,
        folder: Path,
        header: BatchHeader,
        holders: Mapping[bytes, int],
        sealed: SealedBatch,
        ends: list[int],
    ) -> None:
        """Internal: use `Batch.open`."""
        self.folder, self.header, self.holders = folder, header, holders
        self._sealed, self._ends = sealed, ends
        self.uuid = uuid.UUID(header.batch_id)

    def __repr__(self) -> str:
        return f"Batch({str(self.folder)!r}, {self.header.count} cards)"

    @classmethod
    def open(cls, folder: Path, issuer: Issuer) -> "Batch":
        """Open and authenticate, without decrypting a record.

        BatchError for damage, another issuer's keys, or missing records.
        """
        fields = _read_json(folder)
        header = _header(folder, fields)
        seal, sealed_key = (bytes.fromhex(fields[name]) for name in ("seal", "sealed_key"))
        try:
            batch_id = uuid.UUID(header.batch_id)
            sealed = issuer.sealed_batch(batch_id, header.count, sealed_key)
            sealed.check_header(_sealed_part(fields), seal)
        except KeysUnavailable:
            raise
        except CardKeyError:
            raise BatchError(
                f"{folder / HEADER_FILE}: damaged, or the batch was prepared with another key"
                f" store than this one (it names {header.key_store_identity})"
            ) from None
        found = _read_holders(folder, fields["holders_sha256"], header.count)
        return cls(folder, header, found, sealed, _record_ends(folder, header.count))

    def cards(self) -> Iterator[PreparedCard]:
        """Give every card in order. Each is decrypted when it is asked for."""
        for number in range(1, self.header.count + 1):
            yield self.card(number)

    def card(self, number: int) -> PreparedCard:
        """Card `number`, from 1; BatchError if there is none or its record is damaged."""
        path = self.folder / RECORDS_FILE
        if not 1 <= number <= self.header.count:
            raise BatchError(
                f"{path}: there is no record {number}, the batch has {self.header.count}"
            )
        start = (self._ends[number - 2] if number > 1 else 0) + 4
        try:
            with open_regular(path) as file:
                file.seek(start)
                sealed = file.read(self._ends[number - 1] - start)
            return PreparedCard.from_bytes(self._sealed.unseal(number, sealed))
        except OSError as error:
            raise file_error(BatchError, error, path) from None
        except KeysUnavailable:
            raise
        except (CardKeyError, FormatError, ValueError):
            raise BatchError(
                f"{path}: record {number} is damaged, or another record is in its place;"
                " restore the folder of the batch from a copy"
            ) from None


def _sealed_part(fields: Mapping[str, Any]) -> bytes:
    """The header's members that its seal is over: all others, in a canonical form."""
    sealed = {name: value for name, value in fields.items() if name != "seal"}
    return json.dumps(sealed, sort_keys=True, separators=(",", ":")).encode("ascii")


def _fill(folder: Path, header: BatchHeader, cards: Iterable[PreparedCard], issuer: Issuer) -> None:
    batch = issuer.new_batch(uuid.UUID(header.batch_id), header.count)
    found: dict[bytes, int] = {}
    number = 0
    with (folder / RECORDS_FILE).open("xb") as file:
        for number, card in enumerate(cards, 1):
            if card.number != number:
                raise BatchError(f"card {card.number} was given where card {number} was expected")
            if number > header.count:
                raise BatchError(f"more cards were given than {header.count}, as the header says")
            _note_holder(found, card, issuer)
            sealed = batch.seal(number, card.to_bytes())
            file.write(len(sealed).to_bytes(4, "big") + sealed)
        _sync(file)
    if number != header.count:
        raise BatchError(f"{number} cards were given, but the header says {header.count}")
    fields = asdict(header) | {
        "format": _FORMAT,
        "cipher": int(header.cipher),
        "holders_sha256": _write_holders(folder, found),
        "sealed_key": batch.sealed_key.hex(),
    }
    fields["seal"] = batch.seal_header(_sealed_part(fields)).hex()
    with (folder / HEADER_FILE).open("x", encoding="utf-8", errors="backslashreplace") as text:
        # A byte of a path that is not UTF-8 becomes \\udcNN, which is JSON too and reads back.
        json.dump(fields, text, ensure_ascii=False, indent=2)
        text.write("\n")
        _sync(text)


def _note_holder(found: dict[bytes, int], card: PreparedCard, issuer: Issuer) -> None:
    for holder in holders({name: card.value(name) for name in NUMBER_COLUMNS}):
        first = found.setdefault(issuer.holder_hash(holder), card.number)
        if first != card.number:
            raise BatchError(f"cards {first} and {card.number} are for the same resident")


def _write_holders(folder: Path, found: Mapping[bytes, int]) -> str:
    raw = b"".join(number.to_bytes(4, "big") + holder for holder, number in found.items())
    with (folder / HOLDERS_FILE).open("xb") as file:
        file.write(raw)
        _sync(file)
    return hashlib.sha256(raw).hexdigest()


def _read_holders(folder: Path, sha256: str, count: int) -> dict[bytes, int]:
    """The card of each holder hash; BatchError unless the file is the one that the header names."""
    path = folder / HOLDERS_FILE
    most = count * len(NUMBER_COLUMNS) * (4 + _HASH_LENGTH)
    try:
        raw = read_regular(path, most)
    except OSError as error:
        raise file_error(BatchError, error, path) from None
    if hashlib.sha256(raw).hexdigest() != sha256:
        raise BatchError(f"{path}: damaged, or copied from another batch")
    size = 4 + _HASH_LENGTH
    entries = (raw[at : at + size] for at in range(0, len(raw), size))
    return {entry[4:]: int.from_bytes(entry[:4], "big") for entry in entries}


def _sync(file: IO[Any]) -> None:
    file.flush()
    os.fchmod(file.fileno(), 0o600)
    os.fsync(file.fileno())


def _move(temporary: Path, folder: Path) -> None:
    """Move the finished folder into place in one step: a kill leaves no empty folder there."""
    sync_folder(temporary)
    _check_new(folder)
    try:
        temporary.rename(folder)
    except OSError:
        _check_new(folder)
        raise
    sync_folder(folder.parent)


def _check_new(folder: Path) -> None:
    if os.path.lexists(folder):
        raise BatchError(f"{folder} exists already: give the name of a new folder")


def _read_json(folder: Path) -> dict[str, Any]:
    path = folder / HEADER_FILE
    if name := wanted_name(folder):
        raise BatchError(
            f"{folder} is not a batch: `rhcard prepare` was stopped while it made {name} here."
            " No card can be issued from it; prepare the list again"
        )
    try:
        raw = read_regular(path, LARGEST_HEADER)
    except FileNotFoundError:
        raise BatchError(
            f"{folder} is not a batch: there is no {HEADER_FILE} in it. Give the folder that was"
            " --out of `rhcard prepare`"
        ) from None
    except OSError as error:
        raise file_error(BatchError, error, path) from None
    try:
        fields = json.loads(raw)
    except DAMAGE:
        fields = None
    if isinstance(fields, dict) and fields.get("format") in _OLDER_FORMATS:
        raise BatchError(
            f"{path} was written by an older version of this program ({fields['format']});"
            " prepare the list again with `rhcard prepare`"
        )
    if not isinstance(fields, dict) or fields.get("format") != _FORMAT:
        raise BatchError(
            f"{path}: damaged, or written by a newer version of this program (this one reads"
            f" {_FORMAT!r})"
        )
    if {name: type(value) for name, value in fields.items()} != _TYPES:
        raise BatchError(f"{path}: damaged: some values are missing, unknown or of a wrong type")
    return fields


def _header(folder: Path, fields: dict[str, Any]) -> BatchHeader:
    named = {name: fields[name] for name in BatchHeader.__dataclass_fields__}
    try:
        header = BatchHeader(**(named | {"cipher": Cipher(named["cipher"])}))
        bytes.fromhex(fields["seal"]), bytes.fromhex(fields["sealed_key"])
        uuid.UUID(header.batch_id)
    except ValueError as error:
        raise BatchError(f"{folder / HEADER_FILE}: damaged: {error}") from None
    if not 0 <= header.count < 1 << 32:
        raise BatchError(f"{folder / HEADER_FILE}: damaged: it says {header.count} cards")
    return header


def _record_ends(folder: Path, count: int) -> list[int]:
    """Where each record of the file ends; BatchError unless they are `count`, to its last byte."""
    path = folder / RECORDS_FILE
    ends: list[int] = []
    try:
        with open_regular(path) as file:
            size, at = os.fstat(file.fileno()).st_size, 0
            while len(ends) < count:
                file.seek(at)
                length = int.from_bytes(file.read(4), "big")
                at += 4 + length
                if not _TAG_LENGTH < length <= _LARGEST_RECORD or at > size:
                    raise BatchError(
                        f"{path}: record {len(ends) + 1} of {count} is damaged or incomplete;"
                        " restore the folder of the batch from a copy"
                    )
                ends.append(at)
    except OSError as error:
        raise file_error(BatchError, error, path) from None
    if at != size:
        raise BatchError(f"{path}: damaged: {size - at} bytes follow the last record, {count}")
    return ends
