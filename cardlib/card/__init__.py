"""The resident health card for a terminal: read, update, visits, PIN, blocks."""

from .health_card import ResidentHealthCard
from .identity import CardIdentity

__all__ = ["CardIdentity", "ResidentHealthCard"]
