"""Measurements with a bar each: `python -m benchmarks.NAME [--json]` exits 1 below the bar."""
