"""Batches of format 2, of an older version of this program: they are read, and not made any more.

`batch.json` is the header, with a seal; it names the SHA-256 of the file of holders.
"""

import hashlib
import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cardlib.errors import DAMAGE, CardKeyError, KeysUnavailable, file_error
from cardlib.keys.issuer import Issuer, OldBatch
from cardlib.regular_file import read_regular

from .batch_files import HOLDERS_FILE, read_entries
from .manifest import BatchError, BatchHeader, header_of

HEADER_FILE = "batch.json"
LARGEST_HEADER = 64 * 1024
_FORMAT = "rhcard batch 2"
_OLDER_FORMATS = ("rhcard batch 1",)
_TYPES: Mapping[str, type] = {
    name: int if name in ("count", "key_version", "cipher") else str
    for name in BatchHeader.__dataclass_fields__
    if name != "profile"
} | {"format": str, "holders_sha256": str, "sealed_key": str, "seal": str}


def read_old_header(folder: Path) -> tuple[BatchHeader, dict[str, Any]]:
    """Read a header of format 2, and all its members. BatchError when it is damaged, or older."""
    fields = _read_json(folder / HEADER_FILE)
    try:
        bytes.fromhex(fields["seal"]), bytes.fromhex(fields["sealed_key"])
        return header_of(fields), fields
    except ValueError as error:
        raise BatchError(f"{folder / HEADER_FILE}: damaged: {error}") from None


def open_old_batch(folder: Path, issuer: Issuer) -> tuple[BatchHeader, dict[bytes, int], OldBatch]:
    """Open and authenticate a batch of format 2; give its header, its holders, its records' key.

    BatchError for damage, or another issuer's keys.
    """
    header, fields = read_old_header(folder)
    seal, sealed_key = (bytes.fromhex(fields[name]) for name in ("seal", "sealed_key"))
    try:
        sealed = issuer.old_batch(uuid.UUID(header.batch_id), header.count, sealed_key)
        sealed.check_header(_sealed_part(fields), seal)
    except KeysUnavailable:
        raise
    except CardKeyError:
        raise BatchError(
            f"{folder / HEADER_FILE}: damaged, or the batch was prepared with another key"
            f" store than this one (it names {header.key_store_identity})"
        ) from None
    entries = read_entries(folder, header.count)
    if hashlib.sha256(b"".join(entries)).hexdigest() != fields["holders_sha256"]:
        raise BatchError(f"{folder / HOLDERS_FILE}: damaged, or copied from another batch")
    holders = {entry[4:]: int.from_bytes(entry[:4], "big") for entry in entries}
    return header, holders, sealed


def _sealed_part(fields: Mapping[str, Any]) -> bytes:
    """The header's members that its seal is over: all others, in a canonical form."""
    sealed = {name: value for name, value in fields.items() if name != "seal"}
    return json.dumps(sealed, sort_keys=True, separators=(",", ":")).encode("ascii")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        raw = read_regular(path, LARGEST_HEADER)
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
            f" {_FORMAT!r} here)"
        )
    if {name: type(value) for name, value in fields.items()} != _TYPES:
        raise BatchError(f"{path}: damaged: some values are missing, unknown or of a wrong type")
    return fields
