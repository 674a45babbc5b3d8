"""The options of a software card: they are stored in its image and announced in its ATR."""

from dataclasses import dataclass, fields
from typing import Self

from ...errors import FormatError
from ...layout.card_profile import RHCARD, SETTINGS, CardProfile, Setting

_FLAGS = (
    "extended_length",
    "command_chaining",
    "clear_updates",
    "scp03_s16",
    "scp03_random_challenge",
)
_SPECIFIED, _WITH_SETTINGS = 1, 2
"""The first byte of coded options: those of the card specification, or also a profile's."""
OPTIONS_SIZE = 16
"""The most bytes of coded options."""
_UNWRITTEN = b"\xff"


@dataclass(frozen=True, slots=True)
class CardOptions:
    """The options of a software card.

    `extended_length`, `command_chaining`: ISO/IEC 7816-4 5.3. `logical_channels`: 1 to 4, with the
    basic channel. `clear_updates`: version 1 also accepts appends, marks and binary updates without
    secure messaging, as field code sends them (card specification 4). `scp03_s16`: challenges,
    cryptograms and MACs of SCP03 have 16 bytes instead of 8. `scp03_random_challenge`: its card
    challenges are random instead of pseudo-random (card specification 6).

    The others are the settings of a card profile that a card can have, with the table's values
    (`cardlib.layout.card_profile`; card specification 1a). Raises FormatError when
    `logical_channels` is not 1 to 4, or a setting does not have such a value.
    """

    extended_length: bool = False
    command_chaining: bool = True
    clear_updates: bool = False
    logical_channels: int = 1
    scp03_s16: bool = False
    scp03_random_challenge: bool = False
    serial_place: str = RHCARD.serial_place
    selection: str = RHCARD.selection
    fci: str = RHCARD.fci
    record_reading: str = RHCARD.record_reading
    one_digit_code: str = RHCARD.one_digit_code
    blank_text: str = RHCARD.blank_text
    issuer_files: str = RHCARD.issuer_files
    old_spec_version: str = RHCARD.old_spec_version
    t0_select: str = RHCARD.t0_select

    def __post_init__(self) -> None:
        if not 1 <= self.logical_channels <= 4:
            raise FormatError(f"logical_channels must be 1 to 4, not {self.logical_channels}")
        RHCARD.having(self.settings)

    @classmethod
    def of_profile(cls, profile: CardProfile, **switches: bool | int) -> Self:
        """Return the options of a card that behaves as the profile says, with other switches."""
        settings = {setting.name: getattr(profile, setting.name) for setting in CARD_SETTINGS}
        settings["clear_updates"] = settings["clear_updates"] == "yes"
        return cls(**settings, **switches)  # type: ignore[arg-type]  # by name

    @property
    def settings(self) -> dict[str, str]:
        """The settings of a card profile that this card has: name and value."""
        found = {setting.name: getattr(self, setting.name) for setting in CARD_SETTINGS}
        return {**found, "clear_updates": "yes" if self.clear_updates else "no"}

    @property
    def differences(self) -> dict[str, str]:
        """Those of `settings` that are not as in the card specification."""
        return {k: v for k, v in self.settings.items() if v != getattr(RHCARD, k)}

    @property
    def only_spec_1_0(self) -> str:
        """Name a setting that a card of specification 2.0 cannot have, or "" if it has none."""
        return next((name for name in self.differences if name not in _ALSO_SPEC_2_0), "")

    @property
    def scp03_i(self) -> int:
        """The parameter i of SCP03: R-MAC and R-ENC are always supported (Amendment D 5.1)."""
        return 0x60 | (0 if self.scp03_random_challenge else 0x10) | self.scp03_s16

    @property
    def scp03_challenge_length(self) -> int:
        """The bytes of challenges, cryptograms and MACs of SCP03."""
        return 16 if self.scp03_s16 else 8

    def encode(self) -> bytes:
        """Encode to at most 16 bytes: version, flags, logical channels, 00, settings.

        Each setting is one byte: which of its choices it is, from 0. A card that has them all as in
        the card specification has no such bytes.
        """
        flags = sum(getattr(self, name) << bit for bit, name in enumerate(_FLAGS))
        stored = bytes(s.choices.index(getattr(self, s.name)) for s in _STORED)
        if not any(getattr(self, s.name) != getattr(RHCARD, s.name) for s in _STORED):
            return bytes((_SPECIFIED, flags, self.logical_channels, 0))
        return bytes((_WITH_SETTINGS, flags, self.logical_channels, 0)) + stored

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Decode what `encode` made; bytes that were never written give the defaults.

        Raises FormatError when no options are coded so.
        """
        if raw[0] not in (_SPECIFIED, _WITH_SETTINGS):
            return cls()
        flags = {name: bool(raw[1] >> bit & 1) for bit, name in enumerate(_FLAGS)}
        settings = {}
        if raw[0] == _WITH_SETTINGS:
            for setting, index in zip(_STORED, raw[4:], strict=False):
                if index >= len(setting.choices):
                    raise FormatError(f"{setting.name} has no choice {index}")
                settings[setting.name] = setting.choices[index]
        return cls(logical_channels=raw[2], **flags, **settings)  # type: ignore[arg-type]  # by name

    @classmethod
    def are_whole(cls, raw: bytes) -> bool:
        """Whether bytes in memory are what `encode` makes, or were never written."""
        if raw.count(_UNWRITTEN) == len(raw):
            return True
        try:
            return raw == cls.decode(raw).encode().ljust(len(raw), _UNWRITTEN)
        except FormatError:
            return False


_NAMES = frozenset(field.name for field in fields(CardOptions))
CARD_SETTINGS: tuple[Setting, ...] = tuple(s for s in SETTINGS if s.name in _NAMES)
"""The settings of a card profile that a card has; the others are the terminal's alone."""
_STORED = tuple(setting for setting in CARD_SETTINGS if setting.name not in _FLAGS)
_ALSO_SPEC_2_0 = ("clear_updates", "t0_select")
