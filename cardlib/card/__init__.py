"""The resident health card for a terminal: read, update, visits, PIN, blocks."""

from .card import ResidentHealthCard
from .identity import CardIdentity

__all__ = ["CardIdentity", "ResidentHealthCard"]
