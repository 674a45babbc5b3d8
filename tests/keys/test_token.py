"""Keys in a token do what the same keys do in memory, and do not leave it. The token is SoftHSM."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from types import MappingProxyType

import pkcs11
import pytest
from pkcs11 import Attribute, KeyType, Mechanism

from cardlib.crypto import Cipher
from cardlib.errors import CardKeyError
from cardlib.facts import ChipSerial, Pin, Region
from cardlib.keys import KeyHolder, Purpose
from cardlib.keys.roots import TEST_TRANSPORT_ROOT, Roots, new_roots, public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.keys.token.token_holder import TokenHolder
from cardlib.keys.token.token_keys import TokenKeys
from cardlib.keys.token.token_making import generate_roots, import_roots, remove_version
from cardlib.keys.token.token_session import TokenSession
from cardlib.keys.token.token_version import (
    AES_NAMES,
    KEY_NAMES,
    TokenVersion,
    check_values,
    differences,
    found_versions,
    leftovers,
)
from cardlib.layout import KEY_BY_NAME
from tests.programs import openssl
from tests.programs.softhsm import SoftHsm

CHIPS = [ChipSerial(bytes.fromhex(f"524843000000{n:04X}")) for n in (1, 2, 0xFFFE)]
REGIONS = [Region.of_city("410100"), Region.of_city("110000")]
HOLDERS_PIN = Pin("493817")
CHALLENGE = bytes.fromhex("0123456789ABCDEF")


@dataclass(frozen=True)
class Pair:
    """The same roots twice: in memory and in a token."""

    roots: Roots
    memory: KeyStore
    session: TokenSession
    version: TokenVersion
    token: TokenKeys


@pytest.fixture(scope="module", params=[1, 2], ids=["protocol 1", "protocol 2"])
def pair(request: pytest.FixtureRequest, softhsm: SoftHsm) -> Iterator[Pair]:
    roots = new_roots(request.param, Cipher.AES)
    session = TokenSession(softhsm.module, softhsm.new_token(), softhsm.pin)
    version = import_roots(session, "main", roots).version
    yield Pair(roots, KeyStore(roots), session, version, TokenKeys(session, version))
    session.close()


# --- the same results as in memory -----------------------------------------------------


def test_facts_are_the_same(pair: Pair) -> None:
    for name in ("identity", "key_version", "spec", "cipher", "is_test"):
        assert getattr(pair.token, name) == getattr(pair.memory, name), name
    for name in ("protocol", "cipher", "version", "names"):
        inside, outside = pair.token.terminal_keys, pair.memory.terminal_keys
        assert getattr(inside, name) == getattr(outside, name), name


@pytest.mark.parametrize(("chip", "region"), list(product(CHIPS, REGIONS)))
def test_key_groupings_are_field_identical(pair: Pair, chip: ChipSerial, region: Region) -> None:
    inside = pair.token.groupings(chip, region, HOLDERS_PIN)
    assert inside == pair.memory.groupings(chip, region, HOLDERS_PIN)
    assert len(inside) == 32


@pytest.mark.parametrize("chip", CHIPS)
def test_scp03_keys_are_the_same(pair: Pair, chip: ChipSerial) -> None:
    for inside, outside in (
        (pair.token.transport_keys(chip), pair.memory.transport_keys(chip)),
        (pair.token.issuer_keys(chip), pair.memory.issuer_keys(chip)),
    ):
        assert inside.key_version == outside.key_version
        assert inside.key_check_values == outside.key_check_values
        assert inside.encrypt_dek(bytes(range(32))) == outside.encrypt_dek(bytes(range(32)))
        dek = pair.memory.issuer_keys(CHIPS[0])
        assert inside.wrapped(dek) == outside.wrapped(dek)


def test_card_keys_are_the_same_for_a_terminal(pair: Pair) -> None:
    for name, region in product(KEY_BY_NAME, REGIONS):
        inside = pair.token.terminal_keys.for_card(CHIPS[0], region)
        outside = pair.memory.terminal_keys.for_card(CHIPS[0], region)
        assert inside.key_check_value(name) == outside.key_check_value(name)
    one, two = (
        keys.terminal_keys.for_card(CHIPS[1], REGIONS[0]).process_key("IRK_DDF1", CHALLENGE)
        for keys in (pair.token, pair.memory)
    )
    assert one.encrypt(CHALLENGE * 2) == two.encrypt(CHALLENGE * 2)
    assert one.mac(b"message") == two.mac(b"message")


@pytest.mark.parametrize("purpose", Purpose)
def test_what_one_seals_the_other_opens(pair: Pair, purpose: Purpose) -> None:
    for sealer, opener in ((pair.token, pair.memory), (pair.memory, pair.token)):
        sealed = sealer.seal(purpose, b"record", b"batch 1, number 7")
        assert opener.unseal(purpose, sealed, b"batch 1, number 7") == b"record"
        with pytest.raises(CardKeyError, match="not sealed for this"):
            opener.unseal(purpose, sealed, b"batch 1, number 8")
        other = next(each for each in Purpose if each is not purpose)
        with pytest.raises(CardKeyError, match="not sealed for this"):
            opener.unseal(other, sealed, b"batch 1, number 7")


def test_security_codes_and_holder_hashes_are_the_same(pair: Pair) -> None:
    for number in ("0000000001", "9999999999"):
        inside = pair.token.security_code(number, "20261127")
        assert inside == pair.memory.security_code(number, "20261127")
        assert pair.token.holder_hash(number) == pair.memory.holder_hash(number)


def test_wrong_lengths_and_names_are_refused_as_in_memory(pair: Pair) -> None:
    for keys in (pair.token.terminal_keys, pair.memory.terminal_keys):
        with pytest.raises(CardKeyError, match="must have 8 bytes each"):
            keys.for_card(CHIPS[0][:7], REGIONS[0])
        with pytest.raises(CardKeyError, match="does not hold it"):
            keys.for_card(CHIPS[0], REGIONS[0]).key_check_value("RK9_DF09")
    with pytest.raises(CardKeyError, match="a chip serial has 8 bytes"):
        pair.token.issuer_keys(CHIPS[0][:7])  # type: ignore[arg-type]


# --- check values ----------------------------------------------------------------------


def test_check_values_are_those_of_openssl_over_the_block_of_01(pair: Pair) -> None:
    roots = {
        **pair.roots.card,
        "transport": pair.roots.transport,
        "issuer": pair.roots.issuer,
        "cvk": pair.roots.cvk,
    }
    assert roots.keys() == set(AES_NAMES)
    for name in ("RK1_DF01", "IRK_DDF1", "transport", "issuer", "cvk"):
        expected, zero_block = (
            openssl.ecb("AES", roots[name], block)[:3] for block in (b"\1" * 16, bytes(16))
        )
        assert pair.version.check_values[name] == expected.hex().upper() != zero_block.hex().upper()
    assert dict(check_values(pair.session, pair.version)) == dict(pair.version.check_values)
    assert len(pair.version.check_values["secret"]) == 6


def test_the_check_value_of_the_token_over_the_zero_block_is_not_there(
    pair: Pair, softhsm: SoftHsm
) -> None:
    raw = softhsm.session(pair.session.label)
    for name in KEY_NAMES:
        (key,) = raw.get_objects({Attribute.LABEL: pair.version.label(name)})
        assert key[Attribute.CHECK_VALUE] == b""


def test_a_key_that_was_replaced_is_found(softhsm: SoftHsm) -> None:
    label = softhsm.new_token()
    session = TokenSession(softhsm.module, label, softhsm.pin)
    version = import_roots(session, "main", new_roots(2, Cipher.AES)).version
    assert differences(session, version) == ()
    raw = softhsm.session(label)
    (old,) = raw.get_objects({Attribute.LABEL: version.label("issuer")})
    old.destroy()
    raw.create_object(
        {
            Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY,
            Attribute.KEY_TYPE: KeyType.AES,
            Attribute.TOKEN: True,
            Attribute.LABEL: version.label("issuer"),
            Attribute.ENCRYPT: True,
            Attribute.SIGN: True,
            Attribute.VALUE: bytes(16),
        }
    )
    session.close()
    assert differences(session, version) == ("issuer",)
    with pytest.raises(CardKeyError, match="check value of issuer is not the one"):
        TokenHolder(session, "main")


# --- what the keys in the token may do ---------------------------------------------------

_NEVER = ("EXTRACTABLE", "DECRYPT", "VERIFY", "WRAP", "UNWRAP", "MODIFIABLE", "COPYABLE")
_ALWAYS = ("TOKEN", "PRIVATE", "SENSITIVE")


def test_each_key_has_only_the_rights_that_it_needs(pair: Pair, softhsm: SoftHsm) -> None:
    raw = softhsm.session(pair.session.label)
    for name in KEY_NAMES:
        (key,) = raw.get_objects({Attribute.LABEL: pair.version.label(name)})
        rights = {
            right
            for right in ("ENCRYPT", "SIGN", "DERIVE", *_NEVER, *_ALWAYS)
            if key[Attribute[right]]
        }
        levels = KEY_BY_NAME[name].levels if name in KEY_BY_NAME else 0
        own = {
            "secret": {"SIGN"},
            "transport": {"ENCRYPT", "SIGN"},
            "issuer": {"ENCRYPT", "SIGN"},
        }.get(name, {"ENCRYPT", "DERIVE"} if levels == 2 else {"ENCRYPT"})
        assert rights == own | set(_ALWAYS), name


def test_no_key_can_be_read_changed_or_copied(pair: Pair, softhsm: SoftHsm) -> None:
    raw = softhsm.session(pair.session.label)
    for name in ("RK1_DF01", "transport", "secret"):
        (key,) = raw.get_objects({Attribute.LABEL: pair.version.label(name)})
        with pytest.raises(pkcs11.AttributeSensitive):
            key[Attribute.VALUE]
        with pytest.raises(pkcs11.PKCS11Error):
            key[Attribute.EXTRACTABLE] = True
        with pytest.raises(pkcs11.PKCS11Error):
            key.copy({Attribute.EXTRACTABLE: True})


def test_keys_of_regions_stay_in_the_token_too(pair: Pair, softhsm: SoftHsm) -> None:
    """They are session objects: they end with the session, and they cannot be read."""
    pair.token.groupings(CHIPS[0], REGIONS[0], HOLDERS_PIN)
    raw = softhsm.session(pair.session.label)
    derived = list(
        raw.get_objects({Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY, Attribute.TOKEN: False})
    )
    assert len(derived) >= sum(key.levels == 2 for key in KEY_BY_NAME.values())
    for key in derived:
        assert key[Attribute.SENSITIVE]
        assert not key[Attribute.EXTRACTABLE]
        with pytest.raises(pkcs11.AttributeSensitive):
            key[Attribute.VALUE]


def test_who_has_the_pin_derives_any_cards_key_in_clear(pair: Pair, softhsm: SoftHsm) -> None:
    """The danger that docs/explanation/keys-in-a-token.md names: raw PKCS#11 is an oracle.

    No attribute of a root stops it, so the PIN must be in the agent alone.
    """
    chip, region = CHIPS[2], REGIONS[1]
    raw = softhsm.session(pair.session.label)
    (root,) = raw.get_objects({Attribute.LABEL: pair.version.label("RK1_DF01")})
    assert KEY_BY_NAME["RK1_DF01"].levels == 2

    def both(data8: bytes) -> bytes:
        return data8 + bytes(octet ^ 0xFF for octet in data8)

    regional = root.derive_key(  # type: ignore[attr-defined]
        KeyType.AES,
        128,
        mechanism=Mechanism.AES_ECB_ENCRYPT_DATA,
        mechanism_param=both(region),
        template={Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True},
    )
    stolen = openssl.ecb("AES", regional[Attribute.VALUE], both(chip))
    assert stolen == regional.encrypt(both(chip), mechanism=Mechanism.AES_ECB)
    again = root.encrypt(both(region), mechanism=Mechanism.AES_ECB)  # type: ignore[attr-defined]
    assert again == regional[Attribute.VALUE]
    card_key = pair.memory.terminal_keys.for_card(chip, region)
    assert openssl.ecb("AES", stolen, b"\1" * 16)[:3] == card_key.key_check_value("RK1_DF01")
    dek = pair.memory.issuer_keys(chip)
    assert dek.encrypt_dek(stolen) == card_key.grouping("RK1_DF01", dek)[2:18]


# --- several versions, public keys, keys made inside --------------------------------------


def test_several_versions_live_in_one_token(softhsm: SoftHsm) -> None:
    session = TokenSession(softhsm.module, softhsm.new_token(), softhsm.pin)
    first = import_roots(session, "main", new_roots(2, Cipher.AES)).version
    second = generate_roots(session, "main", protocol=2, number=2).version
    other = generate_roots(session, "other", protocol=1).version
    holder: KeyHolder = TokenHolder(session, "main")
    assert list(holder.versions) == [1, 2]
    assert holder.newest.identity == second.identity
    assert holder.of(first.identity).key_version == 1
    assert [each.store for each in found_versions(session)] == ["main", "main", "other"]
    with pytest.raises(CardKeyError, match="no keys with identity"):
        holder.of(other.identity)
    with pytest.raises(CardKeyError, match=r"no root keys of 'none' that .* It holds: main, other"):
        TokenHolder(session, "none")
    assert len({first.identity, second.identity, other.identity}) == 3
    old, new = (
        keys.terminal_keys.for_card(CHIPS[0], REGIONS[0]).key_check_value("RK1_DF01")
        for keys in holder.versions.values()
    )
    assert old != new
    chip = CHIPS[0]
    assert len({k.transport_keys(chip).key_check_values for k in holder.versions.values()}) == 1
    assert len({k.issuer_keys(chip).key_check_values for k in holder.versions.values()}) == 2
    for version in (first, second):
        keys = holder.terminal_keys.fitting(2, Cipher.AES, version.number)
        assert keys.version == version.number
    with pytest.raises(CardKeyError, match="the keys are for protocol 2, AES, versions 1, 2"):
        holder.terminal_keys.fitting(2, Cipher.AES, 3)
    with pytest.raises(CardKeyError, match="are for protocol 2, AES, version 2"):
        holder.newest.terminal_keys.fitting(2, Cipher.AES, 1)
    assert remove_version(session, first) == len(KEY_NAMES) - 1
    assert leftovers(session) == ()
    assert TokenHolder(session, "main").newest.transport_keys(chip).key_check_values == (
        holder.newest.transport_keys(chip).key_check_values
    )


def test_a_retired_version_makes_no_more_cards_and_reads_them_still(softhsm: SoftHsm) -> None:
    session = TokenSession(softhsm.module, softhsm.new_token(), softhsm.pin)
    first = generate_roots(session, "main").version
    with pytest.raises(CardKeyError, match="the only one that makes cards: rotate first"):
        TokenHolder(session, "main").retired(1).make()
    second = generate_roots(session, "main", number=2).version
    TokenHolder(session, "main").retired(2).make()
    holder = TokenHolder(session, "main")
    assert holder.newest.key_version == 1
    assert holder.of(second.identity).key_version == 2
    assert holder.for_issuing(first.identity).key_version == 1
    with pytest.raises(CardKeyError, match="is retired: cards of it are read and verified"):
        holder.for_issuing(second.identity)
    with pytest.raises(CardKeyError, match="retired already"):
        TokenHolder(session, "main").retired(2).make()
    with pytest.raises(CardKeyError, match="holds no version 3 of main"):
        TokenHolder(session, "main").retired(3).make()
    generate_roots(session, "main", number=3)
    assert TokenHolder(session, "main").newest.key_version == 3


def test_a_transport_root_can_be_given_to_keys_that_are_made_inside(softhsm: SoftHsm) -> None:
    """The maker of the blank cards must know it, and one made inside cannot leave the token."""
    session = TokenSession(softhsm.module, softhsm.new_token(), softhsm.pin)
    roots = new_roots(2, Cipher.AES)
    version = generate_roots(session, "main", transport=roots.transport).version
    inside, outside = TokenKeys(session, version), KeyStore(roots)
    assert inside.transport_keys(CHIPS[0]).key_check_values == (
        outside.transport_keys(CHIPS[0]).key_check_values
    )
    with pytest.raises(CardKeyError, match="the transport root is the published test key"):
        generate_roots(session, "other", transport=TEST_TRANSPORT_ROOT)
    with pytest.raises(CardKeyError, match="the transport root is the published test key"):
        import_roots(session, "other", replace(roots, transport=TEST_TRANSPORT_ROOT))


def test_versions_that_do_not_belong_together_are_refused(softhsm: SoftHsm) -> None:
    session = TokenSession(softhsm.module, softhsm.new_token(), softhsm.pin)
    import_roots(session, "main", replace(new_roots(2, Cipher.AES), version=3))
    with pytest.raises(CardKeyError, match="holds version 3 of main already"):
        generate_roots(session, "main", number=2)
    with pytest.raises(CardKeyError, match="one protocol and one cipher"):
        generate_roots(session, "main", protocol=1, number=4)
    with pytest.raises(CardKeyError, match="are never in one key store"):
        import_roots(session, "main", public_test_roots(2, Cipher.AES, 4))
    assert len(session.key_labels()) == len(KEY_NAMES)


def test_keys_made_inside_were_never_outside(softhsm: SoftHsm) -> None:
    label = softhsm.new_token()
    session = TokenSession(softhsm.module, label, softhsm.pin)
    version = generate_roots(session, "main").version
    raw = softhsm.session(label)
    for name in KEY_NAMES:
        (key,) = raw.get_objects({Attribute.LABEL: version.label(name)})
        for right in ("LOCAL", "ALWAYS_SENSITIVE", "NEVER_EXTRACTABLE"):
            assert key[Attribute[right]], (name, right)
    keys = TokenHolder(session, "main").newest
    assert not keys.is_test
    assert len(set(version.check_values.values())) > len(KEY_NAMES) - 2
    sealed = keys.seal(Purpose.BATCH, b"x", b"y")
    assert TokenHolder(session, "main").newest.unseal(Purpose.BATCH, sealed, b"y") == b"x"


@pytest.mark.parametrize("public", ["all", "issuer", "cvk", "RK1_DF01"])
def test_published_test_keys_are_recognized_in_the_token(softhsm: SoftHsm, public: str) -> None:
    """By what they encrypt: the facts may be silent about it."""
    session = TokenSession(softhsm.module, softhsm.new_token(), softhsm.pin)
    private, known = new_roots(2, Cipher.AES), public_test_roots(2, Cipher.AES)
    values = {name: getattr(private, name) for name in ("issuer", "cvk")}
    card = dict(private.card)
    if public in values:
        values[public] = getattr(known, public)
    elif public in card:
        card[public] = known.card[public]
    mixed = replace(
        private, card=MappingProxyType(card), issuer=values["issuer"], cvk=values["cvk"]
    )
    version = import_roots(session, "main", known if public == "all" else mixed).version
    silent = TokenVersion(
        **{
            name: getattr(version, name)
            for name in TokenVersion.__dataclass_fields__
            if name != "is_test"
        },
        is_test=False,
    )
    assert version.is_test
    assert TokenKeys(session, silent).is_test
