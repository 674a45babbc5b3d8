"""The resident health card as a terminal uses it: reading, updates, visits, PIN, blocking."""

from .health_card import ResidentHealthCard
from .identity import CardIdentity

__all__ = ["CardIdentity", "ResidentHealthCard"]
