"""Several key versions in one SAM, and what version 0 means (amendment 6)."""

import pytest

from cardlib.crypto import Cipher
from cardlib.emulator.sam_card.software_sam import SoftwareSam
from tests.cards.sams import (
    ENCRYPT_CHALLENGE,
    ask,
    authenticate,
    binding,
    diversify,
    opened,
    sam_of,
    sw,
)

THREE = ((1, Cipher.SM4, 1), (1, Cipher.SM4, 2), (1, Cipher.SM4, 5))


def answer(sam: SoftwareSam, name: str, version: int) -> bytes:
    """What a key of a version makes of the challenge; empty when the SAM refuses."""
    if sw(sam, diversify(name, version)) != 0x9000:
        return b""
    return ask(sam, ENCRYPT_CHALLENGE)[0]


def test_each_version_has_its_own_keys() -> None:
    sam = opened(sam_of(*THREE))
    found = {version: answer(sam, "RK1_DF02", version) for version in (1, 2, 5)}
    assert len(set(found.values())) == 3
    assert not answer(sam, "RK1_DF02", 3)
    for version, expected in found.items():
        alone = opened(sam_of((1, Cipher.SM4, version)))
        assert answer(alone, "RK1_DF02", version) == expected


def test_version_0_is_the_newest_by_the_specification() -> None:
    sam = opened(sam_of(*THREE))
    assert answer(sam, "RK1_DF02", 2)
    assert answer(sam, "RK1_DF02", 0) == answer(sam, "RK1_DF02", 5)
    assert answer(sam, "STK_DF02", 0) == answer(sam, "STK_DF02", 5)


def test_version_0_is_that_of_the_last_authentication_by_the_driver() -> None:
    sam = opened(sam_of(*THREE, meaning_of_0="last authenticated"))
    assert sw(sam, diversify("STK_DF02", 0)) == 0x6A88, "no authentication yet"
    for version in (2, 1, 5):
        assert answer(sam, "UK1_DF02", version)
        assert answer(sam, "STK_DF02", 0) == answer(sam, "STK_DF02", version)
    assert answer(sam, "STK_DF02", 1)  # usage 8 does not change it
    assert answer(sam, "STK_DF02", 0) == answer(sam, "STK_DF02", 5)
    sam.reset()
    assert sw(opened(sam), diversify("STK_DF02", 0)) == 0x6A88


def test_a_refused_authentication_does_not_change_what_version_0_means() -> None:
    sam = opened(sam_of(*THREE, meaning_of_0="last authenticated"))
    assert answer(sam, "UK1_DF02", 2)
    assert sw(sam, diversify("UK1_DF02", 3)) == 0x6A88
    assert answer(sam, "STK_DF02", 0) == answer(sam, "STK_DF02", 2)


@pytest.mark.parametrize(("version", "status"), [(1, 0x6985), (2, 0x9000), (3, 0x6A88)])
def test_one_sam_serves_both_specifications_each_with_its_commands(
    version: int, status: int
) -> None:
    sam = opened(sam_of((1, Cipher.SM4, 1), (2, Cipher.AES, 2)))
    assert sw(sam, authenticate("RK1_DF02", Cipher.AES, version)) == status
    other = {0x6985: 0x9000, 0x9000: 0x6985}.get(status, status)
    assert sw(sam, diversify("RK1_DF02", version)) == other


def test_b_names_the_version_that_0_stands_for() -> None:
    sam = opened(sam_of((2, Cipher.SM4, 1), (2, Cipher.SM4, 4)))
    named = authenticate("RK1_DF02", version=0, b=binding("RK1_DF02", Cipher.SM4, 4))
    assert sw(sam, named) == 0x9000
    other = authenticate("RK1_DF02", version=0, b=binding("RK1_DF02", Cipher.SM4, 1))
    assert sw(sam, other) == 0x6A80
