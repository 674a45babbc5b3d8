"""A reader that is watched: cards come and go, and pcscd ends."""

import threading
import time
from contextlib import closing

import pytest

from cardlib.emulator.bench.virtual_reader import VirtualReader
from cardlib.errors import TransportError
from cardlib.transport.pcsc import PcscNotRunning, PcscRestarted, find_reader
from cardlib.transport.slot import PcscSlot
from tests.cards.cards import personalized_card
from tests.programs.pcscd import SLOTS, Pcscd, wait_until

FIRST = SLOTS[0]


def watched_to_its_end(slot: PcscSlot) -> TransportError:
    """Look until it fails."""
    while True:
        try:
            slot.look(0.25)
        except TransportError as error:
            return error


@pytest.mark.parametrize("with_card", [True, False])
def test_a_watch_that_loses_pcscd_says_so(pcscd: Pcscd, with_card: bool) -> None:
    errors: list[TransportError] = []
    with VirtualReader() as reader, closing(PcscSlot(FIRST)) as slot:
        if with_card:
            reader.insert(personalized_card())
        wait_until(lambda: bool(find_reader(0).atr) is with_card, 10)
        watching = threading.Thread(target=lambda: errors.append(watched_to_its_end(slot)))
        watching.start()
        time.sleep(0.3)
        pcscd.stop()
        watching.join(10)
        pcscd.start()
        assert [type(error) for error in errors] in ([PcscNotRunning], [PcscRestarted]), errors
        wait_until(lambda: slot.look().present is with_card, 10)
    wait_until(lambda: not find_reader(0).atr, 10)
