"""The two slots of pcscd's virtual readers, with a software card in each."""

from cardlib.emulator import CardOptions, SoftwareCard
from cardlib.emulator.bench.faulty_card import FaultyCard as Faulty
from cardlib.emulator.bench.virtual_reader import FIRST_PORT, VirtualReader
from cardlib.transport.pcsc import find_reader
from tests.cards.cards import PIN, key_store, personalized_card
from tests.programs.pcscd import SLOTS, wait_until

H = bytes.fromhex
FIRST, SECOND = SLOTS
SELECT_DDF1 = H("00A4040005F052484301")
SELECT_EF05 = H("00A4000002EF05")
GET_CHALLENGE = H("0084000008")
VERIFY = H("0020000006") + PIN.encode("ascii")
"""Writes to the card's memory, and leaves it as it was."""
OTHER_CHIP = H("5248430000000002")
"""Of the blank card in the second slot."""


class Slots:
    """The two slots, with a personalized card in the first and a blank one in the second."""

    def __init__(self) -> None:
        self.readers = [VirtualReader(FIRST_PORT), VirtualReader(FIRST_PORT + 1)]
        extended = CardOptions(extended_length=True)
        blank = SoftwareCard.blank(OTHER_CHIP, blank_keys(OTHER_CHIP), options=extended)
        self.cards = [personalized_card(), blank]

    def reset(self) -> None:
        """Both cards in, whatever a test did."""
        for number, (reader, card) in enumerate(zip(self.readers, self.cards, strict=True)):
            if find_reader(number).atr != card.atr or reader.failure:
                reader.insert(card)
        for number, card in enumerate(self.cards):
            self.wait_for(number, card.atr)

    def empty(self, number: int) -> None:
        self.readers[number].remove()
        self.wait_for(number, b"")

    def insert(self, number: int, card: SoftwareCard | Faulty) -> None:
        self.empty(number)
        self.readers[number].insert(card)
        self.wait_for(number, card.atr)

    @staticmethod
    def wait_for(number: int, atr: bytes) -> None:
        wait_until(lambda: find_reader(number).atr == atr, 10, lambda: f"not {atr.hex()!r}")


def blank_keys(chip: bytes) -> tuple[bytes, bytes, bytes]:
    return key_store().blank_keys(chip)
