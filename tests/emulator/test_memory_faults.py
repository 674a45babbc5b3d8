"""Faults of the memory, and many faults at once."""

from pathlib import Path

import pytest

from cardlib.apdu import CommandAPDU
from cardlib.emulator import (
    CardImageError,
    FaultyCard,
    SoftwareCard,
    parse_faults,
    random_faults,
)
from cardlib.emulator.bench.faults import Crc, Cut, MemoryFlip
from cardlib.emulator.bench.faulty_card import (
    CardMute,
    PowerLost,
)
from cardlib.emulator.bench.ready_made import personalized_card
from cardlib.emulator.chip.memory import PAGE_SIZE
from cardlib.emulator.profile.card_state import FILE_ADDRESS
from cardlib.errors import CardError, FormatError, StatusWordError
from cardlib.keys.roots import public_test_roots
from cardlib.layout import State
from cardlib.pytest_plugin import CardFaults
from tests.emulator.at_a_terminal import opened, send, terminal

H = bytes.fromhex
ROOTS = public_test_roots(1)
SELECT, CHALLENGE = H("00A4040005F05248430100"), H("0084000008")
BLOOD_GROUP = {"abo_blood_group": "1"}


@pytest.fixture(scope="module")
def _personalized_pages() -> dict[int, bytes]:
    """Cards of spec 1.0: a wrong MAC and a lost right are told there without ending a session."""
    return personalized_card(ROOTS).memory.pages


# --- memory ---------------------------------------------------------------------------


def test_worn_memory_answers_6581_and_changes_nothing(card_faults: CardFaults) -> None:
    card = card_faults("worn:write=5..")
    host = terminal(card)
    host.authenticate("RK1_DF02")
    host.authenticate("UK1_DF02")
    before, pages = host.read("DDF1/DF02/EF05"), card.card.memory.pages
    with pytest.raises(StatusWordError) as caught:
        host.update("DDF1/DF02/EF05", 1, BLOOD_GROUP)
    assert caught.value.sw == 0x6581
    assert host.read("DDF1/DF02/EF05") == before
    assert card.card.memory.pages == pages
    assert "worn page" in card.card.last_refusal or card.card.last_refusal == ""
    with pytest.raises(StatusWordError) as caught:
        host.authenticate("RK1_DF01")
    assert caught.value.sw == 0x6581


def test_a_worn_page_leaves_the_others_usable(card_faults: CardFaults) -> None:
    page = FILE_ADDRESS["DDF1/DF02/EF05"] // PAGE_SIZE
    card = card_faults(f"worn:page={page}..{page}")
    host = terminal(card)
    host.authenticate("UK1_DF02")
    host.authenticate("UK3_DF02")
    for _ in range(3):
        with pytest.raises(StatusWordError) as caught:
            host.update("DDF1/DF02/EF05", 1, BLOOD_GROUP)
        assert caught.value.sw == 0x6581
        host.append("DDF1/DF02/EF07", {"allergen": "花生"})
    card.reset()
    host.forget()
    host.authenticate("RK1_DF02")
    assert host.read("DDF1/DF02/EF05")[0].text == "4"
    assert [value.text for value in host.read("DDF1/DF02/EF07")][::2] == ["花生"] * 3


@pytest.mark.parametrize("write", range(1, 5))
def test_a_right_is_not_given_by_an_authentication_that_ends_in_6581(
    write: int, card_faults: CardFaults
) -> None:
    card = card_faults(f"worn:write={write}")
    host = terminal(card)
    host.select("DDF1/DF02")
    outcomes = []
    for key in ("RK1_DF02", "UK1_DF02"):
        try:
            host.authenticate(key)
            outcomes.append(key)
        except StatusWordError as error:
            assert error.sw == 0x6581
    assert len(outcomes) == 1
    readable = host.read("DDF1/DF02/EF05")[0].state is not State.DENIED
    assert readable == ("RK1_DF02" in outcomes)


def test_no_session_is_opened_by_an_authentication_that_ends_in_6581(
    card_faults: CardFaults,
) -> None:
    for write in (2, 3):
        card = card_faults(f"worn:write={write}")
        with pytest.raises(CardError):
            opened(card, 0x33)
        assert card.transmit(H("80F28002024F0000"))[-2:] == H("6982")
        opened(card, 0x33)


def test_no_pin_counts_as_verified_when_the_answer_is_6581(card_faults: CardFaults) -> None:
    for write in (1, 2):
        card = card_faults(f"worn:write={write}")
        send(card, SELECT)
        assert send(card, H("0020000006313335373930")) == H("6581")
        assert send(card, H("00200000")) == H("63C3") if write == 1 else H("63C2")
        assert send(card, H("0020000006313335373930")) == H("9000")


@pytest.mark.parametrize("writes", ["4", "4.."])
def test_a_file_whose_creation_ended_in_6581_is_not_there(
    writes: str, card_faults: CardFaults
) -> None:
    card = card_faults(f"worn:write={writes}")
    channel = opened(card, 0x33)
    create = CommandAPDU(0x00, 0xE0, 0x00, 0x00, H("6208" + "82023821" + "8302A001"))
    select = CommandAPDU(0x00, 0xA4, 0x00, 0x0C, H("A001"))
    assert channel.send(create).sw == 0x6581
    assert channel.send(select).sw == 0x6A82
    assert channel.send(create).sw == (0x9000 if writes == "4" else 0x6581)
    assert channel.send(select).sw == (0x9000 if writes == "4" else 0x6A82)


def test_a_stuck_pin_counter_never_blocks(card_faults: CardFaults) -> None:
    card = card_faults("stuck:counter=pin")
    send(card, SELECT)
    for _ in range(5):
        assert send(card, H("0020000006303030303030")) == H("63C2")
    assert send(card, H("0020000006313335373930")) == H("9000")
    honest = FaultyCard(card.card)
    send(honest, SELECT)
    assert [send(honest, H("0020000006303030303030"))[-1] for _ in range(4)] == [
        0xC2, 0xC1, 0xC0, 0x83
    ]  # fmt: skip


def test_a_stuck_key_counter_never_blocks_and_the_others_do() -> None:
    card = FaultyCard(personalized_card(ROOTS), parse_faults(["stuck:counter=RK1_DF02"]))
    send(card, H("00A40804" + "04DDF1DF02"))
    send(card, H("00A4080C04DDF1DF02"))

    def wrong(kid: str) -> list[str]:
        found = []
        for _ in range(17):
            send(card)
            found.append(send(card, H(f"008200{kid}11") + bytes(16) + b"\1").hex())
        return found

    assert wrong("84") == ["63ce"] * 17
    assert wrong("85") == [f"63c{n:x}" for n in range(14, -1, -1)] + ["6983"] * 2


def test_a_stuck_key_set_counter_never_blocks(card_faults: CardFaults) -> None:
    for counter, last in (("keys-01", "6300"), ("keys-02", "6983")):
        card = card_faults(f"stuck:counter={counter}")
        for _ in range(16):
            send(card, H("8050000008") + bytes(8))
            reply = send(card, H("8482330010") + bytes(16)).hex()
        assert reply == last


def test_a_bit_that_changed_is_read_by_whoever_reads_it(card_faults: CardFaults) -> None:
    address = FILE_ADDRESS["DDF1/DF02/EF05"]
    flip = f"memory:page={address // PAGE_SIZE}:offset={address % PAGE_SIZE}:bit=5"
    card = card_faults(flip)
    host = terminal(card)
    host.authenticate("RK1_DF02")
    (value, *others) = host.read("DDF1/DF02/EF05")
    assert value.state is State.CORRUPT
    assert [other.text for other in others[:3]] == ["2", "0", "1"]
    assert card.happened == [f"{flip}:crc=kept at APDU 0, memory write 0"]


def test_a_bit_that_changed_stays_so_in_the_image(card_image: Path) -> None:
    address = FILE_ADDRESS["DDF1/DF02/EF05"]
    flips = [MemoryFlip(address // PAGE_SIZE, address % PAGE_SIZE, 5)]
    card = SoftwareCard.open(card_image)
    FaultyCard(card, flips)
    pages = card.memory.pages
    card.close()
    again = SoftwareCard.open(card_image)
    assert again.memory.pages == pages
    again.close()


def test_a_card_that_was_cut_goes_on_from_its_image(card_image: Path) -> None:
    for write in range(1, 7):
        card = SoftwareCard.open(card_image)
        faulty = FaultyCard(card, [Cut(write=write)])
        host = terminal(faulty)
        before = card.memory.pages
        try:
            host.authenticate("UK3_DF02")
            host.append("DDF1/DF02/EF07", {"allergen": "花生"})
        except PowerLost:
            card.close()
        else:
            assert write > 4
            card.close()
            continue
        again = SoftwareCard.open(card_image)
        assert again.memory.read(FILE_ADDRESS["DDF1/DF02/EF07"], 2) == b"\2\1"
        assert before.keys() <= again.memory.pages.keys()
        again.close()


def test_a_page_that_does_not_check_makes_the_card_mute_and_its_image_unreadable(
    card_image: Path, card_faults: CardFaults
) -> None:
    opened_card = SoftwareCard.open(card_image)
    card = card_faults("memory:page=2:offset=9:bit=0:crc=broken", card=opened_card)
    for attempt in (card.reset, card.insert, lambda: card.transmit(CHALLENGE)):
        with pytest.raises(CardMute):
            attempt()
    opened_card.close()
    with pytest.raises(CardImageError, match="damaged"):
        SoftwareCard.open(card_image)


def test_a_page_that_was_never_programmed_has_nothing_to_break(card_image: Path) -> None:
    opened_card = SoftwareCard.open(card_image)
    with pytest.raises(FormatError, match="0x4000 was never written"):
        FaultyCard(opened_card, [MemoryFlip(0x4000, 0, 0, Crc.BROKEN)])
    opened_card.close()


# --- many faults at once --------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_a_terminal_meets_random_faults_with_card_errors_only(
    seed: int, personalized_card: SoftwareCard
) -> None:
    card = FaultyCard(
        personalized_card, random_faults(seed, rate=0.08, apdus=400), seed, sleep=lambda _: None
    )
    done = 0
    while card.apdus < 400:
        host = terminal(card)
        try:
            card.insert()
            host.authenticate("RK1_DF02")
            host.authenticate("UK1_DF02")
            host.update("DDF1/DF02/EF05", 1, BLOOD_GROUP)
            assert len(host.read("DDF1/DF02/EF05")) == 15
            done += 1
        except CardError:
            continue
    assert done > 5
    assert len(card.happened) > 15
