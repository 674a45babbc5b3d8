"""Prepared cards, which do not depend on a chip, and the sealed batches that hold them."""
