"""The software card: a program that behaves like a resident health card, byte for byte."""

from importlib import import_module
from typing import TYPE_CHECKING

from .chip.image import CardImageError
from .chip.refusal import MemoryFailure, PowerCut
from .profile.card_options import CardOptions
from .profile.card_state import LifeCycle
from .software_card import SoftwareCard

if TYPE_CHECKING:
    from ..timing import CardTiming
    from .bench.faults import Fault, parse_fault, parse_faults, random_faults
    from .bench.faulty_card import (
        CardMute,
        CardRemoved,
        FaultyCard,
        InjectedFault,
        PowerLost,
        ReplyLost,
    )
    from .bench.ready_made import personalized_card
    from .bench.trace import Trace

__all__ = [
    "CardImageError",
    "CardMute",
    "CardOptions",
    "CardRemoved",
    "CardTiming",
    "Fault",
    "FaultyCard",
    "InjectedFault",
    "LifeCycle",
    "MemoryFailure",
    "PowerCut",
    "PowerLost",
    "ReplyLost",
    "SoftwareCard",
    "Trace",
    "parse_fault",
    "parse_faults",
    "personalized_card",
    "random_faults",
]

_WHEN_ASKED_FOR = {
    "CardTiming": "..timing",
    "Fault": ".bench.faults",
    "FaultyCard": ".bench.faulty_card",
    "CardMute": ".bench.faulty_card",
    "CardRemoved": ".bench.faulty_card",
    "InjectedFault": ".bench.faulty_card",
    "PowerLost": ".bench.faulty_card",
    "ReplyLost": ".bench.faulty_card",
    "personalized_card": ".bench.ready_made",
    "Trace": ".bench.trace",
    "parse_fault": ".bench.faults",
    "parse_faults": ".bench.faults",
    "random_faults": ".bench.faults",
}
"""Names that are imported when they are used: a card that only answers starts 10 % faster."""


def __getattr__(name: str) -> object:
    if name not in _WHEN_ASKED_FOR:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_WHEN_ASKED_FOR[name], __name__), name)
    return value
