"""What a software card can do beside its profile; kept in its image, announced in its ATR."""

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
    """The card's switches.

    `extended_length`, `command_chaining`: ISO/IEC 7816-4 5.3. `logical_channels`: 1 to 4, the
    basic channel included. `clear_updates`: version-1 cyclic, mark and binary updates are also
    taken without secure messaging, as field code sends them (card specification, section 4).
    `scp03_s16`, `scp03_random_challenge`: SCP03 with 16-byte instead of 8-byte challenges,
    cryptograms and MACs, and with random instead of pseudo-random card challenges.
    """

    extended_length: bool = False
    command_chaining: bool = True
    clear_updates: bool = False
    logical_channels: int = 1
    scp03_s16: bool = False
    scp03_random_challenge: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.logical_channels <= 4:
            raise FormatError("a card has 1 to 4 logical channels")

    @property
    def scp03_i(self) -> int:
        """SCP03's implementation options "i": R-MAC and R-ENC always (Amendment D 5.1)."""
        return 0x60 | (0 if self.scp03_random_challenge else 0x10) | self.scp03_s16

    @property
    def scp03_challenge_length(self) -> int:
        """Bytes of SCP03's challenges, cryptograms and MACs."""
        return 16 if self.scp03_s16 else 8

    def encode(self) -> bytes:
        """4 bytes: version, flags, logical channels, reserved."""
        flags = sum(getattr(self, name) << bit for bit, name in enumerate(_FLAGS))
        return bytes((1, flags, self.logical_channels, 0))

    @classmethod
    def decode(cls, raw: bytes) -> "CardOptions":
        """What `encode` coded; the defaults where nothing was written."""
        if raw[0] != 1:
            return cls()
        flags = {name: bool(raw[1] >> bit & 1) for bit, name in enumerate(_FLAGS)}
        return cls(**flags, logical_channels=raw[2])
