"""The roots as one value: random or public, whole or refused, to text and back."""

import json
from dataclasses import replace
from types import MappingProxyType

import pytest

from cardlib.crypto import Cipher
from cardlib.errors import CardKeyError
from cardlib.keys.roots import TEST_TRANSPORT_ROOT, from_json, new_roots, public_test_roots, to_json
from cardlib.layout import KEY_BY_NAME


def test_new_roots_are_all_different() -> None:
    roots = new_roots()
    values = [*roots.card.values(), roots.transport, roots.issuer, roots.cvk, roots.secret]
    values += [*new_roots().card.values()]
    assert len(set(values)) == 2 * len(KEY_BY_NAME) + 4
    assert not roots.is_test


def test_public_roots_are_the_same_for_everybody() -> None:
    assert public_test_roots() == public_test_roots()
    assert public_test_roots().transport == TEST_TRANSPORT_ROOT
    assert public_test_roots() == public_test_roots(2, Cipher.SM4)
    root = public_test_roots(1).card["RK1_DF01"]
    assert root.hex() == "f8a5ec384f826809ca0c6daa0ddf2eab"


@pytest.mark.parametrize("protocol", [1, 2])
@pytest.mark.parametrize("cipher", Cipher)
def test_public_roots_are_told_wherever_one_of_them_is(protocol: int, cipher: Cipher) -> None:
    public, private = public_test_roots(protocol, cipher), new_roots(protocol, cipher)
    assert public.is_test
    assert replace(private, transport=public.transport).is_test
    assert replace(private, issuer=public.issuer).is_test
    card = {**private.card, "IRK_DDF1": public.card["IRK_DDF1"]}
    assert replace(private, card=MappingProxyType(card)).is_test
    assert not private.is_test


def test_no_two_key_sets_share_public_roots() -> None:
    sets = [public_test_roots(p, c) for p in (1, 2) for c in Cipher]
    values = {value for roots in sets for value in roots.card.values()}
    assert len(values) == 4 * len(KEY_BY_NAME)


@pytest.mark.parametrize("cipher", Cipher)
def test_roots_survive_their_text(cipher: Cipher) -> None:
    roots = new_roots(2, cipher)
    assert from_json(to_json(roots)) == roots


@pytest.mark.parametrize("damage", [
    lambda entry: entry.pop("issuer"), lambda entry: entry.update(issuer="00"),
    lambda entry: entry.update(cipher="DES"), lambda entry: entry["card"].pop("RK1_DF01"),
    lambda entry: entry["card"].update(RK9="00" * 16), lambda entry: entry.update(version=9),
    lambda entry: entry.update(secret="00" * 16), lambda entry: entry.update(card=[]),
    lambda entry: entry.update(protocol=None), lambda entry: entry.update(transport="xx"),
])  # fmt: skip
def test_roots_that_are_not_whole_are_refused(damage: object) -> None:
    entry = json.loads(to_json(new_roots()))
    assert callable(damage)
    damage(entry)
    with pytest.raises(CardKeyError):
        from_json(json.dumps(entry).encode())


@pytest.mark.parametrize("plain", [b"", b"[]", b"null", b"\xff", b"{"])
def test_what_is_no_roots_is_refused(plain: bytes) -> None:
    with pytest.raises(CardKeyError):
        from_json(plain)


def test_roots_do_not_show_themselves() -> None:
    roots = new_roots()
    shown = repr(roots)
    for value in (*roots.card.values(), roots.transport, roots.issuer, roots.cvk, roots.secret):
        assert repr(value)[2:-1] not in shown and value.hex() not in shown
