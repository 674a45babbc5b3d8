"""The resident health card as a terminal uses it: reading, updates, visits, PIN, blocking."""

from .field_card import FieldCard
from .health_card import ResidentHealthCard
from .identity import CardIdentity

__all__ = ["CardIdentity", "FieldCard", "ResidentHealthCard"]
