"""Prepared cards and batches: what does not depend on the chip, sealed."""
