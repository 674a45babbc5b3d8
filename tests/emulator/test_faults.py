"""Faults of the supply, the reader and the line, and MACs that are wrong."""

import pytest

from cardlib.apdu import CommandAPDU
from cardlib.card import ResidentHealthCard
from cardlib.emulator import (
    FaultyCard,
    SoftwareCard,
    parse_faults,
)
from cardlib.emulator.bench.faults import Moment
from cardlib.emulator.bench.faulty_card import (
    CardMute,
    CardRemoved,
    InjectedFault,
    PowerLost,
    ReplyLost,
)
from cardlib.emulator.bench.ready_made import CHIP, personalized_card
from cardlib.errors import CardError, ChannelError, StatusWordError, TransportError
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.pytest_plugin import CardFaults
from tests.emulator.at_a_terminal import opened, personalized_by, send, terminal

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
