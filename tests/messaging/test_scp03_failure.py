"""Why a session does not open: each cause told from the others, with what was tried and found."""

from collections.abc import Callable

import pytest

from cardlib.crypto import BlockCipher, Cipher, static_keys
from cardlib.emulator import CardOptions, SoftwareCard
from cardlib.emulator.profile.card_state import KEY_TRIES, StoredKeySet
from cardlib.errors import CardError, ChannelError, TransportError
from cardlib.keys import Scp03Keys
from cardlib.keys.static_keys import SoftwareScp03Keys
from cardlib.messaging.scp03_channel import Scp03Channel
from cardlib.messaging.scp03_failure import Cause, KeySetInformation, Scp03Failure, key_sets

H = bytes.fromhex
CHIP, OTHER_CHIP = H("5248430000000001"), H("5248430000000002")
ROOT, OTHER_ROOT = (BlockCipher(Cipher.AES, bytes([n]) * 16) for n in (1, 2))
Transmit = Callable[[bytes], bytes]


def raw_keys(length: int, seed: bytes = b"emd") -> tuple[bytes, bytes, bytes]:
    enc, mac, dek = (bytes([value]) * length for value in seed)
    return enc, mac, dek


def card_with(*sets: StoredKeySet, options: CardOptions | None = None) -> SoftwareCard:
    card = SoftwareCard.blank(CHIP, raw_keys(16), options=options or CardOptions(), seed=1)
    card.state.key_sets = {each.version: each for each in sets}
    card.memory.commit()
    return card


def issued() -> SoftwareCard:
    """A card whose transport keys were replaced by the issuer's."""
    return card_with(StoredKeySet(1, *static_keys(ROOT, CHIP), KEY_TRIES))


def failure(
    transmit: Transmit, keys: Scp03Keys, level: int = 0x33, version: int = 0, *, s16: bool = False
) -> Scp03Failure:
    with pytest.raises(Scp03Failure) as caught:
        Scp03Channel.open(transmit, keys, level, version, s16=s16)
    return caught.value


def tries(card: SoftwareCard) -> set[int]:
    return {each.tries for each in card.state.key_sets.values()}


def test_the_right_keys_open_a_session() -> None:
    keys = SoftwareScp03Keys.from_root(1, ROOT, CHIP)
    assert Scp03Channel.open(issued().transmit, keys, 0x33).host.is_open


def test_another_root_is_wrong_keys() -> None:
    card, keys = issued(), SoftwareScp03Keys.from_root(1, OTHER_ROOT, CHIP)
    found = failure(card.transmit, keys)
    assert found.cause is Cause.KEY
    assert "the card has key sets 01 (AES-128)" in found.detail
    assert all(value.hex().upper() in found.detail for value in keys.key_check_values)
    assert tries(card) == {KEY_TRIES}, "a host that checks first spends no try"


def test_keys_of_another_chip_are_told_by_the_diversification_data() -> None:
    card = issued()
    found = failure(card.transmit, SoftwareScp03Keys.from_root(1, ROOT, OTHER_CHIP))
    assert found.cause is Cause.DIVERSIFICATION
    assert f"derived for {OTHER_CHIP.hex().upper()}" in found.detail
    assert f"the card is {CHIP.hex().upper()}" in found.detail
    assert tries(card) == {KEY_TRIES}


@pytest.mark.parametrize(("on_card", "tried"), [(32, 16), (16, 24), (24, 32)])
def test_keys_of_another_length_are_told_by_the_key_information(on_card: int, tried: int) -> None:
    card = card_with(StoredKeySet(1, *raw_keys(on_card), KEY_TRIES))
    found = failure(card.transmit, SoftwareScp03Keys(1, *raw_keys(tried)))
    assert found.cause is Cause.KEY_TYPE
    assert f"01 (AES-{8 * on_card})" in found.detail
    assert f"tried <SCP03 AES-{8 * tried} keys version 01" in found.detail


def test_a_key_set_that_is_gone_is_named_with_those_that_are_there() -> None:
    found = failure(issued().transmit, SoftwareScp03Keys(0xFF, *raw_keys(16)), version=0xFF)
    assert found.cause is Cause.NO_KEY_SET
    assert "key version FF: 6A88" in found.detail
    assert found.detail.endswith("the card has key sets 01 (AES-128)")


def test_another_key_version_is_named_with_those_that_are_there() -> None:
    sets = (StoredKeySet(1, *raw_keys(16), 15), StoredKeySet(3, *raw_keys(32), 15))
    found = failure(card_with(*sets).transmit, SoftwareScp03Keys(3, *raw_keys(32)))
    assert found.cause is Cause.KEY_VERSION
    assert "the card answered key version 01" in found.detail
    assert found.detail.endswith("the card has key sets 01 (AES-128), 03 (AES-256)")


@pytest.mark.parametrize(("s16", "i", "mode"), [(True, "71", "S16, 16"), (False, "70", "S8, 8")])
def test_a_challenge_of_the_wrong_length_is_told_with_the_length_that_is_right(
    s16: bool, i: str, mode: str
) -> None:
    card = SoftwareCard.blank(CHIP, raw_keys(16), options=CardOptions(scp03_s16=s16))
    found = failure(card.transmit, SoftwareScp03Keys(0xFF, *raw_keys(16)), s16=not s16)
    assert found.cause is Cause.CHALLENGE_LENGTH
    assert f"i={i}: {mode} bytes" in found.detail


def test_a_card_that_answers_whatever_was_sent_is_told_by_its_i() -> None:
    def lying(raw: bytes) -> bytes:
        return (
            H("00" * 10 + "01" + "03" + "71" + "00" * 35 + "9000") if raw[1] == 0x50 else H("6A88")
        )

    found = failure(lying, SoftwareScp03Keys(1, *raw_keys(16)))
    assert found.cause is Cause.CHALLENGE_LENGTH
    assert "i=71" in found.detail


def test_a_card_of_another_protocol_is_told_with_the_kind_of_its_keys() -> None:
    def old(raw: bytes) -> bytes:
        if raw[1] == 0x50:
            return H("0000327900870215110801020000" + "00" * 14 + "9000")
        return H("E012C00401018010C00402018010C004030180109000")

    found = failure(old, SoftwareScp03Keys(1, *raw_keys(16)))
    assert found.cause is Cause.PROTOCOL
    assert "SCP02" in found.detail and "01 (3DES)" in found.detail


def test_a_key_set_without_tries_is_told() -> None:
    card = card_with(StoredKeySet(1, *raw_keys(16), 0))
    found = failure(card.transmit, SoftwareScp03Keys(1, *raw_keys(16)))
    assert found.cause is Cause.BLOCKED
    assert "6983" in found.detail


def test_a_host_cryptogram_that_was_not_taken_is_told_from_a_wrong_key() -> None:
    card = card_with(StoredKeySet(1, *raw_keys(16), 15))

    def altering(raw: bytes) -> bytes:
        return card.transmit(raw[:-1] + bytes((raw[-1] ^ 1,)) if raw[1] == 0x82 else raw)

    found = failure(altering, SoftwareScp03Keys(1, *raw_keys(16)))
    assert found.cause is Cause.HOST_REFUSED
    assert "6300" in found.detail and "own cryptogram was right" in found.detail


def test_any_other_refusal_is_told_by_its_status() -> None:
    card = card_with(StoredKeySet(1, *raw_keys(16), 15))
    card.state.sequence_counter = 0xFFFFFF
    card.memory.commit()
    found = failure(card.transmit, SoftwareScp03Keys(1, *raw_keys(16)))
    assert found.cause is Cause.REFUSED
    assert "6985" in found.detail


def test_a_card_that_says_nothing_of_its_keys_leaves_the_failure_as_it_was() -> None:
    card, keys = issued(), SoftwareScp03Keys.from_root(1, OTHER_ROOT, CHIP)

    def silent(raw: bytes) -> bytes:
        return H("6A88") if raw[1] == 0xCA else card.transmit(raw)

    def broken(raw: bytes) -> bytes:
        if raw[1] == 0xCA:
            raise TransportError("card pulled out")
        return card.transmit(raw)

    for transmit in (silent, broken):
        found = failure(transmit, keys)
        assert found.cause is Cause.KEY
        assert "key sets" not in found.detail
    s16 = SoftwareCard.blank(CHIP, raw_keys(16), options=CardOptions(scp03_s16=True))
    wrong = failure(
        lambda raw: H("6A88") if raw[1] == 0xCA else s16.transmit(raw),
        SoftwareScp03Keys(0xFF, *raw_keys(16)),
    )
    assert wrong.cause is Cause.CHALLENGE_LENGTH


def test_every_failure_is_a_channel_error_without_a_key_in_it() -> None:
    found = failure(issued().transmit, SoftwareScp03Keys(1, *raw_keys(16, b"xyz")))
    assert isinstance(found, ChannelError)
    assert not any((bytes([value]) * 16).hex() in str(found).lower() for value in b"xyz")


def test_key_information_is_read_in_both_forms_and_refused_if_it_is_none() -> None:
    assert key_sets(H("E00C C00401FF8810 C00402FF8810")) == [KeySetInformation(0xFF, 0x88, 16)]
    assert [each.kind for each in key_sets(H("E00C C00401018218 C00401028510"))] == [
        "3DES", "type 85 of 16 bytes",
    ]  # fmt: skip
    assert key_sets(H("E002C000")) == []
    for other in (b"", H("6604C00401FF")):
        with pytest.raises(CardError):
            key_sets(other)
