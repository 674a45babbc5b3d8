"""A stand-in for a deployed card: our software card behind somebody who answers by a profile.

It knows nothing of the host's code: what it refuses is written here from the table's words.
"""

from cardlib.crypto import Cipher
from cardlib.emulator import CardOptions, SoftwareCard
from cardlib.emulator.bench.ready_made import personalized_card
from cardlib.keys.roots import public_test_roots
from cardlib.layout.card_profile import FIELD, CardProfile
from tests.cards.field_bench import RECORDS

REFUSED, NO_FILE, TOO_LONG = b"\x6a\x86", b"\x6a\x82", b"\x67\x00"
_HEAD = bytes.fromhex("3B6D0000")
_OTHER = bytes.fromhex("A1A2A3A4A5")
SELECT, READ_RECORD, READ_BINARY, UPDATE_BINARY = 0xA4, 0xB2, 0xB0, 0xD6


def atr_of(place: str, chip: bytes) -> bytes:
    """An ATR of 13 historical bytes with the chip serial in one place only."""
    historical = {
        "bytes 5-12": b"\x57" + chip + _OTHER[:4],
        "last 8": _OTHER + chip,
        "given": _OTHER + bytes(8),
    }
    return _HEAD + historical[place]


DEPLOYED = {
    "field": FIELD,
    "with our AID and chip serial": FIELD.having(
        {"selection": "name and path", "serial_place": "historical tag"}
    ),
    "without our AID, describing itself": FIELD.having(
        {"fci": "C1 and C2", "serial_place": "historical tag"}
    ),
    "describing itself, with its chip serial elsewhere": FIELD.having(
        {"selection": "name and path", "fci": "C1 and C2"}
    ),
}
"""Kinds of deployed cards: each is told from a card of ours by something else."""


def deployed_card(profile: CardProfile = FIELD) -> SoftwareCard:
    """A software card that behaves as a profile says, with the published test keys."""
    return personalized_card(public_test_roots(1), options=CardOptions.of_profile(profile))


def new_card(protocol: int = 1, cipher: Cipher = Cipher.SM4, *, clear: bool = True) -> SoftwareCard:
    """A card of the specification, with the resident and the photo of the other benches."""
    options = CardOptions(clear_updates=clear)
    return personalized_card(public_test_roots(protocol, cipher), records=RECORDS, options=options)


class FieldLike:
    """A connection to a card of a profile. `no_many` is its answer to P2=05 if it has none."""

    def __init__(
        self, card: SoftwareCard, profile: CardProfile = FIELD, *, no_many: bytes = REFUSED
    ) -> None:
        self.card, self.profile, self.no_many = card, profile, no_many
        place = profile.serial_place
        self.atr = card.atr if place == "historical tag" else atr_of(place, card.chip)

    def reset(self) -> bytes:
        self.card.reset()
        return self.atr

    def transmit(self, command: bytes) -> bytes:
        ins, p1, p2 = command[1:4]
        by_identifier = self.profile.selection == "file identifier"
        if ins == SELECT and by_identifier and (p1 or p2):
            return NO_FILE if p1 == 0x04 else REFUSED
        if ins == SELECT and self.profile.fci == "nothing":
            return self.card.transmit(command)[-2:]
        if ins == READ_RECORD and p2 == 0x05 and self.profile.record_reading == "one":
            return self.no_many
        if self.profile.binary_block == "128" and _is_too_long(command):
            return TOO_LONG
        return self.card.transmit(command)


def _is_too_long(command: bytes) -> bool:
    asked = (command[4] or 256) if command[1] == READ_BINARY else 0
    sent = command[4] if command[1] == UPDATE_BINARY and not command[0] & 0x04 else 0
    return max(asked, sent) > 128
