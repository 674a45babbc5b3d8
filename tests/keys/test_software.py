"""Card keys in memory: derived as the specification says, held by views, never shown."""

import pytest

from cardlib.crypto import Cipher, key_check_value
from cardlib.errors import CardKeyError
from cardlib.keys.roots import public_test_roots
from cardlib.keys.software import SoftwareKeySet
from cardlib.keys.static_keys import SoftwareScp03Keys
from cardlib.layout import KEYS, KeySpec
from tests.programs import openssl

CHIP, REGION = bytes.fromhex("5248430000000001"), b"41000000"
OTHER = bytes.fromhex("5248430000000002")
DEK = SoftwareScp03Keys(1, bytes(16), bytes(16), bytes(range(16)))


def key_set(cipher: Cipher = Cipher.SM4, protocol: int = 1) -> SoftwareKeySet:
    return SoftwareKeySet(public_test_roots(protocol, cipher).card, protocol, cipher)


def card_key(cipher: Cipher, key: KeySpec) -> bytes:
    """A card key by the openssl command, from the words of section 3."""
    value = public_test_roots(1, cipher).card[key.name]
    for data in (REGION, CHIP) if key.levels == 2 else (CHIP,):
        complement = bytes(255 - octet for octet in data)
        value = openssl.ecb(cipher.name, value, data + complement)
    return value


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_each_card_key_is_diversified_as_its_levels_say(cipher: Cipher, key: KeySpec) -> None:
    expected = card_key(cipher, key)
    keys = key_set(cipher).for_card(CHIP, REGION)
    assert keys.key_check_value(key.name) == key_check_value(cipher, expected)
    grouping = keys.grouping(key.name, DEK)
    assert grouping[:2] == bytes((1, cipher)) and len(grouping) == 21
    assert grouping[2:18] == openssl.cbc("AES", bytes(range(16)), expected)
    assert grouping[18:] == key_check_value(cipher, expected)


def test_keys_differ_from_chip_to_chip_and_level_two_from_region_to_region() -> None:
    keys = key_set()
    here, chip, region = (
        keys.for_card(CHIP, REGION), keys.for_card(OTHER, REGION), keys.for_card(CHIP, b"11000000"),
    )  # fmt: skip
    for key in KEYS:
        value = here.key_check_value(key.name)
        assert chip.key_check_value(key.name) != value
        assert (region.key_check_value(key.name) != value) == (key.levels == 2)


def test_process_keys_encrypt_and_mac() -> None:
    name = "STK_DF02"
    spec = next(key for key in KEYS if key.name == name)
    challenge = bytes(range(8))
    complement = bytes(255 - octet for octet in challenge)
    value = openssl.ecb("SM4", card_key(Cipher.SM4, spec), challenge + complement)
    process_key = key_set().for_card(CHIP, REGION).process_key(name, challenge)
    assert process_key.encrypt(bytes(32)) == openssl.ecb("SM4", value, bytes(32))
    padded = b"message" + b"\x80" + bytes(8)
    assert process_key.mac(b"message") == openssl.cbc("SM4", value, padded)[:4]
    assert value.hex() not in repr(process_key)


def test_a_view_holds_only_what_it_was_given() -> None:
    view = key_set().only(["RK1_DF03", "UK1_DF03"])
    assert view.names == {"RK1_DF03", "UK1_DF03"}
    keys = view.for_card(CHIP, REGION)
    everything = key_set().for_card(CHIP, REGION)
    assert keys.key_check_value("RK1_DF03") == everything.key_check_value("RK1_DF03")
    for use in (
        lambda: keys.process_key("RK1_DF01", bytes(8)),
        lambda: keys.key_check_value("RK1_DF01"),
        lambda: keys.grouping("RK1_DF01", DEK),
        lambda: view.only(["RK1_DF01"]),
    ):
        with pytest.raises(CardKeyError, match="RK1_DF01 is needed, but"):
            use()


def test_keys_of_protocol_two_make_no_process_keys() -> None:
    keys = key_set(protocol=2).for_card(CHIP, REGION)
    with pytest.raises(CardKeyError, match="protocol 2"):
        keys.process_key("RK1_DF01", bytes(8))


@pytest.mark.parametrize(("roots", "protocol", "version"), [
    ({"RK9_DF01": bytes(16)}, 1, 1), ({"RK1_DF01": bytes(24)}, 1, 1), ({"RK1_DF01": b""}, 1, 1),
    ({}, 3, 1), ({}, 0, 1), ({}, 1, 0), ({}, 1, 8),
])  # fmt: skip
def test_what_is_no_key_set_is_refused(
    roots: dict[str, bytes], protocol: int, version: int
) -> None:
    with pytest.raises(CardKeyError):
        SoftwareKeySet(roots, protocol, Cipher.SM4, version)


def test_chip_and_region_have_eight_bytes() -> None:
    for chip, region in ((CHIP[:7], REGION), (CHIP, REGION + b"0"), (b"", b"")):
        with pytest.raises(CardKeyError):
            key_set().for_card(chip, region)


@pytest.mark.parametrize("cipher", Cipher)
def test_only_check_values_are_shown(cipher: Cipher) -> None:
    roots = public_test_roots(1, cipher)
    keys = key_set(cipher).for_card(CHIP, REGION)
    shown = (repr(key_set(cipher)) + repr(keys) + repr(roots)).lower()
    for key in KEYS:
        assert roots.card[key.name].hex() not in shown
        assert card_key(cipher, key).hex() not in shown
    assert keys.key_check_value("RK1_DF01").hex() in shown


def test_regions_are_remembered_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cardlib.keys.software._MOST_REGIONAL", 4)
    keys = key_set()
    before = keys.for_card(CHIP, REGION).key_check_value("RK1_DF01")
    for region in range(10):
        keys.for_card(CHIP, f"{region:02}000000".encode()).key_check_value("RK1_DF01")
    assert len(keys._roots._regional) <= 4
    assert keys.for_card(CHIP, REGION).key_check_value("RK1_DF01") == before
