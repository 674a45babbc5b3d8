"""The options of a software card: they are stored in its image and announced in its ATR."""

from dataclasses import dataclass

from ...errors import FormatError

_FLAGS = (
    "extended_length",
    "command_chaining",
    "clear_updates",
    "scp03_s16",
    "scp03_random_challenge",
)


@dataclass(frozen=True, slots=True)
class CardOptions:
    """The options of a software card.

    `extended_length`, `command_chaining`: ISO/IEC 7816-4 5.3. `logical_channels`: 1 to 4, with the
    basic channel. `clear_updates`: version 1 also accepts appends, marks and binary updates without
    secure messaging, as field code sends them (card specification 4). `scp03_s16`: challenges,
    cryptograms and MACs of SCP03 have 16 bytes instead of 8. `scp03_random_challenge`: its card
    challenges are random instead of pseudo-random (card specification 6). Raises FormatError when
    `logical_channels` is not 1 to 4.
    """

    extended_length: bool = False
    command_chaining: bool = True
    clear_updates: bool = False
    logical_channels: int = 1
    scp03_s16: bool = False
    scp03_random_challenge: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.logical_channels <= 4:
            raise FormatError(f"logical_channels must be 1 to 4, not {self.logical_channels}")

    @property
    def scp03_i(self) -> int:
        """The parameter i of SCP03: R-MAC and R-ENC are always supported (Amendment D 5.1)."""
        return 0x60 | (0 if self.scp03_random_challenge else 0x10) | self.scp03_s16

    @property
    def scp03_challenge_length(self) -> int:
        """The bytes of challenges, cryptograms and MACs of SCP03."""
        return 16 if self.scp03_s16 else 8

    def encode(self) -> bytes:
        """Encode to 4 bytes: version, flags, logical channels, reserved."""
        flags = sum(getattr(self, name) << bit for bit, name in enumerate(_FLAGS))
        return bytes((1, flags, self.logical_channels, 0))

    @classmethod
    def decode(cls, raw: bytes) -> "CardOptions":
        """Decode what `encode` made; bytes that were never written give the defaults."""
        if raw[0] != 1:
            return cls()
        flags = {name: bool(raw[1] >> bit & 1) for bit, name in enumerate(_FLAGS)}
        return cls(**flags, logical_channels=raw[2])
