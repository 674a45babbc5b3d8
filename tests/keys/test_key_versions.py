"""Several versions of the roots: made by rotation, retired, and used by one terminal."""

from dataclasses import replace
from pathlib import Path

import pytest

from cardlib.card import ResidentHealthCard
from cardlib.card.field_card import FieldCard
from cardlib.card.identity import CardIdentity
from cardlib.crypto import Cipher
from cardlib.emulator.bench.ready_made import personalized_card
from cardlib.errors import CardKeyError
from cardlib.keys import KeyHolder
from cardlib.keys.roots import (
    Roots,
    check_values,
    new_roots,
    next_roots,
    public_test_roots,
)
from cardlib.keys.several import SeveralKeySets
from cardlib.keys.store import KeyStore
from cardlib.keys.store.store_file import OpenStore, create, open_with_passphrase
from tests.programs import openssl

CHIP, REGION, PASSPHRASE = bytes.fromhex("5248430000000001"), b"41000000", "correct horse battery"
ROOTS = new_roots()


def rotated(store: OpenStore, times: int = 1) -> OpenStore:
    for _ in range(times):
        store = store.with_version(next_roots(store.roots(max(store.versions))))
    return store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bureau.keys"


@pytest.fixture
def store(path: Path) -> OpenStore:
    return create(path, ROOTS, passphrase=PASSPHRASE)


def test_a_store_of_seven_versions_opens_and_there_is_no_eighth(
    store: OpenStore, path: Path
) -> None:
    seven = rotated(store, 6)
    seven.replace(path)
    again = open_with_passphrase(path, PASSPHRASE)
    assert list(again.versions) == [1, 2, 3, 4, 5, 6, 7]
    assert [again.roots(n) for n in range(1, 8)] == [seven.roots(n) for n in range(1, 8)]
    assert len({keys.identity for keys in again.versions.values()}) == 7
    assert again.newest.key_version == 7 and again.differences() == []
    with pytest.raises(CardKeyError, match="key version 7 is the last"):
        rotated(again)


def test_a_rotation_makes_every_root_new_but_the_transport_root() -> None:
    after, asked = next_roots(ROOTS), next_roots(ROOTS, transport=True)
    for name, root in after.card.items():
        assert root != ROOTS.card[name]
    assert after.transport == ROOTS.transport != asked.transport
    for name in ("issuer", "cvk", "secret"):
        assert getattr(after, name) != getattr(ROOTS, name)
    assert (after.version, after.protocol, after.cipher) == (2, ROOTS.protocol, ROOTS.cipher)


def test_the_identity_of_a_version_is_the_one_that_batches_have(store: OpenStore) -> None:
    assert rotated(store).versions[1].identity == KeyStore(ROOTS).identity


def test_public_test_keys_rotate_to_public_test_keys() -> None:
    second = next_roots(public_test_roots())
    assert second == public_test_roots(version=2) and second.is_test and not second.is_mixed
    assert not set(second.card.values()) & set(public_test_roots().card.values())
    with pytest.raises(CardKeyError, match="one transport root"):
        next_roots(public_test_roots(), transport=True)


@pytest.mark.parametrize(("roots", "why"), [
    (ROOTS, "have version 1, and the key store has version 1 already"),
    (replace(new_roots(1), version=2), "one protocol and one cipher"),
    (replace(new_roots(2, Cipher.AES), version=2), "one protocol and one cipher"),
    (public_test_roots(version=2), "never in one key store"),
])  # fmt: skip
def test_roots_that_do_not_belong_to_a_store_are_refused(
    store: OpenStore, roots: Roots, why: str
) -> None:
    with pytest.raises(CardKeyError, match=why):
        store.with_version(roots)


def test_a_retired_version_reads_and_makes_nothing(store: OpenStore, path: Path) -> None:
    two = rotated(store)
    first, second = (two.versions[n].identity for n in (1, 2))
    assert two.for_issuing(first).key_version == 1
    two.retired(1).replace(path)
    again = open_with_passphrase(path, PASSPHRASE)
    assert again.of(first).key_version == 1 and again.terminal_keys.versions == (1, 2)
    with pytest.raises(CardKeyError, match=r"key version 1 .* is retired: cards of it are read"):
        again.for_issuing(first)
    assert again.for_issuing(second) is again.newest
    with pytest.raises(CardKeyError, match="retired already"):
        again.retired(1)
    with pytest.raises(CardKeyError, match="the only one that makes cards: rotate first"):
        again.retired(2)
    with pytest.raises(CardKeyError, match="no version 5"):
        again.retired(5)


def test_the_newest_is_the_newest_that_makes_cards(store: OpenStore) -> None:
    three = rotated(store, 2)
    assert three.newest.key_version == 3
    assert three.retired(3).newest.key_version == 2
    assert rotated(three.retired(3)).newest.key_version == 4


def test_an_identity_of_another_store_is_refused(store: OpenStore) -> None:
    holder: KeyHolder = store
    with pytest.raises(CardKeyError, match=f"no version of this key store is {'0' * 32}"):
        holder.of("0" * 32)


@pytest.mark.parametrize("cipher", Cipher)
def test_check_values_are_those_of_the_specification(cipher: Cipher) -> None:
    """3 bytes of E(00*16) for SM4 and of E(01*16) for every AES key, by OpenSSL."""
    roots = new_roots(2, cipher)
    block = {Cipher.SM4: bytes(16), Cipher.AES: b"\1" * 16}
    found = check_values(roots)
    assert len(found) == 33
    for name, root in {**roots.card, "cvk": roots.cvk}.items():
        assert found[name] == openssl.ecb(cipher.name, root, block[cipher])[:3]
    for name, root in (("transport", roots.transport), ("issuer", roots.issuer)):
        assert found[name] == openssl.ecb("AES", root, block[Cipher.AES])[:3]


# --- one terminal ------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [1, 2])
def test_one_terminal_reads_cards_of_three_key_versions(path: Path, protocol: int) -> None:
    store = rotated(create(path, new_roots(protocol), passphrase=PASSPHRASE), 2).retired(1)
    for number in store.versions:
        card = personalized_card(store.roots(number))
        reader = ResidentHealthCard(card, store.terminal_keys, min_protocol=protocol)
        reader.internal_authenticate()
        reader.authenticate("RK1_DF02")
        assert reader.identity.key_version == number
        assert "RK1_DF02" in reader.rights


def test_a_card_of_a_version_that_the_terminal_lacks_is_named(store: OpenStore) -> None:
    keys = rotated(store).terminal_keys
    card = personalized_card(replace(new_roots(), version=3))
    with pytest.raises(CardKeyError, match=r"version.* 1, 2; this card is different: .* version 3"):
        ResidentHealthCard(card, keys).authenticate("RK1_DF02")


def test_several_key_sets_choose_by_protocol_cipher_and_version(store: OpenStore) -> None:
    keys = rotated(store, 2).terminal_keys
    for version in (1, 2, 3):
        assert keys.fitting(2, Cipher.SM4, version).version == version
    for other in ((1, Cipher.SM4, 1), (2, Cipher.AES, 1), (2, Cipher.SM4, 4)):
        with pytest.raises(CardKeyError, match="versions 1, 2, 3"):
            keys.fitting(*other)
    assert (keys.version, keys.protocol, keys.cipher) == (3, 2, Cipher.SM4)
    newest = keys.fitting(2, Cipher.SM4, 3).for_card(CHIP, REGION)
    assert keys.for_card(CHIP, REGION).key_check_value("RK1_DF01") == (
        newest.key_check_value("RK1_DF01")
    )


def test_a_card_that_names_no_version_gets_the_newest_or_the_one_given(path: Path) -> None:
    """A deployed card of profile `field`: its key version is the operator's word."""
    store = rotated(create(path, new_roots(1), passphrase=PASSPHRASE), 1)
    keys = store.terminal_keys
    for given, expected in ((None, 2), (1, 1), (2, 2)):
        identity = FieldCard(key_version=given).identity(CHIP, REGION, keys)
        assert identity.keys_of(keys).version == expected
    with pytest.raises(CardKeyError, match="not known which keys"):
        CardIdentity(CHIP, 0x10, None, None, REGION).keys_of(keys)


def test_key_sets_that_do_not_belong_together_are_refused() -> None:
    one, other = KeyStore(new_roots(1)).terminal_keys, KeyStore(new_roots(2)).terminal_keys
    for sets, newest in (({1: one, 2: other}, 1), ({2: one}, 2), ({1: one}, 2), ({}, 1)):
        with pytest.raises(CardKeyError):
            SeveralKeySets(sets, newest)


def test_no_set_shows_a_key(store: OpenStore) -> None:
    two = rotated(store)
    shown = f"{two!r} {two.terminal_keys!r} {two.header!r}".lower()
    for version in two.versions:
        roots = two.roots(version)
        for key in (*roots.card.values(), roots.transport, roots.issuer, roots.cvk, roots.secret):
            assert key.hex() not in shown
