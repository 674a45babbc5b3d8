"""Four virtual readers at once: four cards, read at the same time by four processes."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from cardlib.emulator import SoftwareCard
from cardlib.emulator.bench.ready_made import RESIDENT, personalized_card
from cardlib.emulator.bench.virtual_reader import FIRST_PORT, VirtualReader
from cardlib.keys.roots import public_test_roots
from cardlib.transport.pcsc import find_reader, list_readers
from tests import ROOT
from tests.programs.pcscd import FOUR_SLOTS, wait_until

EMERGENCY = "DDF1/DF02/EF05"
TIMES = 20
CHIPS = [bytes.fromhex(f"52484300000000{number:02X}") for number in range(0x41, 0x45)]
"""One chip for each slot; card n has the ABO blood group n (1 A, 2 B, 3 O, 4 AB)."""


def cards() -> list[SoftwareCard]:
    rest = RESIDENT[EMERGENCY][1:]
    return [
        personalized_card(
            public_test_roots(2),
            chip=chip,
            records={**RESIDENT, EMERGENCY: ({"abo_blood_group": str(group)}, *rest)},
        )
        for group, chip in enumerate(CHIPS, 1)
    ]


@pytest.fixture
def four_cards(pcscd_with_four_slots: object) -> Iterator[list[SoftwareCard]]:
    """A card in each of the four slots."""
    assert pcscd_with_four_slots
    inserted = cards()
    readers = [VirtualReader(FIRST_PORT + number) for number in range(len(inserted))]
    for reader, card in zip(readers, inserted, strict=True):
        reader.insert(card)
    for name, card in zip(FOUR_SLOTS, inserted, strict=True):
        wait_until(lambda name=name, card=card: find_reader(name).atr == card.atr, 10)  # type: ignore[misc]
    yield inserted
    for reader in readers:
        reader.remove()


@contextmanager
def terminal(reader: str) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.programs.reading_terminal", reader, str(TIMES)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def test_four_cards_are_read_at_the_same_time_by_four_processes(
    four_cards: list[SoftwareCard],
) -> None:
    listed = [(each.name, each.atr) for each in list_readers()]
    assert listed == list(zip(FOUR_SLOTS, [card.atr for card in four_cards], strict=True))
    with ExitStack() as stack:
        processes = [stack.enter_context(terminal(name)) for name in FOUR_SLOTS]
        for process in processes:
            assert process.stdout and process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        told = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    for group, (chip, answer) in enumerate(zip(CHIPS, told, strict=True), 1):
        assert answer["found"] == [[chip.hex().upper(), str(group)]] * TIMES
    assert max(answer["begin"] for answer in told) < min(answer["end"] for answer in told)
