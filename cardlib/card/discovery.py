"""Find out what a card answers, with commands that change nothing and try no key.

Card specification 10, amendment 12.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from .. import commands
from ..apdu import CommandAPDU, ResponseAPDU
from ..errors import CardError, FormatError, NotPersonalized, ProfileNeeded, TransportError
from ..exchange import Connection, send
from ..layout.card_profile import FIELD, RHCARD, CardProfile
from ..layout.load import ISSUER_FILE
from ..status import StatusWord
from ..tlv import find_ber
from .addressing import ByFileIdentifier, ByNameAndPath
from .field_card import UNSAID, first_issuer_record
from .serial_place import PLACES, candidates

_FREELY_CHANGED = ("selection", "record_reading")
"""Addressing and reading: what may follow from a card's answers alone."""
_OF_DEPLOYED = ("selection", "fci", "serial_place")
"""The settings by which a deployed card is told from one of ours. Both may read one by one."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One setting of a profile as the card's answers show it, and one sentence why."""

    setting: str
    value: str
    words: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a card answers. Nothing of it is proved: somebody on the line could have changed it."""

    atr: bytes
    observations: tuple[Observation, ...]

    @property
    def settings(self) -> Mapping[str, str]:
        """The settings that were observed."""
        return {each.setting: each.value for each in self.observations}

    @property
    def serials(self) -> Mapping[bytes, str]:
        """The chip serials that the card may have, 8 bytes, and the place of each in the ATR."""
        return _serials(self.atr)

    @property
    def is_deployed(self) -> bool:
        """Whether it is addressed or describes itself otherwise than a card of ours."""
        return any(self.settings[name] != getattr(RHCARD, name) for name in _OF_DEPLOYED)

    @property
    def base(self) -> CardProfile:
        """The profile to choose: FIELD if the card does not say what it is."""
        return FIELD if self.settings["fci"] == "nothing" else RHCARD

    def profile(self, base: CardProfile = RHCARD) -> CardProfile:
        """Return `base` with the addressing and reading that were found; nothing else is changed.

        Raises ProfileNeeded when the card does not say what it is, and `base` is not FIELD.
        """
        if self.settings["fci"] == "nothing" and base.name != FIELD.name:
            raise ProfileNeeded(UNSAID)
        return base.having({name: self.settings[name] for name in _FREELY_CHANGED})


def discover(connection: Connection) -> Found:
    """Reset a card and find out what it answers to SELECT and READ RECORD of the issuer's data.

    The card is reset again at the end. Raises NotPersonalized when the card has no issuer's data in
    either form.
    """
    atr = connection.reset()
    identifier = _Answers.of(connection, ByFileIdentifier())
    reading = _record_reading(connection) if identifier.is_selected else None
    name = _Answers.of(connection, ByNameAndPath())
    if name.is_selected:
        reading = reading or _record_reading(connection)
    connection.reset()
    if reading is None:
        raise NotPersonalized(
            "not a resident health card: DDF1/EF05 cannot be read. SELECT by AID is answered"
            f" {name.ddf1:04X}, by path {name.file:04X}, by file identifier {identifier.file:04X}"
        )
    fci = _fci(name.fci or identifier.fci)
    return Found(atr, (_selection(name), fci, reading, _serial(atr)))


def is_deployed(connection: Connection) -> bool:
    """Find out whether it is a resident health card, but not made as ours are. It is reset.

    Raises TransportError when the card does not answer.
    """
    try:
        return discover(connection).is_deployed
    except TransportError:
        raise
    except CardError:
        return False


@dataclass(frozen=True, slots=True)
class _Answers:
    """What a card answers to one way of addressing: for DDF1 and then for EF05 in it."""

    ddf1: int
    file: int
    fci: bytes

    @classmethod
    def of(cls, connection: Connection, way: ByFileIdentifier | ByNameAndPath) -> "_Answers":
        """Select DDF1, asking for its FCI, then EF05. Both are tried, for AID and path differ."""
        (step,) = way.steps("DDF1", "", fci=True)
        ddf1 = send(connection.transmit, step.command)
        (step,) = way.steps(ISSUER_FILE.path, step.df, fci=False)
        file = send(connection.transmit, step.command)
        return cls(ddf1.sw, file.sw, ddf1.data)

    @property
    def is_selected(self) -> bool:
        """Whether both were selected."""
        return self.ddf1 == self.file == StatusWord.SUCCESS


def _selection(name: _Answers) -> Observation:
    if name.is_selected:
        words = "DDF1 is selected by its AID, and files by their path"
        return Observation("selection", "name and path", words)
    words = (
        f"SELECT by AID is {_in_words(name.ddf1)}, by path {_in_words(name.file)}; by file"
        " identifier it is done"
    )
    return Observation("selection", "file identifier", words)


def _in_words(sw: int) -> str:
    return "done" if sw == StatusWord.SUCCESS else f"refused ({sw:04X})"


def _fci(fci: bytes) -> Observation:
    try:
        issuer_data = find_ber(fci, 0x6F, 0xA5) or b""
        if find_ber(issuer_data, 0xC1) and find_ber(issuer_data, 0xC2):
            return Observation("fci", "C1 and C2", "the FCI of DDF1 has C1 and C2")
        what = "has no C1 and C2" if fci else "is empty"
    except FormatError:
        what = "cannot be decoded"
    words = f"the FCI of DDF1 {what}: the card does not say its specification, cipher and keys"
    return Observation("fci", "nothing", words)


def _record_reading(connection: Connection) -> Observation | None:
    """Read the issuer's file, which is selected; None when it is no such file."""

    def sent(command: CommandAPDU) -> ResponseAPDU:
        return send(connection.transmit, command)

    many, one = sent(commands.read_records_from(1)), first_issuer_record(sent)
    if not one:
        return None
    if many.sw != StatusWord.SUCCESS:
        words = f"READ RECORD with P2=05 is refused ({many.sw:04X}): records are read one by one"
        return Observation("record_reading", "one", words)
    if many.data.startswith(one) and len(many.data) > len(one):
        words = "READ RECORD with P2=05 brings several records"
        return Observation("record_reading", "many", words)
    words = "READ RECORD with P2=05 brings one record only: they are read one by one"
    return Observation("record_reading", "one", words)


def _serials(atr: bytes) -> dict[bytes, str]:
    return candidates("historical tag", atr)


def _serial(atr: bytes) -> Observation:
    found = _serials(atr)
    place = next(iter(found.values()), "given")
    if place == "historical tag":
        words = f"the chip serial is in {PLACES[place]}"
    elif found:
        shown = " or ".join(f"{chip.hex().upper()} ({PLACES[p]})" for chip, p in found.items())
        words = f"the ATR has no chip serial under tag 58; it may be {shown}: this is not sure"
    else:
        words = "the ATR is too short to hold a chip serial: give it by hand"
    return Observation("serial_place", place, words)
