"""Fixtures: two filled slots, and a connection to the first."""

from collections.abc import Iterator

import pytest

from cardlib.transport.pcsc import PcscConnection, open_reader
from tests.programs.pcscd import Pcscd
from tests.programs.two_slots import FIRST, Slots


@pytest.fixture(scope="module")
def filled(pcscd: Pcscd) -> Iterator[Slots]:
    slots = Slots()
    yield slots
    for reader in slots.readers:
        reader.remove()


@pytest.fixture
def slots(filled: Slots) -> Slots:
    filled.reset()
    return filled


@pytest.fixture
def connection(slots: Slots) -> Iterator[PcscConnection]:
    with open_reader(FIRST) as opened:
        yield opened
