"""Errors of the computer (no space, no permission) end with 11, once, and nothing is lost."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from personalize.cli.exits import Exit
from personalize.sample.sample_batch import SAMPLE
from tests.programs.rhcard import (
    IMPORT_MAIN,
    key_file,
    prepare,
    ran,
    residents,
    rhcard,
    spawned,
)

COUNT = 3
MAKE_ROOM = "Make room on the disk, then run the same command again"


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """What a full disk does to a program, without a full disk: a write fails in the middle."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return key_file(tmp_path_factory.mktemp("keys"))


def test_a_batch_that_does_not_fit_leaves_nothing_behind(tmp_path: Path, keys: Path) -> None:
    source, out = residents(tmp_path, COUNT), tmp_path / "batch"
    before = sorted(tmp_path.iterdir())
    words = ("prepare", source, "--photos", SAMPLE.parent, "--keys", keys, "--out", out)
    with no_file_longer_than(4096):
        done = ran(*words)
    assert (done.code, sorted(tmp_path.iterdir())) == (Exit.ENVIRONMENT, before)
    assert done.err.splitlines()[-1] == f"rhcard: {out}: File too large. {MAKE_ROOM}"
    assert ran(*words).code == Exit.GOOD


def test_a_key_store_that_does_not_fit_leaves_nothing_behind(tmp_path: Path) -> None:
    with no_file_longer_than(16):
        done = ran("keys", "new", "--out", tmp_path / "keys.json")
    assert (done.code, list(tmp_path.iterdir())) == (Exit.ENVIRONMENT, [])
    assert done.err.splitlines()[-1].endswith(f"File too large. {MAKE_ROOM}")


@pytest.mark.parametrize("words", [("--json",), ()], ids=["document", "lines"])
def test_a_result_that_cannot_be_written_is_one_line(
    words: tuple[str, ...], tmp_path: Path, keys: Path
) -> None:
    batch = prepare(tmp_path, keys, 1)
    with Path("/dev/full").open("w", encoding="ascii") as full:
        process = spawned(
            "issue", batch, "--cards", tmp_path / "cards", "--make-blanks", *words, stdout=full
        )
        _, err = process.communicate(timeout=60)
    assert process.returncode == Exit.ENVIRONMENT
    assert err.splitlines()[-1] == f"rhcard: No space left on device. {MAKE_ROOM}"
    assert "Traceback" not in err and "Exception" not in err


def test_a_program_without_a_stdin_asks_nobody(tmp_path: Path, keys: Path) -> None:
    batch = prepare(tmp_path, keys, 1)
    closed = f"import os, sys; os.close(0); sys.stdin = None\n{IMPORT_MAIN}main()"
    done = ran("issue", batch, program=closed)
    assert (done.code, "where are the cards?" in done.err) == (Exit.USAGE, True)


def test_a_journal_that_cannot_be_written_stops_the_batch_once_and_nothing_is_lost(
    tmp_path: Path, keys: Path
) -> None:
    batch, cards = prepare(tmp_path, keys, COUNT), tmp_path / "cards"
    with no_file_longer_than(1 << 10):
        stopped = ran("issue", batch, "--cards", cards, "--make-blanks")
    assert stopped.code == Exit.ENVIRONMENT
    assert f"{batch / 'journal.sqlite'}: disk I/O error. Check that the disk" in stopped.err
    assert not cards.exists() or not list(cards.iterdir())
    done = rhcard("issue", batch, "--cards", cards, "--make-blanks")
    assert (done.code, done.out) == (Exit.GOOD, f"{COUNT} of {COUNT} cards active\n")
