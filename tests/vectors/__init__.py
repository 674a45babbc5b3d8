"""Vectors as data: each file says its source."""

import json
from pathlib import Path
from typing import Any


def load(name: str) -> dict[str, Any]:
    """A vector file by its name without .json; every one has a `source`."""
    path = Path(__file__).with_name(f"{name}.json")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    assert content["source"]
    return content
