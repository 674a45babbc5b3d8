"""From a preparation to a batch on disk, bound to the key store that it was prepared with."""

from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from cardlib.keys.store import KeyStore

from .batch import BatchHeader, write_batch
from .prepare import Preparation


def seal(
    done: Preparation, source: Path, store: KeyStore, keys: Path, out: Path, issue_date: date
) -> BatchHeader:
    """Write the cards of a preparation without faults as a new batch; returns its header.

    `keys` is where the store is now: a later `issue` looks for it there. BatchError as
    `write_batch`.
    """
    header = BatchHeader(
        source_name=source.name,
        source_sha256=done.source_sha256,
        count=len(done.cards),
        issue_date=f"{issue_date:%Y%m%d}",
        spec_version=store.spec_version,
        protocol=store.card_keys.protocol,
        cipher=store.card_keys.cipher,
        key_store_identity=store.identity,
        key_store_hint=str(keys.absolute()),
    )
    write_batch(out, header, done.cards, store.sealing_key("batch"))
    return header


def described(header: BatchHeader) -> dict[str, Any]:
    """The header as JSON members."""
    return asdict(header) | {"cipher": header.cipher.name.lower()}
