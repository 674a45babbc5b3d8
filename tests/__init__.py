"""The tests, in the same rooms as the code."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "data"

QUICK_SCRYPT_N = 2**10
"""Work of the test stores' scrypt; production never takes less than 2**17."""
