"""The chip: its memory in pages, its image file, and the base class of software cards."""
