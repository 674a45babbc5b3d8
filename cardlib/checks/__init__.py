"""Verify issued cards: read them back, compare them, and try what they must refuse."""
