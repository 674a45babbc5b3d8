"""A card for one program alone: others are waited for, kept out, and told of."""

import threading
import time
from collections.abc import Iterator

import pytest

from cardlib.emulator.bench.virtual_reader import VirtualReader
from cardlib.transport.alone import alone_in_reader
from cardlib.transport.pcsc import PcscConnection, ReaderInUse, find_reader, open_reader
from tests.cards.cards import personalized_card
from tests.programs.pcscd import SLOTS, Pcscd, wait_until

FIRST = SLOTS[0]
SELECT_DDF1 = bytes.fromhex("00A4040005F052484301")
SELECT_EF05 = bytes.fromhex("00A4000002EF05")
DONE, NOT_FOUND = b"\x90\0", b"\x6a\x82"


def waiting_threads() -> list[threading.Thread]:
    """The threads that wait for a card for us."""
    return [each for each in threading.enumerate() if each.name.endswith("(_open)")]


@pytest.fixture
def others(pcscd: Pcscd) -> Iterator[PcscConnection]:
    """Another program's connection to a personalized card in the first reader."""
    with VirtualReader() as reader:
        reader.insert(card := personalized_card())
        wait_until(lambda: find_reader(0).atr == card.atr, 10)
        with open_reader(FIRST) as connection:
            yield connection
    wait_until(lambda: not find_reader(0).atr, 10)


def test_a_reset_by_another_program_waits_until_we_are_done(others: PcscConnection) -> None:
    disturber = threading.Thread(target=others.reset)
    with alone_in_reader(FIRST) as ours:
        assert ours.transmit(SELECT_DDF1) == DONE
        disturber.start()
        time.sleep(0.3)
        assert disturber.is_alive()
        assert ours.transmit(SELECT_EF05) == DONE
    disturber.join(10)
    assert not disturber.is_alive()


def test_a_reset_before_our_first_command_costs_nothing(others: PcscConnection) -> None:
    def others_work() -> None:
        with others.transaction():
            begun.set()
            others.transmit(SELECT_DDF1)
            time.sleep(0.5)
            others.reset()

    begun = threading.Event()
    working = threading.Thread(target=others_work)
    working.start()
    assert begun.wait(10)
    with alone_in_reader(FIRST) as ours:
        assert ours.transmit(SELECT_EF05) == NOT_FOUND
        assert ours.transmit(SELECT_DDF1) == DONE
    working.join(10)


def test_a_program_that_keeps_the_card_is_waited_for_and_then_named(
    others: PcscConnection,
) -> None:
    told: list[str] = []
    with others.transaction():
        start = time.monotonic()
        words = rf"^{FIRST}: another program has kept the card for 1\.5 s: close that program$"
        with pytest.raises(ReaderInUse, match=words), alone_in_reader(FIRST, told.append, 1.5):
            pass
        assert 1.4 < time.monotonic() - start < 5
        assert told == [f"0 ({FIRST})"]
        others.transmit(SELECT_DDF1)
    wait_until(lambda: not waiting_threads(), 10)
    assert others.transmit(SELECT_EF05) == DONE  # nobody has reset the card
    others.close()
    with alone_in_reader(FIRST, told.append) as ours:
        assert ours.transmit(SELECT_DDF1) == DONE
    assert len(told) == 1
    wait_until(lambda: not find_reader(0).in_use, 10)
