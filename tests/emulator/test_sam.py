"""The software SAM beside SAMs that others wrote: the same commands give the same answers."""

import random
from pathlib import Path
from typing import Any

import pytest

from cardlib.crypto import Cipher
from cardlib.emulator import CardImageError, SoftwareCard
from cardlib.emulator.sam_card.open_chip import open_chip
from cardlib.emulator.sam_card.software_sam import SoftwareSam
from cardlib.layout import KEY_BY_NAME, KEYS
from cardlib.transport import chip_serial
from tests.cards.cards import personalized_card
from tests.cards.sams import (
    CHALLENGE,
    CHIP,
    ENCRYPT_CHALLENGE,
    PIN,
    ask,
    authenticate,
    blank_sam,
    command,
    diversify,
    factors,
    opened,
    roots_of,
    sam_of,
    sw,
)
from tests.emulator.test_field_driver import CARDS, CASES, Driver, padded
from tests.oracles import v2 as ref
from tests.oracles.sam import Sam
from tests.oracles.sam_v2 import SamV2

H = bytes.fromhex
V1_KEYS = [key.name for key in KEYS if key.sam_usage & 0x1F == 7]
V1_MESSAGING = [key.name for key in KEYS if key.sam_usage & 0x1F == 8]
V2_KEYS = [key.name for key in KEYS if key.role in ("RK", "UK", "LK", "BK", "PUK")]


class DriverWithOurSam(Driver):
    """The public driver with our SAM, loaded as deployed ones: BCD PIN, version 0 is the last."""

    def __init__(self, card: str) -> None:
        super().__init__(CARDS[card], chip_from_atr=card == "field")
        sam = sam_of(pin="123456", pin_form="BCD", meaning_of_0="last authenticated")
        self.sam: Any = opened(sam, H("123456"))


@pytest.mark.parametrize(("sequence", "card"), CASES)
def test_the_public_driver_does_all_its_sequences_with_our_sam(
    sequence: dict[str, Any], card: str
) -> None:
    DriverWithOurSam(card).run(sequence["steps"])


def oracle() -> Sam:
    roots = roots_of(1)
    sam = Sam({k.sam_key_id: roots.card[k.name] for k in KEYS}, 1, PIN.digits)
    assert sam.transmit(H("0020000006") + PIN.digits) == b"\x90\x00"
    return sam


def of_oracle(sam: Sam, sent: bytes) -> tuple[bytes, int]:
    response = sam.transmit(sent)
    if response[-2] == 0x61:
        response = sam.transmit(b"\x00\xc0\x00\x00" + response[-1:])
    return response[:-2], int.from_bytes(response[-2:], "big")


@pytest.mark.parametrize("name", V1_KEYS)
def test_an_authentication_of_version_1_is_that_of_the_oracle(name: str) -> None:
    ours, theirs = opened(sam_of()), oracle()
    for sent in (diversify(name), ENCRYPT_CHALLENGE):
        assert ask(ours, sent) == of_oracle(theirs, sent)
    assert sw(ours, ENCRYPT_CHALLENGE) == 0x6985


@pytest.mark.parametrize("name", V1_MESSAGING)
def test_encryption_and_mac_of_version_1_are_those_of_the_oracle(name: str) -> None:
    ours, theirs = opened(sam_of()), oracle()
    for sent in (
        diversify(name),
        command(0xFA, 0, 0, bytes(range(240))),
        command(0xFA, 5, 0, bytes(16) + padded(bytes(range(200)))),
        command(0xFA, 5, 0, bytes(range(16)) + bytes(32)),
        command(0xFA, 0, 0, bytes(16)),
    ):
        assert ask(ours, sent) == of_oracle(theirs, sent)


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize("name", V2_KEYS)
def test_an_authentication_of_version_2_is_that_of_the_oracle(name: str, cipher: Cipher) -> None:
    ours, drawn = opened(sam_of((2, cipher, 3))), random.Random(7).randbytes
    ours.random = random.Random(7).randbytes
    ours.reset()
    opened(ours)
    roots = {k.sam_key_id: roots_of(2, cipher, 3).card[k.name] for k in KEYS}
    theirs = SamV2(cipher.name, roots, 3, drawn)
    sent = authenticate(name, cipher, 3)
    cryptogram, status = ask(ours, sent)
    assert (status, len(cryptogram)) == (0x9000, 40)
    assert cryptogram == _whole(theirs, sent)
    reply = card_reply(name, cipher, cryptogram)
    keys = command(0xEB, 0, 0, reply + bytes(range(16)))
    assert ask(ours, keys) == (_whole(theirs, keys), 0x9000)
    assert sw(ours, keys) == 0x6985


def _whole(sam: SamV2, sent: bytes) -> bytes:
    response = sam.transmit(sent)
    return sam.transmit(b"\x00\xc0\x00\x00" + response[-1:])[:-2]


def card_reply(name: str, cipher: Cipher, cryptogram: bytes) -> bytes:
    """What a card of key version 3 answers, by the words of section 5."""
    e, key = cipher.name, roots_of(2, cipher, 3).card[name]
    if KEY_BY_NAME[name].levels == 2:
        key = ref.diversify(e, key, factors(name)[8:])
    key = ref.diversify(e, key, factors(name)[:8])
    b = authenticate(name, cipher, 3)[-6:]
    randoms = ref.from_cryptogram(e, key, b"\x01", b, cryptogram)
    assert randoms[8:16] == CHALLENGE
    return ref.cryptogram(e, key, b"\x02", b, CHALLENGE + randoms[:8] + bytes(range(16)))


def test_the_internal_key_of_a_2_0_set_is_diversified_as_in_version_1() -> None:
    ours = opened(sam_of((2, Cipher.AES, 3)))
    roots = {k.sam_key_id: roots_of(2, Cipher.AES, 3).card[k.name] for k in KEYS}
    theirs = SamV2("AES", roots, 3, bytes)
    theirs.transmit(diversify("IRK_DDF1", 3))
    assert sw(ours, diversify("IRK_DDF1", 3)) == 0x9000
    assert ask(ours, ENCRYPT_CHALLENGE)[0] == _whole(theirs, ENCRYPT_CHALLENGE)


# --- its file -----------------------------------------------------------------------------


def test_a_sam_lives_in_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "my.sam"
    sam = sam_of(limit=5)
    sam.save(path)
    opened(sam)
    assert sw(sam, diversify("RK1_DF02")) == 0x9000
    sam.close()
    again = open_chip(path)
    assert isinstance(again, SoftwareSam)
    assert again.sam.use.used == 1
    again.close()


def test_card_and_sam_are_not_taken_for_each_other(tmp_path: Path) -> None:
    sam, card = tmp_path / "my.sam", tmp_path / "my.card"
    for chip, path in ((sam_of(), sam), (personalized_card(), card)):
        chip.save(path)
        chip.close()
    with pytest.raises(CardImageError, match="the file of a SAM, not of a card"):
        SoftwareCard.open(sam)
    with pytest.raises(CardImageError, match="not the file of a SAM"):
        SoftwareSam.open(card)
    opened_card = open_chip(card)
    assert isinstance(opened_card, SoftwareCard)
    opened_card.close()


@pytest.mark.parametrize(("address", "part"), [
    (16 * 256, "usage counter"), (256 + 3, "the PIN"), (20 * 256 + 32 + 5, "IRK_DDF1, version 1"),
])  # fmt: skip
def test_a_damaged_part_is_found_at_power_on(address: int, part: str) -> None:
    sam = sam_of()
    sam.memory.decay(address >> 8, address & 0xFF, 0)
    sam.reset()
    assert part in sam.damage
    assert sw(sam, "00A4000002DF01") == 0x6581


def test_the_answer_to_reset_names_the_chip_and_a_sam() -> None:
    sam = blank_sam()
    assert chip_serial(sam.atr) == CHIP
    assert b"SAM" in sam.atr
    total = 0
    for octet in sam.atr[1:]:
        total ^= octet
    assert total == 0
