"""A terminal at a software card of version 2, and a line that may change what passes."""

from collections.abc import Callable

from cardlib.card import ResidentHealthCard
from cardlib.crypto import Cipher
from cardlib.emulator import SoftwareCard
from cardlib.layout import FieldValue, State
from tests.cards.v2_cards import key_set

CLINICAL, ALLERGIES, INDEX, SLOT = (
    "DDF1/DF02/EF05", "DDF1/DF02/EF07", "DDF1/DF03/EF06", "DDF1/DF03/ED01",
)  # fmt: skip


def terminal(card: SoftwareCard, *names: str, cipher: Cipher = Cipher.SM4) -> ResidentHealthCard:
    """A terminal at a card just put in, with the named keys authenticated and no others."""
    card.reset()
    reader = ResidentHealthCard(card, key_set(cipher, *names))
    for name in names:
        reader.authenticate(name)
    return reader


class Line:
    """A connection that may change what passes; it sees commands and replies."""

    def __init__(self, card: SoftwareCard) -> None:
        self.card = card
        self.command: Callable[[bytes], bytes] = lambda raw: raw
        self.reply: Callable[[bytes, bytes], bytes] = lambda raw, reply: reply
        self.sent: list[bytes] = []

    @property
    def atr(self) -> bytes:
        return self.card.atr

    def reset(self) -> bytes:
        return self.card.reset()

    def transmit(self, command: bytes) -> bytes:
        self.sent.append(command)
        return self.reply(command, self.card.transmit(self.command(command)))


def states(values: tuple[FieldValue, ...]) -> set[State]:
    return {value.state for value in values}


def fresh(card: SoftwareCard) -> SoftwareCard:
    card.reset()
    return card


# --- the issuer's file, which is free -------------------------------------------------------


def reads_in_clear(line: Line) -> int:
    """How many READ RECORD and READ BINARY went out without protection."""
    return sum(raw[0] & 0x0C == 0 and raw[1] in (0xB0, 0xB1, 0xB2, 0xB3) for raw in line.sent)


def path_of(path: str) -> bytes:
    return bytes.fromhex(path.replace("/", ""))
