"""Cards that are pulled out or exchanged, and a pcscd that is restarted."""

import time

import pytest

from cardlib.emulator import FaultyCard, SoftwareCard, parse_faults
from cardlib.transport.pcsc import (
    CardPulledOut,
    NoCard,
    PcscNotRunning,
    PcscRestarted,
    list_readers,
    open_reader,
    wait_for_card,
)
from tests.programs.pcscd import Pcscd
from tests.programs.two_slots import (
    FIRST,
    OTHER_CHIP,
    SELECT_DDF1,
    SELECT_EF05,
    VERIFY,
    H,
    Slots,
    blank_keys,
)


@pytest.fixture(scope="module")
def pcscd(pcscd_as_installed: Pcscd) -> Pcscd:
    """A card is away as long as an installed pcscd needs to notice it, and no longer."""
    return pcscd_as_installed


def test_a_card_pulled_out_is_noticed_and_no_command_reaches_the_next_one(slots: Slots) -> None:
    opened = open_reader(FIRST)
    slots.readers[0].remove()
    with pytest.raises(CardPulledOut, match=f"^{FIRST}: the card was pulled out$"):
        opened.transmit(SELECT_DDF1)
    slots.insert(0, slots.cards[0])
    with pytest.raises(CardPulledOut):
        opened.transmit(SELECT_DDF1)
    with pytest.raises(CardPulledOut):
        opened.reset()
    opened.close()


def test_a_card_exchanged_behind_our_back_is_noticed(slots: Slots) -> None:
    first, second, third = (open_reader(FIRST) for _ in range(3))
    slots.insert(0, SoftwareCard.blank(OTHER_CHIP, blank_keys(OTHER_CHIP)))
    with pytest.raises(CardPulledOut):
        first.transmit(SELECT_DDF1)
    with pytest.raises(CardPulledOut):
        second.reset()
    with pytest.raises(CardPulledOut), third.transaction():
        pass


def test_a_card_pulled_out_and_put_back_at_once_is_noticed_too(slots: Slots) -> None:
    with open_reader(FIRST) as opened:
        slots.readers[0].insert(slots.cards[0])
        with pytest.raises(CardPulledOut):
            opened.transmit(SELECT_DDF1)


@pytest.mark.parametrize("fault", ["lost:apdu=2", "truncate:apdu=2:bytes=0", "cut:write=1"])
def test_after_a_fault_the_reader_has_no_card_for_a_moment(slots: Slots, fault: str) -> None:
    card = FaultyCard(slots.cards[0], parse_faults([fault]))
    slots.insert(0, card)
    with open_reader(FIRST) as opened:
        opened.transmit(SELECT_DDF1)
        with pytest.raises(CardPulledOut):
            opened.transmit(VERIFY)
    assert card.happened
    assert wait_for_card(FIRST, 10).atr == card.atr
    with open_reader(FIRST) as opened:
        assert opened.transmit(SELECT_DDF1) == H("9000")
    slots.insert(0, slots.cards[0])


def test_a_card_removed_by_a_fault_comes_back_when_it_is_put_back(slots: Slots) -> None:
    card = FaultyCard(slots.cards[0], parse_faults(["remove:apdu=2"]))
    slots.insert(0, card)
    with open_reader(FIRST) as opened:
        opened.transmit(SELECT_DDF1)
        with pytest.raises(CardPulledOut):
            opened.transmit(SELECT_EF05)
    with pytest.raises(NoCard):
        wait_for_card(FIRST, 1)
    card.insert()
    assert wait_for_card(FIRST, 10).atr == card.atr
    slots.insert(0, slots.cards[0])


def test_the_cards_come_back_when_pcscd_is_restarted(slots: Slots, pcscd: Pcscd) -> None:
    opened = open_reader(FIRST)
    pcscd.stop()
    words = r"^pcscd not running: systemctl start pcscd$"
    for call in (list_readers, open_reader, lambda: opened.transmit(SELECT_DDF1), opened.reset):
        with pytest.raises(PcscNotRunning, match=words):
            call()
    time.sleep(0.5)
    pcscd.start()
    with pytest.raises(PcscRestarted, match=f"^{FIRST}: pcscd was restarted$"):
        opened.transmit(SELECT_DDF1)
    opened.close()
    for number, card in enumerate(slots.cards):
        assert wait_for_card(number, 10).atr == card.atr
        with open_reader(number) as opened:
            assert opened.transmit(SELECT_DDF1) == H("9000")
