"""The card's volatile state, lost at reset: logical channels and their sessions."""
