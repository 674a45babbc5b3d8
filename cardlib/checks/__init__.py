"""Verification: read a card back, compare it, and try what it must refuse."""
