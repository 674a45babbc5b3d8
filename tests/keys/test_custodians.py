"""Two custodians open a store together: each pair of them, and nobody else."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cardlib.errors import CardKeyError
from cardlib.keys.roots import new_roots, next_roots
from cardlib.keys.store.custodians import (
    Custodian,
    WrongCustodians,
    opened_pair,
    pair_of,
    pair_wraps,
    share,
)
from cardlib.keys.store.store_file import (
    OpenStore,
    create,
    kept_beside,
    open_with_data_key,
    open_with_passphrase,
    read_header,
)
from cardlib.keys.store.store_header import PairWrap
from tests.programs import openssl

ROOTS, PASSPHRASE = new_roots(), "correct horse battery"
PEOPLE = {name: X25519PrivateKey.generate() for name in ("anna", "bruno", "chen", "dora")}


def custodian(name: str, key: X25519PrivateKey | None = None) -> Custodian:
    return name, (key or PEOPLE[name]).public_key().public_bytes_raw()


THREE = [custodian(name) for name in ("anna", "bruno", "chen")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bureau.keys"


def data_key_of(path: Path, one: str, other: str) -> bytes:
    wrap = pair_of(read_header(path), one, other)
    first, second = (share(PEOPLE[name], wrap) for name in wrap.operators)
    return opened_pair(wrap, first, second)


def opened_by(path: Path, one: str, other: str) -> OpenStore:
    return open_with_data_key(path, data_key_of(path, one, other))


def test_each_pair_opens_the_store_whoever_is_named_first(path: Path) -> None:
    create(path, ROOTS, custodians=THREE)
    header = read_header(path)
    assert (header.is_production, header.custodians) == (True, ("anna", "bruno", "chen"))
    assert len(header.wraps) == 3
    for pair in combinations(("anna", "bruno", "chen"), 2):
        for one, other in (pair, pair[::-1]):
            assert opened_by(path, one, other).roots(1) == ROOTS


def test_no_passphrase_opens_it(path: Path) -> None:
    create(path, ROOTS, custodians=THREE)
    with pytest.raises(CardKeyError, match="two of its custodians, not by a passphrase: anna"):
        open_with_passphrase(path, PASSPHRASE)


def test_one_custodian_or_a_stranger_opens_nothing(path: Path) -> None:
    create(path, ROOTS, custodians=THREE)
    header = read_header(path)
    wrap = pair_of(header, "anna", "bruno")
    anna, bruno = share(PEOPLE["anna"], wrap), share(PEOPLE["bruno"], wrap)
    for first, second in ((anna, anna), (bruno, anna), (anna, bytes(32)), (anna, b""), (b"", b"")):
        with pytest.raises(WrongCustodians):
            opened_pair(wrap, first, second)
    with pytest.raises(WrongCustodians, match="two different custodians"):
        pair_of(header, "anna", "anna")
    with pytest.raises(WrongCustodians, match="dora is no custodian"):
        pair_of(header, "anna", "dora")
    with pytest.raises(WrongCustodians, match="neither of anna and bruno"):
        share(PEOPLE["chen"], wrap)


def test_a_share_is_of_no_use_for_another_wrap(path: Path) -> None:
    create(path, ROOTS, custodians=THREE)
    header = read_header(path)
    one, other = pair_of(header, "anna", "bruno"), pair_of(header, "anna", "chen")
    assert share(PEOPLE["anna"], one) != share(PEOPLE["anna"], other)
    with pytest.raises(WrongCustodians):
        opened_pair(other, share(PEOPLE["anna"], one), share(PEOPLE["chen"], other))


def test_a_wrap_is_bound_to_its_store_and_its_people(path: Path) -> None:
    create(path, ROOTS, custodians=THREE)
    wrap = pair_of(read_header(path), "anna", "bruno")
    shares = [share(PEOPLE[name], wrap) for name in wrap.operators]
    for changed in (
        replace(wrap, store="00" * 16),
        replace(wrap, operators=("anna", "brunp")),
        replace(wrap, keys=(wrap.keys[0], bytes(32))),
        replace(wrap, public=bytes(32)),
    ):
        with pytest.raises(WrongCustodians):
            opened_pair(changed, *shares)


def test_a_wrap_is_the_agreement_and_hkdf_of_the_standards() -> None:
    """X25519, HKDF (RFC 5869) and AES-GCM again: HKDF by OpenSSL, from outside."""
    data_key = bytes(range(32))
    wrap: PairWrap = pair_wraps(THREE[:2], "5a" * 16, data_key)[0]
    public = X25519PublicKey.from_public_bytes(wrap.public)
    agreed = b"".join(PEOPLE[name].exchange(public) for name in ("anna", "bruno"))
    info = b"rhcard custodians " + b"5a" * 16 + b" anna bruno " + wrap.public + b"".join(wrap.keys)
    derived = openssl.hkdf(agreed, b"rhcard key store", info, 48)
    assert AESGCM(derived[:32]).decrypt(wrap.nonce, wrap.wrapped, None) == data_key
    assert derived[32:] == wrap.check


@pytest.mark.parametrize(("custodians", "why"), [
    (THREE[:1], "2 to 20 custodians, not 1"),
    ([*THREE, custodian("anna", X25519PrivateKey.generate())], "anna is given twice"),
    ([THREE[0], ("bruno", THREE[0][1])], "has the key of another custodian"),
    ([THREE[0], ("Bruno B", THREE[1][1])], "is not the name of an operator"),
    ([THREE[0], ("bruno", b"short")], "has 5 bytes, not 32"),
    ([THREE[0], ("bruno", bytes(32))], "an X25519 public key is not valid"),
    ([(f"p{n}", bytes((n,)) * 32) for n in range(21)], "2 to 20 custodians, not 21"),
])  # fmt: skip
def test_custodians_that_are_not_two_people_make_no_store(
    path: Path, custodians: list[Custodian], why: str
) -> None:
    with pytest.raises(CardKeyError, match=why):
        create(path, ROOTS, custodians=custodians)
    assert not path.exists()


def test_a_store_of_before_gets_custodians_and_keeps_its_keys(path: Path) -> None:
    before = create(path, ROOTS, passphrase=PASSPHRASE)
    before.with_custodians(THREE).replace(path)
    after = opened_by(path, "bruno", "chen")
    assert after.newest.identity == before.newest.identity and after.is_production
    assert open_with_passphrase(kept_beside(path), PASSPHRASE).roots(1) == ROOTS
    with pytest.raises(CardKeyError, match="does not go back to one passphrase"):
        after.with_passphrase(PASSPHRASE)


def test_a_lost_custodian_is_replaced_and_the_data_key_is_new(path: Path) -> None:
    create(path, ROOTS, custodians=THREE)
    old = data_key_of(path, "anna", "bruno")
    people = [custodian(name) for name in ("anna", "bruno", "dora")]
    opened_by(path, "anna", "bruno").with_custodians(people).replace(path)
    assert read_header(path).custodians == ("anna", "bruno", "dora")
    assert opened_by(path, "dora", "anna").roots(1) == ROOTS
    with pytest.raises(CardKeyError):
        open_with_data_key(path, old)


def test_a_rotation_needs_no_more_than_the_two_who_opened(path: Path) -> None:
    create(path, ROOTS, custodians=THREE)
    store = opened_by(path, "anna", "bruno")
    store.with_version(next_roots(ROOTS)).replace(path)
    assert list(opened_by(path, "anna", "chen").versions) == [1, 2]
