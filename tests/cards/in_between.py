"""Somebody between a host and a card, who answers some commands himself.

A rule gets a command and what sends it on to the card. It returns the answer that the host gets,
or None if it has nothing to do with that command.
"""

from collections.abc import Callable, Mapping

from cardlib.apdu import Transmit
from cardlib.emulator import SoftwareCard
from cardlib.layout.card_profile import RHCARD
from tests.cards.field_bench import card_of_profile

Rule = Callable[[bytes, Transmit], bytes | None]

NO_FILE, NO_RECORD, WRONG_PARAMETERS = b"\x6a\x82", b"\x6a\x83", b"\x6a\x86"
SELECT, READ_BINARY, READ_RECORD, UPDATE_BINARY = 0xA4, 0xB0, 0xB2, 0xD6
_BY_NAME, _BY_PATH, _FROM_NUMBER = 0x04, 0x08, 0x05


class InBetween:
    """A connection with somebody in it. `sent` is what the host sent, `reached` what the card got.

    `atr` is the answer to reset that the host gets.
    """

    def __init__(self, card: SoftwareCard, *rules: Rule, atr: bytes | None = None) -> None:
        self.card, self.rules, self.atr = card, rules, atr or card.atr
        self.sent: list[bytes] = []
        self.reached: list[bytes] = []

    def reset(self) -> bytes:
        self.card.reset()
        return self.atr

    def transmit(self, command: bytes) -> bytes:
        self.sent.append(command)
        for rule in self.rules:
            answer = rule(command, self._on)
            if answer is not None:
                return answer
        return self._on(command)

    def _on(self, command: bytes) -> bytes:
        self.reached.append(command)
        return self.card.transmit(command)


def refusing(answer: bytes, is_meant: Callable[[bytes], bool]) -> Rule:
    """A rule that refuses the commands that are meant."""
    return lambda command, _: answer if is_meant(command) else None


def altering(instruction: int, change: Callable[[bytes], bytes]) -> Rule:
    """A rule that changes what the card answers to one instruction."""
    return lambda command, on: change(on(command)) if command[1] == instruction else None


def reads_many(command: bytes) -> bool:
    """READ RECORD with P2=05."""
    return command[1] == READ_RECORD and command[3] == _FROM_NUMBER


def _without_fci(command: bytes, on: Transmit) -> bytes | None:
    return on(command)[-2:] if command[1] == SELECT else None


def _says_spec_1_0(command: bytes, on: Transmit) -> bytes | None:
    """Tag 02 of the issuer's data, which is read in clear."""
    if command[:4] != b"\x00\xb2\x02\x00":
        return None
    on(command)
    return b"\x02\x041.0\0\x90\x00"


def _selects(p1: int) -> Callable[[bytes], bool]:
    return lambda command: command[1] == SELECT and command[2] == p1


DISGUISE: Mapping[str, Rule] = {
    "no AID": refusing(NO_FILE, _selects(_BY_NAME)),
    "no path": refusing(WRONG_PARAMETERS, _selects(_BY_PATH)),
    "no P2=05": refusing(WRONG_PARAMETERS, reads_many),
    "no FCI": _without_fci,
}
"""What makes a card look like one of profile `field`."""

FORGED_VERSION: Rule = _says_spec_1_0
"""A lie that the profile cannot see through: 2.0 is what the card itself says in tag 02."""


def without_serial(card: SoftwareCard) -> bytes:
    """The card's ATR with the tag of the chip serial changed; the check byte is right."""
    changed = bytearray(card.atr)
    place = changed.index(b"\x58" + card.chip)
    changed[place] ^= 0xC0
    changed[-1] ^= 0xC0
    return bytes(changed)


def disguised(*names: str, more: tuple[Rule, ...] = ()) -> InBetween:
    """A 2.0 card with somebody in front of it who does these things."""
    card = card_of_profile(RHCARD, protocol=2)
    atr = without_serial(card) if "no serial" in names else card.atr
    rules = [DISGUISE[name] for name in names if name != "no serial"]
    return InBetween(card, *more, *rules, atr=atr)
