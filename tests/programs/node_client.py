"""The terminal of tests/programs/node, in another language; bootstrap.sh builds what it needs."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

_FOLDER = Path(__file__).with_name("node")


def needs_node() -> str:
    """The program node; a machine without it, or without what it needs, skips the test."""
    node = shutil.which("node")
    if node is None or not (_FOLDER / "node_modules" / "smartcard" / "build").is_dir():
        pytest.skip("no node client: apt-get install nodejs npm g++, then ./bootstrap.sh test")
    return node


def read_emergency_data(reader: str) -> dict[str, Any]:
    """What it read of the card in a PC/SC reader."""
    done = subprocess.run(
        [needs_node(), str(_FOLDER / "emergency.js"), reader],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
