"""Static SCP03 keys that are derived inside the token, where it offers SP 800-108.

The token is Mozilla's softokn, which is nobody's copy of SoftHSM: it refuses some attributes, lists
no derivation by AES-ECB, and lets no key out that was derived from one that stays inside.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pkcs11
import pytest
from pkcs11 import Attribute, ObjectClass

from cardlib.crypto import Cipher
from cardlib.errors import CardKeyError
from cardlib.facts import ChipSerial, Pin, Region
from cardlib.keys import Purpose
from cardlib.keys.roots import new_roots
from cardlib.keys.store import KeyStore
from cardlib.keys.token.token_holder import TokenHolder
from cardlib.keys.token.token_keys import TokenKeys
from cardlib.keys.token.token_making import generate_roots, import_roots, remove_version
from cardlib.keys.token.token_scp03 import TokenScp03Keys
from cardlib.keys.token.token_session import TokenSession
from cardlib.keys.token.token_version import differences, leftovers
from tests.programs import openssl
from tests.programs.nss_token import LABEL, PIN

CHIPS = [ChipSerial(bytes.fromhex(f"524843000000{n:04X}")) for n in (1, 2)]
REGION, HOLDERS_PIN = Region.of_city("410100"), Pin("493817")
CONTEXT = bytes(range(16))


@dataclass(frozen=True)
class Both:
    session: TokenSession
    memory: KeyStore
    token: TokenKeys
    issuer_root: bytes


@pytest.fixture(scope="module")
def facts_beside(nss_module: str) -> Iterator[None]:
    """softokn keeps no data objects, so the facts are kept here."""
    kept: list[tuple[str, str, bytes]] = []
    with pytest.MonkeyPatch.context() as patch:
        session = TokenSession(nss_module, LABEL, PIN)
        with pytest.raises(CardKeyError, match="it keeps no data objects"):
            session.put_data("rhcard/x/v1", "rhcard", b"facts")

        def put(self: TokenSession, *fact: Any) -> None:
            kept.append(fact)

        def data(self: TokenSession, application: str) -> list[tuple[str, bytes]]:
            return [(label, value) for label, of, value in kept if of == application]

        def remove(self: TokenSession, labels: frozenset[str], *, data: bool = False) -> int:
            if not data:
                return real(self, labels)
            kept[:] = [each for each in kept if each[0] not in labels]
            return 1

        real = TokenSession.remove
        patch.setattr(TokenSession, "put_data", put)
        patch.setattr(TokenSession, "data", data)
        patch.setattr(TokenSession, "remove", remove)
        yield


@pytest.fixture(scope="module")
def both(nss_module: str, facts_beside: None) -> Iterator[Both]:
    roots = new_roots(2, Cipher.AES)
    session = TokenSession(nss_module, LABEL, PIN)
    made = import_roots(session, "main", roots)
    yield Both(session, KeyStore(roots), TokenKeys(session, made.version), roots.issuer)
    remove_version(session, made.version)
    session.close()


def test_the_keys_are_those_of_openssl_and_of_the_store(both: Both) -> None:
    inside, outside = both.token.issuer_keys(CHIPS[0]), both.memory.issuer_keys(CHIPS[0])
    assert isinstance(inside, TokenScp03Keys)
    assert inside.key_check_values == outside.key_check_values
    for label, value in zip((b"ENC", b"MAC", b"DEK"), inside.key_check_values, strict=True):
        key = openssl.kbkdf("AES", both.issuer_root, label, CHIPS[0], 16)
        assert openssl.ecb("AES", key, b"\1" * 16)[:3] == value
    assert (inside.key_version, inside.key_length, inside.chip) == (1, 16, CHIPS[0])
    assert both.token.transport_keys(CHIPS[1]).key_check_values == (
        both.memory.transport_keys(CHIPS[1]).key_check_values
    )


def test_session_keys_and_wrapped_keys_are_the_same(both: Both) -> None:
    inside, outside = both.token.issuer_keys(CHIPS[0]), both.memory.issuer_keys(CHIPS[0])
    for constant in (4, 6, 7):
        one, two = (each.session_key(constant, CONTEXT) for each in (inside, outside))
        assert one.encrypt_ecb(CONTEXT) == two.encrypt_ecb(CONTEXT)
    with pytest.raises(CardKeyError, match="derivation constant 08"):
        inside.session_key(8, CONTEXT)
    assert inside.encrypt_dek(bytes(48)) == outside.encrypt_dek(bytes(48))
    dek_inside, dek_outside = (k.transport_keys(CHIPS[0]) for k in (both.token, both.memory))
    expected = outside.wrapped(dek_outside)
    assert inside.wrapped(dek_inside) == expected
    assert inside.wrapped(dek_outside) == outside.wrapped(dek_inside) == expected


def test_groupings_and_seals_are_the_same(both: Both) -> None:
    for chip in CHIPS:
        assert both.token.groupings(chip, REGION, HOLDERS_PIN) == (
            both.memory.groupings(chip, REGION, HOLDERS_PIN)
        )
    sealed = both.token.seal(Purpose.PIN, b"x", b"y")
    assert both.memory.unseal(Purpose.PIN, sealed, b"y") == b"x"
    assert both.token.security_code("0000000001", "20261127") == (
        both.memory.security_code("0000000001", "20261127")
    )


def test_the_static_keys_cannot_be_read_from_the_token(both: Both, nss_module: str) -> None:
    both.token.issuer_keys(CHIPS[0])
    raw = pkcs11.lib(nss_module).get_token(token_label=LABEL).open()
    derived = list(
        raw.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.TOKEN: False})
    )
    assert len(derived) >= 3
    for key in derived:
        with pytest.raises(pkcs11.PKCS11Error):
            key[Attribute.VALUE]


def test_a_wrong_chip_is_refused(both: Both) -> None:
    with pytest.raises(CardKeyError, match="a chip serial has 8 bytes"):
        both.token.issuer_keys(CHIPS[0][:7])  # type: ignore[arg-type]


def test_many_chips_do_not_fill_the_token(both: Both) -> None:
    """Derived keys are given back: more chips than the session keeps keys for."""
    first = both.token.issuer_keys(CHIPS[0])
    for number in range(200):
        both.token.issuer_keys(ChipSerial(number.to_bytes(8, "big")))
    assert first.encrypt_dek(CONTEXT) == both.memory.issuer_keys(CHIPS[0]).encrypt_dek(CONTEXT)


def test_keys_made_inside_work_too(both: Both) -> None:
    made = generate_roots(both.session, "other")
    keys = TokenHolder(both.session, "other").newest
    assert keys.identity == made.version.identity
    assert isinstance(keys.issuer_keys(CHIPS[0]), TokenScp03Keys)
    assert differences(both.session, made.version) == ()
    remove_version(both.session, made.version)
    assert leftovers(both.session) == ()
