"""The keys of a SAM, over any connection to it."""
