"""Where a card's chip serial is, and what may be tried while that is not sure.

A wrong chip serial gives wrong keys, and each wrong key spends one of its 15 tries (card
specification 3 and 10, amendment 12).
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hmac import compare_digest
from types import MappingProxyType

from ..apdu import CommandAPDU
from ..errors import CardError, CardKeyError, FormatError, ProfileNeeded
from ..keys import CardKeys
from ..layout.card_profile import FIELD, CardProfile
from ..messaging import v1
from ..transport import chip_serial

INTERNAL_KEY = "IRK_DDF1"
"""The key with which a card proves that it is genuine (card specification 3)."""

PLACES: Mapping[str, str] = MappingProxyType(
    {
        "historical tag": "COMPACT-TLV tag 58 of the ATR",
        "bytes 5-12": "bytes 5 to 12 of the ATR",
        "last 8": "the last 8 bytes of the ATR",
        "given": "what was given by hand",
    }
)
"""The values of the setting `serial_place`, in words."""
_SIZE = 8


def serial_at(place: str, atr: bytes, given: bytes | None = None) -> bytes:
    """Return the chip serial, 8 bytes, from a place that the table of profiles names.

    Raises FormatError when the ATR has none there, CardKeyError when none was given by hand.
    """
    if place == "historical tag":
        return chip_serial(atr)
    if place == "given":
        if given is None:
            raise CardKeyError("the profile takes the chip serial from you: give its 16 hex digits")
        return given
    serial = atr[5:13] if place == "bytes 5-12" else atr[-_SIZE:]
    if len(serial) != _SIZE:
        raise FormatError(f"the ATR is too short to hold a chip serial in {PLACES[place]}")
    return serial


def candidates(first: str, atr: bytes, given: bytes | None = None) -> dict[bytes, str]:
    """Return the chip serials that a card may have, and the place of each; `first` comes first."""
    found: dict[bytes, str] = {}
    for place in (first, *PLACES):
        try:
            found.setdefault(serial_at(place, atr, given), place)
        except CardError:
            continue
    return found


@dataclass(frozen=True, slots=True)
class Question:
    """One INTERNAL AUTHENTICATE: what is asked, and whether a card's answer is right."""

    sam_random: bytes
    data8: bytes

    @classmethod
    def new(cls) -> "Question":
        """Make one with random values."""
        return cls(secrets.token_bytes(8), secrets.token_bytes(8))

    def command(self, key_version: int) -> CommandAPDU:
        """Return the command, 00 88 00 00 11."""
        return v1.internal_authenticate(self.sam_random, self.data8, key_version)

    def is_answered(self, keys: CardKeys, reply: bytes) -> bool:
        """Whether the reply was made with the internal key of these keys; in constant time."""
        process_key = keys.process_key(INTERNAL_KEY, self.sam_random)
        return compare_digest(reply, v1.cryptogram(process_key, self.data8))


class SerialTrial:
    """Whether a card's chip serial is sure. If it is not, one authentication may be tried.

    It is sure when a card that describes itself has it in its place, when the card has proved its
    internal key, or when a key was accepted. What was spent stays spent, also over a reset.
    `refusal` is the status word of a card that refused to prove its internal key.
    """

    def __init__(self, profile: CardProfile, given: bytes | None, *, strict: bool = False) -> None:
        self.place: str = "given" if given is not None else profile.serial_place
        self.is_sure = self.place == "historical tag" and profile.fci == "C1 and C2"
        self.refusal: int | None = None
        self._is_field, self._strict = profile.name == FIELD.name, strict
        self._given, self._is_spent = given, False

    def chip(self, atr: bytes) -> bytes:
        """Return the chip serial, 8 bytes.

        Raises ProfileNeeded when an ATR has none under tag 58 and nobody chose profile FIELD, else
        CardKeyError; if strict, the errors of `serial_at`.
        """
        try:
            return serial_at(self.place, atr, self._given)
        except FormatError as error:
            if self._strict:
                raise
            if self._is_field:
                where = PLACES[self.place]
                raise CardKeyError(
                    f"the chip serial cannot be in {where}: choose another serial_place, or give"
                    " it by hand"
                ) from error
            raise ProfileNeeded("its chip serial (none in the ATR under tag 58)") from None

    def others(self, atr: bytes) -> dict[bytes, str]:
        """Return the chip serials of all places, and the place of each; none if it is sure."""
        return {} if self.is_sure else candidates(self.place, atr, self._given)

    @property
    def aside(self) -> str:
        """Where the chip serial was taken from, for a message; "" if it is sure."""
        if self.is_sure:
            return ""
        return f"; the chip serial is {PLACES[self.place]}, which may be the wrong place{self._why}"

    @property
    def _why(self) -> str:
        """Why the internal key did not tell the place, if the card refused it."""
        if self.refusal is None:
            return ""
        return f" (the card refuses INTERNAL AUTHENTICATE, which would tell it: {self.refusal:04X})"

    def begin(self) -> None:
        """Spend the one try. Raises CardKeyError, before anything is sent, when it is spent."""
        if self.is_sure:
            return
        if self._is_spent:
            raise CardKeyError(
                f"no second authentication is tried: the chip serial is {PLACES[self.place]}, and"
                f" the card refused a key that was derived from it{self._why}. 15 wrong"
                " tries lock a key for good. Choose another place of the chip serial, or give it"
                " by hand, and begin anew"
            )
        self._is_spent = True

    def succeeded(self, place: str = "") -> None:
        """Note that the card proved its chip serial to be right: the one of `place`, if given."""
        self.place, self.is_sure = place or self.place, True
