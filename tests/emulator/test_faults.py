"""Faults of a software card: the script's grammar, and each fault striking where it says."""

import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardlib.apdu import CommandAPDU
from cardlib.card import ResidentHealthCard
from cardlib.emulator import (
    CardImageError,
    FaultyCard,
    SoftwareCard,
    parse_fault,
    parse_faults,
    random_faults,
)
from cardlib.emulator.bench.faults import RANDOM_KINDS, Crc, Cut, MemoryFlip, Moment, Span, WrongMac
from cardlib.emulator.bench.faulty_card import (
    CardMute,
    CardRemoved,
    InjectedFault,
    PowerLost,
    ReplyLost,
)
from cardlib.emulator.bench.ready_made import CHIP, personalized_card
from cardlib.emulator.chip.memory import JOURNAL_PAGE, PAGE_SIZE
from cardlib.emulator.profile.card_state import FILE_ADDRESS
from cardlib.errors import CardError, ChannelError, FormatError, StatusWordError, TransportError
from cardlib.issuance import IssuerSession, personalize
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.layout import State
from cardlib.messaging.scp03_channel import Scp03Channel
from cardlib.pytest_plugin import CardFaults
from tests import ROOT
from tests.cards import cards

H = bytes.fromhex
ROOTS = public_test_roots(1)
STORE = KeyStore(ROOTS)
GET_COUNTER = CommandAPDU(0x80, 0xCA, 0x00, 0xC1, le=256)
SELECT, CHALLENGE = H("00A4040005F05248430100"), H("0084000008")
BLOOD_GROUP = {"abo_blood_group": "1"}


@pytest.fixture(scope="module")
def _personalized_pages() -> dict[int, bytes]:
    """Cards of spec 1.0: a wrong MAC and a lost right are told there without ending a session."""
    return personalized_card(ROOTS).memory.pages


def terminal(card: FaultyCard | SoftwareCard) -> ResidentHealthCard:
    return ResidentHealthCard(card, STORE.terminal_keys, min_protocol=1)


def send(card: FaultyCard, command: bytes = CHALLENGE, times: int = 1) -> bytes:
    reply = b""
    for _ in range(times):
        reply = card.transmit(command)
    return reply


# --- the script -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "cut:write=12:before", "cut:write=12:after", "cut:apdu=3:before", "lost:apdu=5",
        "lost:apdu=5..9", "lost:apdu=5..", "delay:apdu=5:ms=20", "truncate:apdu=5",
        "truncate:apdu=5:bytes=0", "flip:apdu=2", "flip:apdu=2..3:bit=17", "mac:command=4",
        "mac:reply=4..", "remove:apdu=1:after", "memory:page=16:offset=255:bit=7:crc=kept",
        "memory:page=0:offset=0:bit=0:crc=broken", "worn:write=7..", "worn:page=0..3",
        "worn:page=32768", "stuck:counter=pin", "stuck:counter=RK1_DF02", "stuck:counter=keys-FF",
    ],
)  # fmt: skip
def test_a_fault_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_fault(text)) == text
    assert parse_fault(str(parse_fault(text))) == parse_fault(text)


def test_what_is_left_out_is_before_and_kept_and_numbers_may_be_hexadecimal() -> None:
    assert parse_fault(" cut:write=0x0c ") == Cut(write=12, moment=Moment.BEFORE)
    assert parse_fault("memory:page=0x10:offset=0xff:bit=0") == MemoryFlip(16, 255, 0, Crc.KEPT)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("cutt:write=1", "no such fault. Possible: cut, lost"),
        ("", "no such fault"),
        ("cut", "give exactly one of write and apdu"),
        ("cut:write=1:apdu=2", "give exactly one of write and apdu"),
        ("cut:write=0", "counts begin at 1"),
        ("cut:write=x", "'x' is not a number"),
        ("cut:write=", "'' is not a number"),
        ("cut:write=-1", "'-1' is not a number"),
        ("cut:write=1_0", "'1_0' is not a number"),
        ("cut:write=1..2", "not a number"),
        ("cut:write=1:write=2", "write is given twice"),
        ("cut:write=1:during", "no option 'during'. Possible: write, apdu"),
        ("cut:write=1:moment=after", "no option 'moment=after'"),
        ("lost", "needs apdu"),
        ("lost:apdu=5:before", "no option 'before'. Possible: apdu"),
        ("lost:apdu=5..4", "5..4 ends before it begins"),
        ("lost:apdu=..4", "'' is not a number"),
        ("delay:apdu=1", "needs ms"),
        ("delay", "needs apdu and ms"),
        ("mac:command=1:reply=1", "give exactly one of command and reply"),
        ("memory:page=1:offset=256:bit=0", "offset must be 0 to 255"),
        ("memory:page=1:offset=0:bit=8", "bit must be 0 to 7"),
        ("memory:page=1:offset=0:bit=0:crc=no", "crc must be kept or broken, not 'no'"),
        ("worn", "give exactly one of write and page"),
        ("stuck:counter=puk", "no try counter puk: write pin, a key's name, or keys-"),
        ("stuck:counter=keys-0", "no try counter keys-0"),
        ("stuck:counter=keys-1g", "no try counter keys-1g"),
    ],
)
def test_a_fault_that_cannot_be_read_says_why(text: str, why: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_fault(text)
    assert why in str(caught.value)
    assert str(caught.value).startswith(f"fault {text!r}: ")


@given(st.text(st.sampled_from("cutlosflipmacwornstuck:=.0123456789x"), max_size=30))
def test_any_text_is_a_fault_or_a_format_error(text: str) -> None:
    try:
        fault = parse_fault(text)
    except FormatError:
        return
    assert parse_fault(str(fault)) == fault


def test_a_script_is_a_fault_a_line() -> None:
    script = """
        cut:write=1     # the first
        # nothing
        lost:apdu=2

        random:seed=7:rate=1:apdus=3:kinds=flip+lost
    """
    faults = parse_faults(script.splitlines())
    assert faults[:2] == (parse_fault("cut:write=1"), parse_fault("lost:apdu=2"))
    assert faults[2:] == random_faults(7, ("flip", "lost"), 1, 3)
    assert len(faults) == 5


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("random", "needs seed and rate"),
        ("random:seed=1:rate=2", "rate must be 0 to 1, not 2.0"),
        ("random:seed=1:rate=often", "'often' is not a number from 0 to 1"),
        ("random:seed=1:rate=0.5:kinds=stuck", "no kind stuck. Possible: cut, lost"),
        ("random:seed=1:rate=0.5:after", "no option 'after'"),
    ],
)
def test_a_random_line_that_cannot_be_read_says_why(text: str, why: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_faults([text])
    assert why in str(caught.value)


def test_one_seed_draws_one_script_that_can_be_written_down() -> None:
    drawn = random_faults(1, rate=0.2, apdus=500)
    assert drawn == random_faults(1, rate=0.2, apdus=500) != random_faults(2, rate=0.2, apdus=500)
    assert 60 < len(drawn) < 140
    assert {str(fault).partition(":")[0] for fault in drawn} == RANDOM_KINDS.keys()
    assert parse_faults(map(str, drawn)) == drawn
    assert random_faults(1, rate=0) == ()


# --- supply and reader ----------------------------------------------------------------


def test_without_faults_it_is_the_card(personalized_card: SoftwareCard) -> None:
    card = FaultyCard(personalized_card)
    assert card.atr == card.reset() == personalized_card.atr
    assert send(card, SELECT).endswith(H("9000"))
    assert (card.apdus, card.writes, card.happened) == (1, 0, [])


@pytest.mark.parametrize("moment", Moment)
def test_a_cut_at_an_apdu_stops_before_or_after_it(moment: Moment, card_faults: CardFaults) -> None:
    card = card_faults(f"cut:apdu=2:{moment}")
    counter = card.card.state.sequence_counter
    send(card)
    with pytest.raises(PowerLost, match=f"cut:apdu=2:{moment} at APDU 2"):
        send(card, H("8050000008") + bytes(8))
    assert card.card.state.sequence_counter == counter + (moment is Moment.AFTER)
    for _ in range(2):
        with pytest.raises(PowerLost, match="reset it"):
            send(card)
    assert card.reset() == card.atr
    assert send(card).endswith(H("9000"))
    assert card.happened == [f"cut:apdu=2:{moment} at APDU 2, memory write {card.writes}"]


@pytest.mark.parametrize("moment", Moment)
def test_a_cut_at_a_memory_write_stops_before_or_after_it(
    moment: Moment, card_faults: CardFaults
) -> None:
    card = card_faults(f"cut:write=2:{moment}")
    initialize = H("8050000008") + bytes(8)
    counter = card.card.state.sequence_counter
    send(card, initialize)
    with pytest.raises(PowerLost, match="memory write 2"):
        send(card, initialize)
    card.reset()
    assert card.card.state.sequence_counter == counter + 1 + (moment is Moment.AFTER)


def test_a_cut_can_strike_the_recovery_from_another(software_card: SoftwareCard) -> None:
    uncut = FaultyCard(software_card)
    pages = software_card.memory.pages
    activated = personalized_by(uncut)
    assert activated.endswith("activated")
    last = uncut.writes
    for again in range(last - 8, last + 1):
        blank = SoftwareCard.blank(CHIP, STORE.blank_keys(CHIP))
        assert blank.memory.pages == pages
        script = (f"cut:write={last - 9}", f"cut:write={again}:after")
        card = FaultyCard(blank, parse_faults(script))
        with pytest.raises(PowerLost):
            personalized_by(card)
        while True:
            try:
                card.reset()
            except PowerLost:
                continue
            break
        assert personalized_by(card).endswith("activated")


def personalized_by(card: FaultyCard) -> str:
    chip = card.card.chip
    personalize(card, STORE.transport_keys(chip), STORE.issuer_keys(chip), cards.groupings())
    IssuerSession.open(card, STORE.issuer_keys(chip)).activate()
    return "activated"


@pytest.mark.parametrize("moment", Moment)
def test_a_card_that_is_removed_stays_away_until_it_is_inserted(
    moment: Moment, card_faults: CardFaults
) -> None:
    card = card_faults(f"remove:apdu=1:{moment}")
    counter = card.card.state.sequence_counter
    with pytest.raises(CardRemoved, match="pulled out"):
        send(card, H("8050000008") + bytes(8))
    assert card.card.state.sequence_counter == counter + (moment is Moment.AFTER)
    with pytest.raises(CardRemoved):
        send(card)
    with pytest.raises(CardRemoved):
        card.reset()
    assert card.insert() == card.atr
    assert send(card).endswith(H("9000"))


@pytest.mark.parametrize("error", [PowerLost, ReplyLost, CardRemoved, CardMute])
def test_what_happens_on_the_way_is_a_transport_error(error: type[Exception]) -> None:
    assert issubclass(error, InjectedFault) and issubclass(error, TransportError)


# --- replies --------------------------------------------------------------------------


def test_a_lost_reply_is_to_a_command_that_was_carried_out(card_faults: CardFaults) -> None:
    card = card_faults("lost:apdu=1..2")
    counter = card.card.state.sequence_counter
    for _ in range(2):
        with pytest.raises(ReplyLost, match=r"lost:apdu=1\.\.2"):
            send(card, H("8050000008") + bytes(8))
    assert card.card.state.sequence_counter == counter + 2
    assert send(card).endswith(H("9000"))


def test_a_delayed_reply_comes_whole(card_faults: CardFaults) -> None:
    waited: list[float] = []
    card = card_faults("delay:apdu=2:ms=1500", sleep=waited.append)
    assert len(send(card, times=3)) == 10
    assert waited == [1.5]


@pytest.mark.parametrize(
    ("script", "length"), [(":bytes=0", 0), (":bytes=3", 3), (":bytes=99", 10)]
)
def test_a_truncated_reply_keeps_its_beginning(
    script: str, length: int, card_faults: CardFaults
) -> None:
    card = card_faults(f"truncate:apdu=1{script}")
    assert len(send(card)) == length
    assert len(send(card)) == 10


def test_a_flipped_reply_has_one_bit_changed(card_faults: CardFaults) -> None:
    for bit in (0, 7, 8, 15):
        card = card_faults(f"flip:apdu=1:bit={bit}")
        reply = send(card, H("00A4000C023F00"))
        assert int.from_bytes(reply, "big") == 0x9000 ^ (0x8000 >> bit)
    assert send(card_faults("flip:apdu=1:bit=16"), H("00A4000C023F00")) == H("9000")


def test_the_seed_chooses_what_the_script_leaves_out(card_faults: CardFaults) -> None:
    def replies(seed: int) -> list[bytes]:
        card = card_faults("flip:apdu=1..4", "truncate:apdu=5..", seed=seed)
        return [send(card, SELECT) for _ in range(9)]

    assert replies(1) == replies(1) != replies(2)
    whole = replies(1)[4]
    assert all(len(reply) == len(replies(1)[0]) for reply in replies(1)[:4])
    assert len(whole) < len(replies(1)[0])


# --- MACs -----------------------------------------------------------------------------


def test_a_wrong_mac_of_version_1_is_6988_and_changes_nothing(card_faults: CardFaults) -> None:
    card = card_faults("mac:command=2")
    host = terminal(card)
    host.authenticate("RK1_DF02")
    host.authenticate("UK1_DF02")
    host.update("DDF1/DF02/EF05", 1, BLOOD_GROUP)
    before = host.read("DDF1/DF02/EF05")
    with pytest.raises(StatusWordError) as caught:
        host.update("DDF1/DF02/EF05", 1, {"abo_blood_group": "2"})
    assert caught.value.sw == 0x6988
    assert host.read("DDF1/DF02/EF05") == before
    host.update("DDF1/DF02/EF05", 1, {"abo_blood_group": "2"})


def opened(card: FaultyCard, level: int) -> Scp03Channel:
    return Scp03Channel.open(card.transmit, STORE.issuer_keys(CHIP), level)


@pytest.mark.parametrize("level", [0x01, 0x03, 0x13, 0x33])
def test_a_wrong_mac_of_an_scp03_command_is_noticed_by_the_card(
    level: int, card_faults: CardFaults
) -> None:
    with pytest.raises(CardError):
        opened(card_faults("mac:command=1"), level)
    channel = opened(card_faults("mac:command=2"), level)
    assert channel.send(GET_COUNTER).sw == 0x6982


@pytest.mark.parametrize("level", [0x13, 0x33])
def test_a_wrong_mac_of_an_scp03_reply_is_noticed_by_the_host(
    level: int, card_faults: CardFaults
) -> None:
    card = card_faults("mac:reply=2")
    channel = opened(card, level)
    assert channel.send(GET_COUNTER).sw == 0x9000
    with pytest.raises(ChannelError):
        channel.send(GET_COUNTER)
    assert len(card.happened) == 1


def test_replies_without_a_mac_are_not_counted(card_faults: CardFaults) -> None:
    card = card_faults("mac:reply=1..")
    channel = opened(card, 0x03)
    assert channel.send(GET_COUNTER).sw == 0x9000
    assert card.happened == []


@pytest.mark.parametrize("side", ["command", "reply"])
def test_a_wrong_mac_of_version_2_is_noticed_on_both_sides(side: str) -> None:
    roots = public_test_roots(2)
    card = FaultyCard(personalized_card(roots), parse_faults([f"mac:{side}=4"]))
    host = ResidentHealthCard(card, KeyStore(roots).terminal_keys)
    with pytest.raises(CardError):
        host.authenticate("RK1_DF02")
        for _ in range(4):
            host.read("DDF1/DF02/EF05")
    assert len(card.happened) == 1
    host.reset()
    host.authenticate("RK1_DF02")
    assert host.read("DDF1/DF02/EF05")[0].text == "4"


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


# --- fixtures -------------------------------------------------------------------------


def test_the_ready_made_card_is_what_the_issuer_makes() -> None:
    issued = SoftwareCard.blank(CHIP, STORE.blank_keys(CHIP))
    personalized_by(FaultyCard(issued))
    records = {**cards.RECORDS, "DDF1/EF05": cards.issuer_records()}
    ready = personalized_card(ROOTS, records=records, pin=cards.PIN)
    ready.state.sequence_counter = issued.state.sequence_counter
    ready.memory.commit()

    def kept(card: SoftwareCard) -> dict[int, bytes]:
        return {n: page for n, page in card.memory.pages.items() if n < JOURNAL_PAGE}

    assert kept(ready) == kept(issued)


OUTSIDE = """
import pytest
from cardlib.card import ResidentHealthCard
from cardlib.emulator import ReplyLost
from cardlib.errors import FormatError
from cardlib.layout.card_profile import FIELD

SELECT = bytes.fromhex("00A4040005F05248430100")

def test_blank(software_card):
    assert software_card.transmit(SELECT)[-2:].hex() == "9000"

def test_faults(card_faults, card_pin, card_key_store):
    card = card_faults("lost:apdu=2")
    assert card.transmit(SELECT)[0] == 0x6F
    with pytest.raises(ReplyLost):
        card.transmit(SELECT)
    assert card_pin.isdigit() and card_key_store.is_test

@pytest.mark.parametrize("turn", range(2))
def test_every_test_has_its_own_card(personalized_card, turn):
    assert personalized_card.state.sequence_counter == 0
    personalized_card.transmit(bytes.fromhex("8050000008") + bytes(8))

def test_field_cards(field_card, field_key_store):
    assert field_card().transmit(SELECT).hex() == "6a82"
    host = ResidentHealthCard(field_card(), field_key_store.terminal_keys, profile=FIELD)
    host.authenticate("RK1_DF02")
    other = field_card(serial_place="last 8")
    assert other.atr[-8:] == other.chip != other.atr[5:13]
    with pytest.raises(FormatError, match="use bytes|use historical"):
        field_card(serial_place="first 8")

def test_image(card_image):
    assert card_image.read_bytes().startswith(b"RHCARD")
"""


def test_another_suite_has_the_fixtures_without_asking(tmp_path: Path) -> None:
    plugins = entry_points(group="pytest11", name="rhcard")
    assert [plugin.value for plugin in plugins] == ["cardlib.pytest_plugin"]
    (tmp_path / "test_outside.py").write_text(OUTSIDE, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout


def test_another_suite_may_have_other_keys(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "import pytest\nfrom cardlib.crypto import Cipher\n"
        "from cardlib.keys.roots import public_test_roots\n"
        "@pytest.fixture(scope='session')\ndef card_roots():\n"
        "    return public_test_roots(2, Cipher.AES)\n"
    )
    (tmp_path / "test_outside.py").write_text(
        "def test_aes(personalized_card):\n"
        "    assert personalized_card.state.profile[:2] == (32, 2)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_spans_and_macs_print_as_options() -> None:
    assert [str(Span(1, 1)), str(Span(1, 2)), str(Span(1, None))] == ["1", "1..2", "1.."]
    assert str(WrongMac(reply=Span(3, None))) == "mac:reply=3.."


REFERENCE = ROOT / "docs" / "reference"
DOCUMENT = (REFERENCE / "faults.md").read_text("utf-8")


def test_the_documentation_has_an_example_of_every_kind_and_each_can_be_read() -> None:
    examples = re.findall(r"^\| `([a-z]+:[^`]+)` \|", DOCUMENT, re.MULTILINE)
    assert parse_faults(examples)
    kinds = {example.partition(":")[0] for example in examples}
    with pytest.raises(FormatError) as caught:
        parse_fault("")
    assert kinds == set(str(caught.value).partition("Possible: ")[2].split(", "))


def test_the_documentation_s_test_passes(tmp_path: Path) -> None:
    document = (REFERENCE / "fixtures.md").read_text("utf-8")
    example = re.findall(r"```python\n(import pytest.*?)```", document, re.DOTALL)[0]
    (tmp_path / "test_documented.py").write_text(example, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stdout
