"""What a software card can do beside its profile; kept in its image, announced in its ATR."""

from dataclasses import dataclass

_FLAGS = ("extended_length", "command_chaining", "clear_updates")


@dataclass(frozen=True, slots=True)
class CardOptions:
    """The card's switches.

    `extended_length`, `command_chaining`: ISO/IEC 7816-4 5.3. `logical_channels`: 1 to 4, the
    basic channel included. `clear_updates`: version-1 cyclic, mark and binary updates are also
    taken without secure messaging, as field code sends them (card specification, section 4).
    """

    extended_length: bool = False
    command_chaining: bool = True
    clear_updates: bool = False
    logical_channels: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.logical_channels <= 4:
            raise ValueError("a card has 1 to 4 logical channels")

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
