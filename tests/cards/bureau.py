"""A bureau in a temporary folder, for tests: a key store, a batch of sample residents, cards."""

import csv
import os
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path

from cardlib.card import ResidentHealthCard
from cardlib.crypto import Cipher
from cardlib.exchange import Connection
from cardlib.keys import KeySet
from cardlib.keys.roots import new_roots
from cardlib.keys.store import KeyStore
from personalize.preparation.batch import Batch
from personalize.preparation.prepare import Preparation, PrepareOptions, prepare
from personalize.preparation.seal import seal
from personalize.production.issue import Outcome, issue, opened_job
from personalize.sample.demo import ISSUE_DATE, SAMPLE


@cache
def store(protocol: int = 2) -> KeyStore:
    """Random roots, one set for the whole test run; no file, so no scrypt."""
    return KeyStore(new_roots(protocol, Cipher.SM4))


def sample_rows(folder: Path, count: int, skip: int = 0) -> Path:
    """A CSV with some of the sample's residents; their photos stay where the sample is."""
    lines = SAMPLE.read_text(encoding="utf-8").splitlines()
    source = folder / "residents.csv"
    source.write_text("\n".join([lines[0], *lines[1 + skip : 1 + skip + count]]) + "\n", "utf-8")
    return source


def sample_names() -> list[str]:
    with SAMPLE.open(encoding="utf-8", newline="") as file:
        return [row["name"] for row in csv.DictReader(file)]


def prepared(source: Path, keys: KeyStore) -> Preparation:
    options = PrepareOptions(
        security_code=keys.security_code,
        spec_version=lambda: keys.spec_version,
        issue_date=ISSUE_DATE,
        photo_folder=SAMPLE.parent,
    )
    return prepare(source, options)


def new_batch(
    folder: Path, count: int, *, skip: int = 0, name: str = "batch", keys: KeyStore | None = None
) -> Batch:
    source, keys = sample_rows(folder, count, skip), keys or store()
    done = prepared(source, keys)
    assert not done.faults
    seal(done, source, keys, folder / "keys.json", folder / name, ISSUE_DATE)
    return Batch.open(folder / name, keys.sealing_key("batch"))


def pin_is_right(reader: Connection, keys: KeySet, pin: str) -> None:
    """Present a PIN as a terminal with a card's read key would; StatusWordError if it is wrong."""
    terminal = ResidentHealthCard(reader, keys, keys.protocol)
    terminal.authenticate("RK1_DDF1")
    terminal.verify_pin(pin)


def issue_all(batch: Batch, cards: Path) -> list[Outcome]:
    with opened_job(batch, store(), cards, test_keys=False) as job:
        return list(issue(job))


def in_child(work: Callable[[], object]) -> int:
    """Do the work in a forked process; its exit code, negative for a signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - a child of a test leaves by _exit, whatever happens
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die() -> None:
    """As if the power had gone."""
    os.kill(os.getpid(), signal.SIGKILL)
