"""What the key agent remembers of batches: the site's private keys, and which were signed.

Each private key is sealed with the root keys, and is for one batch. `purge` overwrites it: from
then on nobody can open that batch, whatever copies of it there are.
"""

import hashlib
from collections.abc import Sequence
from uuid import UUID

from cardlib.errors import CardKeyError
from cardlib.keys.issuer import RecordRefused, Share

from .jobs import JobBook

_TABLES = (
    "CREATE TABLE IF NOT EXISTS site_keys"
    " (key_id BLOB PRIMARY KEY, batch BLOB, sealed BLOB) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS signed (batch BLOB PRIMARY KEY, manifest BLOB) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS given"
    " (key_id BLOB, first INTEGER, last INTEGER, site TEXT, PRIMARY KEY (key_id, first))"
    " WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS purged (batch BLOB PRIMARY KEY) WITHOUT ROWID",
)


class SiteKeyBook:
    """The agent's `SiteKeys`, in its file of jobs. Use it inside a transaction of that file."""

    keeps_all = True

    def __init__(self, jobs: JobBook) -> None:
        """Take the open file. Raises StorageError when it cannot be written."""
        self._jobs = jobs
        for table in _TABLES:
            jobs.do(table)

    def __repr__(self) -> str:
        return f"<site keys in {self._jobs!r}>"

    def keep(self, key_id: UUID, batch: UUID | None, sealed: bytes) -> None:
        """Keep a private key, which is sealed; one that is offered has no batch yet."""
        of = None if batch is None else batch.bytes
        self._jobs.do("INSERT INTO site_keys VALUES (?, ?, ?)", key_id.bytes, of, sealed)

    def find(self, key_id: UUID, batch: UUID) -> bytes | None:
        """Return a private key; None when it is not here. Its first batch is its only one.

        Raises RecordRefused when it is destroyed, or was used for another batch.
        """
        row = self._jobs.row("SELECT batch, sealed FROM site_keys WHERE key_id = ?", key_id.bytes)
        if row is None:
            return None
        if row[1] is None:
            raise _purged(batch)
        if row[0] is None:
            self._jobs.do(
                "UPDATE site_keys SET batch = ? WHERE key_id = ?", batch.bytes, key_id.bytes
            )
        elif row[0] != batch.bytes:
            raise RecordRefused(
                f"the site's key {key_id} is for batch {UUID(bytes=row[0])}: each batch has a key"
                " of its own. Let this batch be prepared with a new offer"
            )
        return bytes(row[1])

    def check_new(self, batch: UUID) -> None:
        """Raise CardKeyError when a batch of this id was signed or purged."""
        self.check_not_purged(batch)
        if self._jobs.row("SELECT 1 FROM signed WHERE batch = ?", batch.bytes) is not None:
            raise CardKeyError(f"batch {batch} was signed already: a new batch has a new id")

    def check_not_purged(self, batch: UUID) -> None:
        """Raise RecordRefused when the keys of a batch were destroyed."""
        if self._jobs.row("SELECT 1 FROM purged WHERE batch = ?", batch.bytes) is not None:
            raise _purged(batch)

    def sign_once(self, batch: UUID, manifest: bytes) -> None:
        """Note a manifest as the one of its batch. The same one may be signed again.

        Raises CardKeyError when another one was signed for this batch.
        """
        digest = hashlib.sha256(manifest).digest()
        row = self._jobs.row("SELECT manifest FROM signed WHERE batch = ?", batch.bytes)
        if row is None:
            self._jobs.do("INSERT INTO signed VALUES (?, ?)", batch.bytes, digest)
        elif row[0] != digest:
            raise CardKeyError(
                f"another manifest was signed for batch {batch}: prepare the list as a new batch"
            )

    def check_ours(self, batch: UUID, key_id: UUID, first: int, last: int) -> None:
        """Raise RecordRefused when records were given away, or their batch was purged."""
        self.check_not_purged(batch)
        row = self._jobs.row(
            "SELECT site, first, last FROM given WHERE key_id = ? AND first <= ? AND last >= ?",
            key_id.bytes, last, first,
        )  # fmt: skip
        if row is not None:
            raise RecordRefused(
                f"records {row[1]} to {row[2]} were transferred to site {row[0]}: they are issued"
                " there, and not here any more"
            )

    def give_away(self, key_id: UUID, to: Share) -> None:
        """Note that records that the key opens are another site's from now on."""
        self._jobs.do(
            "INSERT INTO given VALUES (?, ?, ?, ?)", key_id.bytes, to.first, to.last, to.site
        )

    def purge(self, batch: UUID, key_ids: Sequence[UUID]) -> int:
        """Destroy the private keys of a batch, for ever; return how many there were.

        `key_ids` are those that its manifest names: one that never opened a record is not bound to
        the batch yet.
        """
        for key_id in key_ids:
            self._jobs.do(
                "UPDATE site_keys SET batch = ? WHERE key_id = ? AND batch IS NULL",
                batch.bytes, key_id.bytes,
            )  # fmt: skip
        keys = self._jobs.do(
            "UPDATE site_keys SET sealed = NULL WHERE batch = ? AND sealed IS NOT NULL",
            batch.bytes,
        ).rowcount
        self._jobs.do("INSERT OR IGNORE INTO purged VALUES (?)", batch.bytes)
        return keys


def _purged(batch: UUID) -> RecordRefused:
    return RecordRefused(
        f"the keys of batch {batch} were destroyed here (`rhcard batch purge`): none of its records"
        " can be opened any more"
    )
