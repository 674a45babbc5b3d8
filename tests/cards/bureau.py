"""A bureau in a temporary folder, for tests: a key store, a batch of sample residents, cards."""

import csv
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

from cardlib.card import ResidentHealthCard
from cardlib.crypto import Cipher
from cardlib.exchange import Connection
from cardlib.issuance.local import LocalIssuer
from cardlib.keys import KeySet
from cardlib.keys.issuer import Issuer
from cardlib.keys.roots import new_roots
from cardlib.keys.store import KeyStore
from personalize.listing.consistency import Validated
from personalize.listing.list_faults import ListFault
from personalize.listing.photos import PhotoShop
from personalize.listing.text_survey import Encoding
from personalize.preparation.batch import Batch
from personalize.preparation.prepare import (
    ResidentList,
    all_faults,
    make_all,
    read_list,
    validate_all,
)
from personalize.preparation.prepared import PreparedCard
from personalize.preparation.seal import seal
from personalize.production.audit import audit
from personalize.production.issue import issue
from personalize.production.job import CardResult, Job, opened_job
from personalize.production.report import Verified
from personalize.production.station import FolderFeed
from personalize.sample.sample_batch import ISSUE_DATE, SAMPLE


@cache
def store(protocol: int = 2) -> KeyStore:
    """Random roots, one set for the whole test run; no file, so no scrypt."""
    return KeyStore(new_roots(protocol, Cipher.SM4))


def issuer() -> LocalIssuer:
    """The issuer with the keys of `store()`."""
    return LocalIssuer(store())


def sample_rows(folder: Path, count: int, skip: int = 0) -> Path:
    """A CSV with some of the sample's residents; their photos stay where the sample is."""
    lines = SAMPLE.read_text(encoding="utf-8").splitlines()
    source = folder / "residents.csv"
    source.write_text("\n".join([lines[0], *lines[1 + skip : 1 + skip + count]]) + "\n", "utf-8")
    return source


def sample_names() -> list[str]:
    with SAMPLE.open(encoding="utf-8", newline="") as file:
        return [row["name"] for row in csv.DictReader(file)]


PHOTOS = PhotoShop(SAMPLE.parent)


def validated(source: Path) -> tuple[ResidentList, list[Validated]]:
    """A list whose photos are the sample's, and its residents; no fault is in it."""
    residents = read_list(source)
    found = list(validate_all(residents, PHOTOS, ISSUE_DATE))
    assert all_faults(residents, found) == []
    return residents, found


@dataclass(frozen=True)
class Preparation:
    """What came of a list: its cards, or its faults, never some of each."""

    faults: list[ListFault]
    cards: list[PreparedCard]
    source_sha256: str


def prepare_list(
    source: Path,
    issue_date: date,
    issuer: Issuer,
    *,
    encoding: Encoding = "utf-8",
    photo_folder: Path | None = None,
) -> Preparation:
    """As `rhcard prepare` does it, from a list to cards or faults."""
    photos = PhotoShop(source.parent if photo_folder is None else photo_folder)
    residents = read_list(source, encoding)
    validated = list(validate_all(residents, photos, issue_date))
    faults = all_faults(residents, validated)
    cards = [] if faults else list(make_all(validated, photos, issuer, issue_date))
    return Preparation(faults, cards, residents.sha256)


def new_batch(
    folder: Path, count: int, *, skip: int = 0, name: str = "batch", keys: KeyStore | None = None
) -> Batch:
    source, keys = sample_rows(folder, count, skip), keys or store()
    residents, found = validated(source)
    cards = make_all(found, PHOTOS, LocalIssuer(keys), ISSUE_DATE)
    path = folder / "keys.json"
    seal(folder / name, residents, cards, LocalIssuer(keys), keys=path, issue_date=ISSUE_DATE)
    return Batch.open(folder / name, LocalIssuer(keys))


def pin_is_right(reader: Connection, keys: KeySet, pin: str) -> None:
    """Present a PIN as a terminal with a card's read key would; StatusWordError if it is wrong."""
    terminal = ResidentHealthCard(reader, keys, keys.protocol)
    terminal.authenticate("RK1_DDF1")
    terminal.verify_pin(pin)


@contextmanager
def job_of(batch: Batch, cards: Path, keys: KeyStore | None = None) -> Iterator[Job]:
    """A run on a folder of software cards, opened."""
    keys = keys or store()
    with opened_job(batch, LocalIssuer(keys), FolderFeed(cards, keys), test_keys=False) as job:
        yield job


def results_of(job: Job) -> list[CardResult]:
    """Issue, and give the results in the order of the batch."""
    return sorted(issue(job), key=lambda result: result.number)


def issue_all(batch: Batch, cards: Path, keys: KeyStore | None = None) -> list[CardResult]:
    with job_of(batch, cards, keys) as job:
        return results_of(job)


def audit_all(batch: Batch, cards: Path, keys: KeyStore | None = None) -> list[Verified]:
    """Verify, and give the results in the order of the batch."""
    found = audit(batch, LocalIssuer(keys or store()), FolderFeed(cards))
    return sorted(found, key=lambda result: result.number)


def die() -> None:
    """As if the power had gone."""
    os.kill(os.getpid(), signal.SIGKILL)
