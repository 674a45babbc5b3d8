"""Card profiles: how a card is addressed and coded, as a table of differences.

`RHCARD` is the card specification. `FIELD` is what the one public driver of deployed cards does
(card specification 10, amendment 12). Host and emulator both take a profile.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from ..errors import FormatError
from .tables import read_table

_PROTECTING = ("fci", "clear_updates")
"""The settings that lower a card's protection when they are not as in the card specification."""


@dataclass(frozen=True, slots=True)
class CardProfile:
    """One way to address and code a card. The table profiles.csv says what each setting means.

    `name` is that of the profile in the table that it is built on: "rhcard" or "field".
    """

    name: str
    serial_place: Literal["historical tag", "bytes 5-12", "last 8", "given"]
    selection: Literal["name and path", "file identifier"]
    fci: Literal["C1 and C2", "nothing"]
    record_reading: Literal["many", "one"]
    binary_block: Literal["whole", "128"]
    one_digit_code: Literal["nF", "0n"]
    clear_updates: Literal["no", "yes"]
    blank_text: Literal["unwritten", "00", "20"]
    issuer_files: Literal["never changed", "UK_DDF1"]
    old_spec_version: Literal["no", "yes"]
    sam_pin: Literal["ASCII", "BCD"]
    sam_version_0: Literal["newest", "last authenticated"]
    t0_select: Literal["9000", "61xx"]

    def differences(self) -> Iterator["Setting"]:
        """Iterate over the settings that are not as in the card specification."""
        return (each for each in SETTINGS if getattr(self, each.name) != each.values["rhcard"])

    @property
    def lowered(self) -> tuple[str, ...]:
        """The settings that lower a card's protection. A terminal takes them from FIELD only."""
        return tuple(each.name for each in self.differences() if each.name in _PROTECTING)

    def having(self, changes: Mapping[str, str]) -> "CardProfile":
        """Return a profile with other settings.

        Raises FormatError, which names the choices, when there is no such setting or value.
        """
        for name, value in changes.items():
            setting = _BY_NAME.get(name)
            if setting is None:
                known = ", ".join(_BY_NAME)
                raise FormatError(f"{name!r} is no setting of a card profile: use {known}")
            if value not in setting.choices:
                allowed = " or ".join(setting.choices)
                raise FormatError(f"card profile: {name} is {value!r}: use {allowed}")
        return replace(self, **changes)  # type: ignore[arg-type]  # checked by the table


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table: its value in each profile, its choices, and what they mean."""

    name: str
    values: Mapping[str, str]
    choices: tuple[str, ...]
    meaning: str


def _settings() -> tuple[Setting, ...]:
    rows = read_table(Path(__file__).with_name("profiles.csv"))
    return tuple(
        Setting(
            row["setting"],
            MappingProxyType({"rhcard": row["rhcard"], "field": row["field"]}),
            tuple(row["choices"].split("|")),
            row["meaning"],
        )
        for row in rows
    )


SETTINGS = _settings()
_BY_NAME = {setting.name: setting for setting in SETTINGS}


def _profile(name: str) -> CardProfile:
    names = [field.name for field in fields(CardProfile)][1:]
    values = {setting: _BY_NAME[setting].values[name] for setting in names}
    return CardProfile(name, **values)  # type: ignore[arg-type]  # test_card_profile.py checks it


RHCARD, FIELD = _profile("rhcard"), _profile("field")
PROFILES: Mapping[str, CardProfile] = MappingProxyType({"rhcard": RHCARD, "field": FIELD})
