"""The software card: what a resident health card does, byte for byte, without a chip."""

from .card import SoftwareCard
from .image import CardImageError
from .options import CardOptions
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
