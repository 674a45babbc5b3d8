"""How the records of a batch are sealed: AES-256-GCM-SIV (RFC 8452), each under a key of its own.

The key of record n is HKDF-SHA-256 (RFC 5869) of the key of its range, info batch id ‖ n; the nonce
is 12 zero bytes; batch id ‖ n ‖ count are its associated data. So the same record gives the same
bytes, and one that is changed, moved or borrowed is noticed. A range's key is enveloped for the
site that may open its records.
"""

import json
import secrets
from collections.abc import Iterable, Sequence
from typing import Protocol
from uuid import UUID, uuid4

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..errors import DAMAGE, CardError, CardKeyError, FormatError
from ..keys import Purpose, RootKeys
from ..keys.issuer import RecordRange, RecordRefused, Share
from ..pki import enveloped_data, signed_data
from ..pki.p256 import new_private_key, point_of, private_key
from .transfers import MOST_TRANSFERRED, Transfer

_KEY, _NONCE = 32, bytes(12)


class SiteKeys(Protocol):
    """Where the private keys of a site are kept, each sealed."""

    @property
    def keeps_all(self) -> bool:
        """Whether the key of a batch for the preparing site itself is kept here, not in it."""
        ...

    def keep(self, key_id: UUID, batch: UUID | None, sealed: bytes) -> None:
        """Keep a key that was made for a batch, or for one that is not prepared yet."""
        ...

    def find(self, key_id: UUID, batch: UUID) -> bytes | None:
        """Return a key that may open this batch; None when it is not here.

        Raises RecordRefused when it was here and is destroyed.
        """
        ...


class LocalSealingBatch:
    """A new batch whose keys are in this process: it seals each record, and signs at last."""

    def __init__(
        self, keys: RootKeys, batch: UUID, count: int, ranges: Sequence[RecordRange],
        range_keys: Sequence[bytes],
    ) -> None:  # fmt: skip
        """Use `begun` or `continued`."""
        self.ranges = tuple(ranges)
        self._keys, self._batch, self._count = keys, batch, count
        self._range_keys, self._next = tuple(range_keys), 1

    def __repr__(self) -> str:
        return f"<new batch {self._batch}, {self._next - 1} of {self._count} records>"

    @property
    def kept(self) -> bytes:
        """What `continued` needs: the keys of the ranges, sealed."""
        rows = [
            each.as_dict() | {"range_key": key.hex()}
            for each, key in zip(self.ranges, self._range_keys, strict=True)
        ]
        plain = json.dumps(rows).encode()
        return self._keys.seal(Purpose.BATCH, plain, _kept(self._batch, self._count))

    def seal(self, number: int, record: bytes) -> bytes:
        """Seal record `number`, from 1 in order. Raises CardKeyError when it is not the next."""
        if number != self._next or number > self._count:
            raise CardKeyError(
                f"record {number} was given where {self._next} of {self._count} is next"
            )
        self._next += 1
        which = _range_of(self.ranges, number)
        key = record_key(self._range_keys[which], self._batch, number)
        return cipher_of(key).encrypt(_NONCE, record, _bound(self._batch, number, self._count))

    def sign(self, manifest: bytes) -> bytes:
        """Sign the manifest after the last record; return CMS SignedData, DER.

        Raises CardKeyError when it is of another batch, or records are missing.
        """
        if self._next != self._count + 1:
            raise CardKeyError(f"{self._next - 1} of {self._count} records were sealed")
        check_manifest(manifest, self._batch, self._count)
        return signed_data.sign(manifest, self._keys.preparation_signer)


class LocalSealedBatch:
    """A batch, the keys of whose ranges are opened in this process when they are needed."""

    def __init__(
        self, keys: RootKeys, batch: UUID, count: int, ranges: Sequence[RecordRange],
        site_keys: SiteKeys | None = None, transfers: Sequence[RecordRange] = (),
    ) -> None:  # fmt: skip
        self._keys, self._batch, self._count = keys, batch, count
        self._ranges, self._transfers = tuple(ranges), tuple(transfers)
        self._site_keys = site_keys
        self._opened: dict[RecordRange, bytes] = {}

    def __repr__(self) -> str:
        return f"<batch {self._batch}, {self._count} records>"

    def unseal(self, number: int, sealed: bytes) -> bytes:
        """Open record `number`.

        Raises RecordRefused when it is another site's, or its key was destroyed, and CardKeyError
        when it is damaged or is another record.
        """
        key = cipher_of(self.record_key(number))
        try:
            return key.decrypt(_NONCE, sealed, _bound(self._batch, number, self._count))
        except (InvalidTag, ValueError):
            raise CardKeyError(f"record {number} is damaged, or is another record") from None

    def record_key(self, number: int) -> bytes:
        """Return the key of a record, 32 bytes: for a transfer only. Raises as `unseal` does."""
        for each in reversed(self._transfers):
            if each.first <= number <= each.last:
                keys = self._content(each, _KEY * (each.last - each.first + 1))
                at = _KEY * (number - each.first)
                return keys[at : at + _KEY]
        which = self._ranges[_range_of(self._ranges, number)]
        return record_key(self._content(which, _KEY), self._batch, number)

    def _content(self, of: RecordRange, length: int) -> bytes:
        if of not in self._opened:
            try:
                content = enveloped_data.opened(of.enveloped, self._site_key(of))
            except FormatError:
                content = b""
            if len(content) != length:
                raise CardKeyError(f"the key of records {of.first} to {of.last} is damaged")
            self._opened[of] = content
        return self._opened[of]

    def _site_key(self, of: RecordRange) -> bytes:
        sealed = of.sealed
        if not sealed and self._site_keys is not None:
            sealed = self._site_keys.find(of.key_id, self._batch) or b""
        if not sealed:
            raise RecordRefused(
                f"records {of.first} to {of.last} are for site {of.site}, and its key {of.key_id}"
                " is not here: issue them there, or let that site transfer them"
            )
        return self._keys.unseal(Purpose.SITE, sealed, of.key_id.bytes)


def begun(
    keys: RootKeys, batch: UUID, count: int, shares: Sequence[Share], site_keys: SiteKeys | None
) -> LocalSealingBatch:
    """Begin a batch of `count` records, each in the share of one site, with random keys.

    Raises CardKeyError when the shares are not all records, each once and in order.
    """
    check_shares([(each.first, each.last) for each in shares], count)
    range_keys = [secrets.token_bytes(_KEY) for _ in shares]
    ranges = [
        _new_range(keys, batch, share, key, site_keys)
        for share, key in zip(shares, range_keys, strict=True)
    ]
    return LocalSealingBatch(keys, batch, count, ranges, range_keys)


def continued(keys: RootKeys, batch: UUID, count: int, kept: bytes) -> LocalSealingBatch:
    """Begin a batch again that was cut: the same records give the same bytes.

    Raises CardKeyError when `kept` is damaged, or is of other keys or another batch.
    """
    plain = keys.unseal(Purpose.BATCH, kept, _kept(batch, count))
    try:
        rows = json.loads(plain)
        ranges = [
            RecordRange.of_dict({n: v for n, v in row.items() if n != "range_key"}) for row in rows
        ]
        range_keys = [bytes.fromhex(row["range_key"]) for row in rows]
    except DAMAGE:
        raise CardKeyError("the keys of the batch are damaged") from None
    return LocalSealingBatch(keys, batch, count, ranges, range_keys)


def new_site_key(keys: RootKeys) -> tuple[UUID, bytes, bytes]:
    """Make a key pair of a site: its identifier, the public key, the private one sealed."""
    key_id, private = uuid4(), new_private_key()
    sealed = keys.seal(Purpose.SITE, private, key_id.bytes)
    return key_id, point_of(private_key(private)), sealed


def transferred(
    keys: RootKeys, opened: LocalSealedBatch, batch: UUID, count: int, giver: UUID, to: Share
) -> bytes:
    """Envelop the keys of records for another site, and sign that; return CMS SignedData, DER.

    Raises RecordRefused when the records are not this site's, CardKeyError when they are too many.
    """
    if to.offer is None or not 0 < to.last - to.first + 1 <= MOST_TRANSFERRED:
        raise CardKeyError(
            f"one transfer has 1 to {MOST_TRANSFERRED} records, for the offer of a site: make"
            " several transfers"
        )
    record_keys = b"".join(opened.record_key(n) for n in range(to.first, to.last + 1))
    enveloped = enveloped_data.enveloped(record_keys, to.offer.public)
    given = RecordRange(to.site, to.first, to.last, to.offer.key_id, enveloped)
    statement = Transfer(batch, count, giver, given)
    return signed_data.sign(statement.to_json(), keys.preparation_signer)


def record_key(range_key: bytes, batch: UUID, number: int) -> bytes:
    """Return the key of a record: HKDF-SHA-256 of its range's key, info batch id ‖ number (4)."""
    return HKDF(SHA256(), _KEY, None, batch.bytes + number.to_bytes(4, "big")).derive(range_key)


def cipher_of(key: bytes) -> AESGCMSIV:
    """Return the cipher of a record's key. Raises CardError when this computer has it not."""
    try:
        return AESGCMSIV(key)
    except UnsupportedAlgorithm:
        raise CardError(
            "the cryptography package of this computer has no AES-GCM-SIV: it was built with an"
            " OpenSSL before 3.2. Install it from PyPI: `pip install --force-reinstall"
            " cryptography`"
        ) from None


def check_manifest(manifest: bytes, batch: UUID, count: int) -> None:
    """Raise CardKeyError unless a manifest names this batch and this count."""
    try:
        found = json.loads(manifest)
        named = (found["batch_id"], found["count"])
    except DAMAGE:
        named = ("", 0)
    if named != (str(batch), count):
        raise CardKeyError("the manifest is not that of the batch whose records were sealed")


def check_shares(shares: Iterable[tuple[int, int]], count: int) -> None:
    """Raise CardKeyError unless (first, last) are all records, each once and in order."""
    end = 0
    for first, last in shares:
        if first != end + 1 or not first <= last:
            raise CardKeyError(
                f"the ranges of the batch do not fit: {first} to {last} comes after record {end}"
            )
        end = last
    if end != count:
        raise CardKeyError(f"the ranges end at record {end}, and the batch has {count}")


def _new_range(
    keys: RootKeys, batch: UUID, share: Share, range_key: bytes, site_keys: SiteKeys | None
) -> RecordRange:
    if share.offer is not None:
        key_id, public, sealed = share.offer.key_id, share.offer.public, b""
    else:
        key_id, public, sealed = new_site_key(keys)
        if site_keys is not None and site_keys.keeps_all:
            site_keys.keep(key_id, batch, sealed)
            sealed = b""
    enveloped = enveloped_data.enveloped(range_key, public)
    return RecordRange(share.site, share.first, share.last, key_id, enveloped, sealed)


def _range_of(ranges: Sequence[RecordRange], number: int) -> int:
    for which, each in enumerate(ranges):
        if each.first <= number <= each.last:
            return which
    raise CardKeyError(f"there is no record {number} in the ranges of the batch")


def _bound(batch: UUID, number: int, count: int) -> bytes:
    """The associated data of a record: batch id (16) ‖ number (4) ‖ count (4)."""
    return batch.bytes + number.to_bytes(4, "big") + count.to_bytes(4, "big")


def _kept(batch: UUID, count: int) -> bytes:
    return b"unfinished" + _bound(batch, 0, count)
