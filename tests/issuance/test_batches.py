"""Sealed batches: each record once, in order, under a key of its own; each for one site."""

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cardlib.errors import CardError, CardKeyError, FormatError
from cardlib.issuance.batches import (
    LocalSealedBatch,
    begun,
    cipher_of,
    continued,
    new_site_key,
    record_key,
    transferred,
)
from cardlib.issuance.transfers import Transfer
from cardlib.keys import Purpose
from cardlib.keys.issuer import RecordRefused, Share, SiteOffer
from cardlib.keys.roots import new_roots
from cardlib.keys.store import KeyStore
from cardlib.pki.enveloped_data import opened
from cardlib.pki.signed_data import opened as opened_signed

BATCH = UUID(int=1)
STORE, OTHER = KeyStore(new_roots()), KeyStore(new_roots())
ALL_OF_2 = [Share("here", 1, 2)]
MANIFEST = f'{{"batch_id":"{BATCH}","count":2}}'.encode()


class Kept:
    """A site's keys that are kept apart from its batches."""

    keeps_all = True

    def __init__(self) -> None:
        self.sealed: dict[UUID, bytes] = {}

    def keep(self, key_id: UUID, batch: UUID | None, sealed: bytes) -> None:
        self.sealed[key_id] = sealed

    def find(self, key_id: UUID, batch: UUID) -> bytes | None:
        return self.sealed.get(key_id)


RFC_8452 = [
    # C.2: key, nonce, plaintext, associated data, result
    ("01" + "00" * 31, "03" + "00" * 11, "", "", "07f5f4169bbf55a8400cd47ea6fd400f"),
    (
        "01" + "00" * 31, "03" + "00" * 11, "0100000000000000", "",
        "c2ef328e5c71c83b843122130f7364b761e0b97427e3df28",
    ),
    (
        "01" + "00" * 31, "03" + "00" * 11, "0200000000000000", "01",
        "1de22967237a813291213f267e3b452f02d01ae33e4ec854",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("key", "nonce", "plain", "bound", "result"), RFC_8452)
def test_the_cipher_is_that_of_rfc_8452(
    key: str, nonce: str, plain: str, bound: str, result: str
) -> None:
    cipher = AESGCMSIV(bytes.fromhex(key))
    sealed = cipher.encrypt(*(bytes.fromhex(each) for each in (nonce, plain, bound)))
    assert sealed.hex() == result


def test_a_record_is_sealed_as_the_docs_say() -> None:
    range_key = bytes(range(32))
    key = HKDF(SHA256(), 32, None, BATCH.bytes + bytes((0, 0, 0, 7))).derive(range_key)
    bound = BATCH.bytes + bytes((0, 0, 0, 7)) + bytes((0, 0, 0, 9))
    expected = AESGCMSIV(key).encrypt(bytes(12), b"record", bound)
    ours = cipher_of(record_key(range_key, BATCH, 7))
    assert ours.encrypt(bytes(12), b"record", bound) == expected


def test_each_record_of_a_batch_is_sealed_once_and_in_order() -> None:
    batch = begun(STORE, BATCH, 2, ALL_OF_2, None)
    with pytest.raises(CardKeyError, match="record 2 was given where 1 of 2 is next"):
        batch.seal(2, b"second")
    first = batch.seal(1, b"first")
    with pytest.raises(CardKeyError, match="record 1 was given where 2 of 2 is next"):
        batch.seal(1, b"another first")
    with pytest.raises(CardKeyError, match="1 of 2 records were sealed"):
        batch.sign(MANIFEST)
    second = batch.seal(2, b"second")
    for number in (1, 2, 3):
        with pytest.raises(CardKeyError):
            batch.seal(number, b"more")
    opened = LocalSealedBatch(STORE, BATCH, 2, batch.ranges)
    assert [opened.unseal(1, first), opened.unseal(2, second)] == [b"first", b"second"]
    signed = opened_signed(batch.sign(MANIFEST))
    assert signed.signer.der == STORE.preparation_signer.certificate


@pytest.mark.parametrize("manifest", [b"", b"{}", b"[]", MANIFEST.replace(b"2", b"3")])
def test_another_manifest_is_not_signed(manifest: bytes) -> None:
    batch = begun(STORE, BATCH, 2, ALL_OF_2, None)
    batch.seal(1, b"first"), batch.seal(2, b"second")
    with pytest.raises(CardKeyError, match="not that of the batch"):
        batch.sign(manifest)


MOVED: list[tuple[str, Callable[[bytes, bytes], tuple[KeyStore, UUID, int, int, bytes]]]] = [
    ("to another place", lambda one, two: (STORE, BATCH, 2, 2, one)),
    ("and changed", lambda one, two: (STORE, BATCH, 2, 1, bytes((one[0] ^ 1,)) + one[1:])),
    ("and cut", lambda one, two: (STORE, BATCH, 2, 1, one[:-1])),
    ("into another batch", lambda one, two: (STORE, UUID(int=2), 2, 1, one)),
    ("into a batch of another count", lambda one, two: (STORE, BATCH, 3, 1, one)),
    ("to other keys", lambda one, two: (OTHER, BATCH, 2, 1, one)),
    ("behind the last", lambda one, two: (STORE, BATCH, 2, 3, one)),
]


@pytest.mark.parametrize("moved", [each for _, each in MOVED], ids=[name for name, _ in MOVED])
def test_a_record_that_was_moved_does_not_open(
    moved: Callable[[bytes, bytes], tuple[KeyStore, UUID, int, int, bytes]],
) -> None:
    batch = begun(STORE, BATCH, 2, ALL_OF_2, None)
    keys, of, count, number, sealed = moved(batch.seal(1, b"first"), batch.seal(2, b"second"))
    with pytest.raises(CardKeyError):
        LocalSealedBatch(keys, of, count, batch.ranges).unseal(number, sealed)


def test_a_batch_that_was_cut_gives_the_same_bytes_again() -> None:
    batch = begun(STORE, BATCH, 2, ALL_OF_2, None)
    first = batch.seal(1, b"first")
    again = continued(STORE, BATCH, 2, batch.kept)
    assert (again.seal(1, b"first"), again.ranges) == (first, batch.ranges)
    assert again.seal(2, b"second") == batch.seal(2, b"second")
    for keys, of, count in ((OTHER, BATCH, 2), (STORE, UUID(int=2), 2), (STORE, BATCH, 3)):
        with pytest.raises(CardKeyError):
            continued(keys, of, count, batch.kept)
    with pytest.raises(CardKeyError):
        continued(STORE, BATCH, 2, batch.kept[:-1])


def test_the_records_of_a_site_open_at_that_site_alone() -> None:
    key_id, public, sealed = new_site_key(STORE)
    offer = SiteOffer("north", key_id, public)
    shares = [Share("here", 1, 1), Share("north", 2, 2, offer)]
    batch = begun(STORE, BATCH, 2, shares, here := Kept())
    first, second = batch.seal(1, b"first"), batch.seal(2, b"second")
    assert all(not each.sealed for each in batch.ranges)
    north = Kept()
    north.keep(key_id, BATCH, sealed)
    at_north = LocalSealedBatch(STORE, BATCH, 2, batch.ranges, north)
    ours = LocalSealedBatch(STORE, BATCH, 2, batch.ranges, here)
    assert (ours.unseal(1, first), at_north.unseal(2, second)) == (b"first", b"second")
    for there, number, record in ((ours, 2, second), (at_north, 1, first)):
        with pytest.raises(RecordRefused, match=r"are for site .* is not here"):
            there.unseal(number, record)


def test_a_transfer_gives_the_keys_of_its_records_alone() -> None:
    """With the key of the range the other site could open all of it."""
    batch = begun(STORE, BATCH, 4, [Share("here", 1, 4)], here := Kept())
    sealed = [batch.seal(n, bytes((n,))) for n in range(1, 5)]
    key_id, public, private = new_site_key(STORE)
    to = Share("north", 2, 3, SiteOffer("north", key_id, public))
    ours = LocalSealedBatch(STORE, BATCH, 4, batch.ranges, here)
    signed = transferred(STORE, ours, BATCH, 4, batch.ranges[0].key_id, to)
    given = Transfer.from_json(opened_signed(signed).content).to
    north = Kept()
    north.keep(key_id, BATCH, private)
    theirs = LocalSealedBatch(STORE, BATCH, 4, batch.ranges, north, [given])
    assert [theirs.unseal(n, sealed[n - 1]) for n in (2, 3)] == [b"\2", b"\3"]
    content = opened(given.enveloped, STORE.unseal(Purpose.SITE, private, key_id.bytes))
    assert content == b"".join(ours.record_key(n) for n in (2, 3))
    for number in (1, 4):
        with pytest.raises(RecordRefused):
            theirs.unseal(number, sealed[number - 1])
    for first, last in ((1, 0), (1, 4000)):
        with pytest.raises(CardKeyError, match="make several transfers"):
            transferred(STORE, ours, BATCH, 4, key_id, replace(to, first=first, last=last))


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"1", b'{"format":"rhcard transfer 1"}'])
def test_a_statement_that_is_no_transfer_is_refused(raw: bytes) -> None:
    with pytest.raises(FormatError, match="no statement"):
        Transfer.from_json(raw)


@pytest.mark.parametrize(
    "shares",
    [
        [], [(1, 1)], [(1, 3)], [(2, 2)], [(1, 1), (1, 2)], [(1, 1), (3, 2)], [(2, 2), (1, 1)],
        [(1, 2), (3, 3)], [(0, 2)], [(1, 0), (1, 2)],
    ],
)  # fmt: skip
def test_every_record_is_in_one_share(shares: list[tuple[int, int]]) -> None:
    with pytest.raises(CardKeyError, match=r"the ranges"):
        begun(STORE, BATCH, 2, [Share("here", *each) for each in shares], None)


def test_a_computer_without_the_cipher_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from cryptography.exceptions import UnsupportedAlgorithm

    def none(_: bytes) -> object:
        raise UnsupportedAlgorithm("AES-SIV is not supported by this version of OpenSSL")

    monkeypatch.setattr("cardlib.issuance.batches.AESGCMSIV", none)
    with pytest.raises(CardError, match=r"OpenSSL before 3\.2\. Install it from PyPI"):
        cipher_of(bytes(32))
