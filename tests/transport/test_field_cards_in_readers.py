"""Cards with deployed cards' settings in a virtual reader: pcscd takes each ATR, a driver works."""

from collections.abc import Iterator

import pytest

from cardlib.emulator import CardOptions
from cardlib.emulator.bench.ready_made import CHIP, personalized_card
from cardlib.emulator.bench.virtual_reader import FIRST_PORT, VirtualReader
from cardlib.keys.roots import public_test_roots
from cardlib.layout.card_profile import FIELD
from cardlib.transport.pcsc import CardProtocol, find_reader, open_reader, wait_for_card
from tests.programs.pcscd import SLOTS, Pcscd, wait_until
from tests.vectors import load

H = bytes.fromhex
FIRST_SEQUENCE = load("field_driver")["sequences"][0]["steps"]


@pytest.fixture
def reader(pcscd: Pcscd) -> Iterator[VirtualReader]:
    with VirtualReader(FIRST_PORT) as slot:
        yield slot
        slot.remove()
        wait_until(lambda: not find_reader(SLOTS[0]).atr, 5)


@pytest.mark.parametrize(("place", "protocol"), [
    ("bytes 5-12", CardProtocol.T0), ("bytes 5-12", CardProtocol.T1),
    ("last 8", CardProtocol.T0), ("given", CardProtocol.T1),
])  # fmt: skip
def test_a_driver_finds_chip_and_region_through_pcscd(
    reader: VirtualReader, place: str, protocol: CardProtocol
) -> None:
    options = CardOptions.of_profile(FIELD.having({"serial_place": place}))
    card = personalized_card(public_test_roots(1), options=options)
    reader.insert(card)
    assert wait_for_card(SLOTS[0], 20).atr == card.atr
    with open_reader(SLOTS[0], protocol) as connection:
        places = {"bytes 5-12": connection.atr[5:13], "last 8": connection.atr[-8:]}
        assert [name for name, found in places.items() if found == CHIP] == (
            [] if place == "given" else [place]
        )
        for step in FIRST_SEQUENCE[1:]:
            response = connection.transmit(H(step["send"]))
            assert response[-2:] == H(step["sw"])
            assert len(response) - 2 == step["length"]
