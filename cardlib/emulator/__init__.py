"""The software card: what a resident health card does, byte for byte, without a chip."""

from importlib import import_module
from typing import TYPE_CHECKING

from .card import SoftwareCard
from .image import CardImageError
from .options import CardOptions
from .refusal import MemoryFailure, PowerCut
from .state import LifeCycle

if TYPE_CHECKING:
    from .faults import Fault, parse_fault, parse_faults, random_faults
    from .faulty_card import FaultyCard
    from .timing import CardTiming
    from .trace import Trace

__all__ = [
    "CardImageError",
    "CardOptions",
    "CardTiming",
    "Fault",
    "FaultyCard",
    "LifeCycle",
    "MemoryFailure",
    "PowerCut",
    "SoftwareCard",
    "Trace",
    "parse_fault",
    "parse_faults",
    "random_faults",
]

_WHEN_ASKED_FOR = {
    "CardTiming": "timing",
    "Fault": "faults",
    "FaultyCard": "faulty_card",
    "Trace": "trace",
    "parse_fault": "faults",
    "parse_faults": "faults",
    "random_faults": "faults",
}
"""What a card that only answers does not need: its import would be a tenth of the start-up."""


def __getattr__(name: str) -> object:
    if name not in _WHEN_ASKED_FOR:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f".{_WHEN_ASKED_FOR[name]}", __name__), name)
    return value
