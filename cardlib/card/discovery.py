"""Find out what a card answers, with commands that change nothing and try no key.

Card specification 10, amendment 12.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from .. import commands
from ..apdu import CommandAPDU
from ..errors import FormatError, NotPersonalized, ProfileNeeded
from ..exchange import Connection, send
from ..layout.card_profile import FIELD, RHCARD, CardProfile
from ..layout.load import ISSUER_FILE
from ..status import StatusWord
from ..tlv import find_ber
from .addressing import ByFileIdentifier, ByNameAndPath
from .field_card import UNSAID
from .serial_place import PLACES, candidates

_FREELY_CHANGED = ("selection", "record_reading")
"""Addressing and reading: what may follow from a card's answers alone."""


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

    def profile(self, base: CardProfile = RHCARD) -> CardProfile:
        """Return `base` with the addressing and reading that were found; nothing else is changed.

        Raises ProfileNeeded when the card does not say what it is, and `base` is not FIELD.
        """
        if self.settings["fci"] == "nothing" and base.name != FIELD.name:
            raise ProfileNeeded(UNSAID)
        return base.having({name: self.settings[name] for name in _FREELY_CHANGED})


def discover(connection: Connection) -> Found:
    """Reset a card and find out what it answers to SELECT and READ RECORD of the issuer's data.

    Raises NotPersonalized when the card has no issuer's data in either form.
    """
    atr = connection.reset()
    by_identifier, fci = _selected(connection, ByFileIdentifier())
    reading = _record_reading(connection) if by_identifier == StatusWord.SUCCESS else None
    by_path, fci_by_name = _selected(connection, ByNameAndPath())
    if by_path == StatusWord.SUCCESS:
        reading = reading or _record_reading(connection)
    if reading is None:
        raise NotPersonalized(
            f"not a resident health card: SELECT of DDF1/EF05 is refused by path ({by_path:04X})"
            f" and by file identifier ({by_identifier:04X})"
        )
    connection.reset()
    return Found(
        atr, (_selection(by_path, by_identifier), _fci(fci_by_name or fci), reading, _serial(atr))
    )


def _selected(
    connection: Connection, addressing: ByFileIdentifier | ByNameAndPath
) -> tuple[int, bytes]:
    """Select DDF1, asking for its FCI, then EF05; return the last status word, and the FCI."""
    sw, fci = 0, b""
    for path in ("DDF1", ISSUER_FILE.path):
        current = "" if path == "DDF1" else "DDF1"
        for step in addressing.steps(path, current, fci=path == "DDF1"):
            response = send(connection.transmit, step.command)
            sw, fci = response.sw, fci or response.data
            if sw != StatusWord.SUCCESS:
                return sw, fci
    return sw, fci


def _selection(by_path: int, by_identifier: int) -> Observation:
    if by_path == StatusWord.SUCCESS:
        words = "DDF1 is selected by its AID, and files by their path"
        return Observation("selection", "name and path", words)
    words = f"SELECT by AID and path is refused ({by_path:04X}); by file identifier it is done"
    assert by_identifier == StatusWord.SUCCESS
    return Observation("selection", "file identifier", words)


def _fci(fci: bytes) -> Observation:
    issuer_data = find_ber(fci, 0x6F, 0xA5) or b""
    if find_ber(issuer_data, 0xC1) and find_ber(issuer_data, 0xC2):
        return Observation("fci", "C1 and C2", "the FCI of DDF1 has C1 and C2")
    what = "has no C1 and C2" if fci else "is empty"
    words = f"the FCI of DDF1 {what}: the card does not say its specification, cipher and keys"
    return Observation("fci", "nothing", words)


def _record_reading(connection: Connection) -> Observation:
    def read(command: CommandAPDU) -> tuple[bytes, int]:
        response = send(connection.transmit, command)
        return response.data, response.sw

    many, sw = read(commands.read_records_from(1))
    if sw != StatusWord.SUCCESS:
        words = f"READ RECORD with P2=05 is refused ({sw:04X}): records are read one by one"
        return Observation("record_reading", "one", words)
    one, _ = read(commands.read_record(1))
    if len(many) > len(one):
        words = "READ RECORD with P2=05 brings several records"
        return Observation("record_reading", "many", words)
    words = "READ RECORD with P2=05 brings one record only: they are read one by one"
    return Observation("record_reading", "one", words)


def _serial(atr: bytes) -> Observation:
    found = candidates("historical tag", atr)
    if not found:
        raise FormatError("the ATR is too short to hold a chip serial")
    place = next(iter(found.values()))
    if place == "historical tag":
        words = f"the chip serial is in {PLACES[place]}"
    else:
        shown = " or ".join(f"{chip.hex().upper()} ({PLACES[p]})" for chip, p in found.items())
        words = f"the ATR has no chip serial under tag 58; it may be {shown}: this is not sure"
    return Observation("serial_place", place, words)
