"""Read the CSV tables in this package."""

import csv
from pathlib import Path


def read_table(path: Path) -> list[dict[str, str]]:
    """Read the rows of a UTF-8 CSV file by its header; lines that begin with # are skipped."""
    lines = path.read_text(encoding="utf-8").splitlines()
    header, *rows = csv.reader(line for line in lines if not line.startswith("#"))
    return [dict(zip(header, row, strict=True)) for row in rows]
