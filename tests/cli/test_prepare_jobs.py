"""rhcard prepare --jobs: the same batch with any number of processes, and nothing left behind."""

import os
import signal
import time
from pathlib import Path

import pytest

from cardlib.issuance.local import LocalIssuer
from cardlib.keys.store import KeyStore
from personalize.preparation.batch import Batch
from personalize.sample.sample_batch import ISSUE_DATE, SAMPLE
from tests import DATA
from tests.cards.bureau import prepare_list
from tests.preparation.test_workers import wait_for_the_end_of
from tests.programs.rhcard import PASSPHRASE, key_file, residents, rhcard, spawned

ON = ("--issue-date", "2026-11-23")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return key_file(tmp_path_factory.mktemp("keys"))


def children_of(pid: int) -> set[int]:
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()))


def test_several_jobs_make_the_batch_that_one_makes(tmp_path: Path, keys: Path) -> None:
    out, source = tmp_path / "batch", residents(tmp_path, 50)
    done = rhcard("prepare", source, "--photos", SAMPLE.parent, "--keys", keys, "--out", out,
                  "--jobs", 2, "--json", *ON)  # fmt: skip
    assert (done.code, done.json["count"], done.err) == (0, 50, "")
    issuer = LocalIssuer(KeyStore.open(keys, PASSPHRASE))
    found = prepare_list(source, ISSUE_DATE, issuer, photo_folder=SAMPLE.parent)
    assert list(Batch.open(out, issuer).cards()) == found.cards


@pytest.mark.parametrize("jobs", ["0", "257", "all"])
def test_a_number_of_jobs_is_from_1_to_256(jobs: str) -> None:
    assert rhcard("prepare", DATA / "residents.csv", "--check", "--jobs", jobs).code == 2


@pytest.mark.parametrize(
    ("sent", "to_all", "code", "said"),
    [
        (signal.SIGTERM, True, 143, "stopped; nothing was changed"),
        (signal.SIGKILL, False, 11, "a process that prepares a part of the list was ended"),
    ],
    ids=["to all, as when the system shuts down", "a worker dies"],
)
def test_a_signal_in_mid_work_leaves_one_line_and_what_the_same_command_continues(
    sent: signal.Signals, to_all: bool, code: int, said: str, tmp_path: Path, keys: Path
) -> None:
    words = ("prepare", DATA / "residents.csv", "--keys", keys, "--out", tmp_path / "batch")
    process = spawned(*words, "--jobs", 2, *ON)
    try:
        until = time.monotonic() + 30
        while not list(tmp_path.iterdir()):
            assert process.poll() is None and time.monotonic() < until
        workers = children_of(process.pid)
        assert len(workers) >= 2
        for pid in (*workers, *([process.pid] if to_all else ())):
            os.kill(pid, sent)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == code
    (line,) = err.strip().splitlines()
    assert line.startswith(f"rhcard: {said}")
    wait_for_the_end_of(*workers)
    assert all(path.name.startswith(".batch.rhcard-unfinished-") for path in tmp_path.iterdir())
    assert rhcard(*words, *ON).code == 0
    assert list(tmp_path.iterdir()) == [tmp_path / "batch"]
