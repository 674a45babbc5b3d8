"""The software card: what a resident health card does, byte for byte, without a chip."""

from .card import CardOptions, SoftwareCard
from .image import CardImageError
from .refusal import MemoryFailure, PowerCut
from .state import LifeCycle

__all__ = [
    "CardImageError",
    "CardOptions",
    "LifeCycle",
    "MemoryFailure",
    "PowerCut",
    "SoftwareCard",
]
