"""Run rhcard where nothing may be written: folders and files without the right, root or not."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import ROOT
from tests.programs.rhcard import IMPORT_MAIN, PASSPHRASE, Ran

_LIKE_EVERYBODY = """
import ctypes
libc, header, sets = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(0x20080522), (ctypes.c_uint32 * 6)()
assert libc.capget(header, sets) == 0
sets[0] &= ~0b110
assert libc.capset(header, sets) == 0
"""
"""Give up CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: root, too, needs a file's permission then."""


@contextmanager
def read_only(*folders: Path) -> Iterator[None]:
    """Nothing in these folders may be written until the block ends."""
    every = [path for folder in folders for path in (folder, *folder.rglob("*"))]
    before = [(path, path.stat().st_mode) for path in every]
    for path, mode in before:
        path.chmod(mode & ~0o222)
    try:
        yield
    finally:
        for path, mode in before:
            path.chmod(mode)


def ran_without_rights(*words: object) -> Ran:
    """Run it as a process that must obey permissions."""
    done = subprocess.run(
        [sys.executable, "-c", f"{_LIKE_EVERYBODY}{IMPORT_MAIN}main()", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "RHCARD_PASSPHRASE": PASSPHRASE},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return Ran(done.returncode, done.stdout, done.stderr)
