"""Batches that were prepared before their holders were compared without what a renewal changes."""

from pathlib import Path
from typing import Any

import pytest

from cardlib.facts import ChipSerial
from cardlib.issuance import CardStage
from cardlib.issuance.local import LocalIssuer
from cardlib.keys.roots import new_roots
from cardlib.keys.store import KeyStore
from personalize.listing.holders import comparable
from personalize.production.books import folder_books
from personalize.production.feed import Identified
from personalize.production.job import Job
from personalize.production.journal import open_journal
from tests.preparation.test_batch import header

KEYS = KeyStore(new_roots())
NOTHING: Any = None


@pytest.mark.parametrize("number", ["H1234567801", "110101491001002", "99012119801007195X"])
def test_a_card_is_still_its_holders_in_a_batch_of_before(tmp_path: Path, number: str) -> None:
    for name, stored in (("before", number), ("now", comparable(number))):
        folder = tmp_path / name
        folder.mkdir()
        with open_journal(folder, header(1), {KEYS.holder_hash(stored): 1}) as journal:
            books = folder_books(journal, NOTHING, LocalIssuer(KEYS))
            job = Job(NOTHING, LocalIssuer(KEYS), NOTHING, books)
            assert job.number_on(said(number)) == 1
            assert job.number_on(said("E12345678")) is None
            assert job.number_on(said("")) is None


def said(number: str) -> Identified:
    return Identified("a card", ChipSerial(bytes(8)), CardStage.PERSONALIZED, number)
