"""From prepared cards to a batch on disk, bound to the issuer's keys."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from cardlib.keys.issuer import Issuer, Share

from ..listing.consistency import compact
from .batch import BatchHeader, write_batch
from .prepare import ResidentList
from .prepared import PreparedCard


def seal(
    out: Path,
    residents: ResidentList,
    cards: Iterable[PreparedCard],
    issuer: Issuer,
    *,
    keys: Path,
    issue_date: date,
    shares: Sequence[Share] = (),
) -> BatchHeader:
    """Write the cards of all residents of a list as a new batch; returns its header.

    `keys` is where the issuer's key store is now: a later `issue` looks for it there. Without
    `shares` all records are for the site that prepares. BatchError as `write_batch`.
    """
    header = BatchHeader(
        source_name=residents.name,
        source_sha256=residents.sha256,
        count=len(residents.rows),
        issue_date=compact(issue_date),
        spec_version=issuer.spec.text,
        cipher=issuer.cipher,
        key_store_identity=issuer.identity,
        key_version=issuer.key_version,
        key_store_hint=str(keys.absolute()),
    )
    return write_batch(out, header, cards, issuer, shares)


def described(header: BatchHeader) -> dict[str, Any]:
    """The header as JSON members."""
    return asdict(header) | {"cipher": header.cipher.name.lower()}
