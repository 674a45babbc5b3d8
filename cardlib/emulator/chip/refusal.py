"""How a command of the software card ends early."""

from ...errors import CardError, TransportError


class Refusal(CardError):
    """The card answers this status word; everything the command changed is undone.

    `reason` says which rule refused and what would satisfy it; it is for traces, never sent.
    """

    def __init__(self, sw: int, reason: str = "") -> None:
        super().__init__(f"{sw:04X} {reason}")
        self.sw, self.reason = sw, reason


class PowerCut(TransportError):
    """The supply failed: nothing after this memory write happened, and no answer is sent."""


class MemoryFailure(CardError):
    """A page of the non-volatile memory could not be programmed (status word 6581)."""


def demand_room(le: int | None, available: int) -> None:
    """Refuse with 6Cxx a short reply that Le has no room for, before anything is done for it."""
    if le is not None and le < available < 256:
        raise Refusal(0x6C00 | available, f"{available} bytes are available")
