"""The software card: what a resident health card does, byte for byte, without a chip."""

from .card import SoftwareCard
from .faults import Fault, parse_fault, parse_faults, random_faults
from .faulty_card import FaultyCard
from .image import CardImageError
from .options import CardOptions
from .refusal import MemoryFailure, PowerCut
from .state import LifeCycle

__all__ = [
    "CardImageError",
    "CardOptions",
    "Fault",
    "FaultyCard",
    "LifeCycle",
    "MemoryFailure",
    "PowerCut",
    "SoftwareCard",
    "parse_fault",
    "parse_faults",
    "random_faults",
]
