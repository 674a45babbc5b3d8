"""What a command shows while it works: a bar on a terminal, nothing of it in a log."""

import os
import pty
import subprocess
import sys
from pathlib import Path

from personalize.sample.sample_batch import SAMPLE
from tests import ROOT
from tests.programs.rhcard import IMPORT_MAIN, ran, residents


def on_a_terminal(*words: object) -> str:
    """Run it with a terminal as stderr; return what is shown there."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", f"{IMPORT_MAIN}main()", *map(str, words)],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=slave,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(slave)
    shown = b""
    try:
        while part := os.read(master, 4096):
            shown += part
    except OSError:  # the last program has closed its end
        pass
    os.close(master)
    process.communicate(timeout=30)
    return shown.decode()


def test_a_terminal_shows_how_far_it_is_and_how_fast(tmp_path: Path) -> None:
    source = residents(tmp_path, 3)
    shown = on_a_terminal("prepare", source, "--photos", SAMPLE.parent)
    assert "Checking" in shown and "3/3" in shown and "a minute" in shown


def test_a_log_holds_no_bar(tmp_path: Path) -> None:
    done = ran("prepare", residents(tmp_path, 3), "--photos", SAMPLE.parent)
    assert "has no errors" in done.err
    assert "Checking" not in done.err and "\x1b" not in done.err and len(done.err.splitlines()) == 2
