"""The exceptions that end a command of the software card early."""

from ...errors import CardError, TransportError


class Refusal(CardError):
    """The card refuses a command with this status word; everything that it changed is undone.

    `reason` says which rule refused it and what it needs. It is for traces and is never sent.
    """

    def __init__(self, sw: int, reason: str = "") -> None:
        super().__init__(f"{sw:04X} {reason}")
        self.sw, self.reason = sw, reason


class PowerCut(TransportError):
    """Power failed at a memory write: nothing happened after it, and no answer is sent."""


class MemoryFailure(CardError):
    """A page of the non-volatile memory could not be written (status word 6581)."""


def demand_room(le: int | None, available: int) -> None:
    """Refuse with 6Cxx if a short reply does not fit Le, before the command does anything."""
    if le is not None and le < available < 256:
        raise Refusal(0x6C00 | available, f"send it again with Le {available:02X}")
