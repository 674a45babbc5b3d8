"""A station that works with an agent: a chip that was not received takes no record of a batch."""

from pathlib import Path

from cardlib.emulator import SoftwareCard
from cardlib.facts import ChipSerial
from personalize.preparation.batch import Batch
from personalize.production.issue import issue
from personalize.production.job import opened_job
from personalize.production.journal import batch_journal
from personalize.production.station import FolderFeed, card_path
from personalize.register.states import CardState
from tests.cards.bureau import new_batch
from tests.custody.agents import folder_in_memory
from tests.custody.desks import bench, own_keys

UNKNOWN, RECEIVED = ChipSerial(b"AUNKNOWN"), ChipSerial(b"RECEIVED")


def test_a_chip_that_is_not_in_stock_is_named_and_takes_no_record() -> None:
    with folder_in_memory() as place:
        prepared = new_batch(place, 2, keys=own_keys())
        cards = place / "cards"
        cards.mkdir()
        for chip in (UNKNOWN, RECEIVED):
            _blank(cards, chip)
        with bench(place / "state", own_keys(), stock=frozenset((RECEIVED,))) as agent:
            issuer = agent.issuer()
            batch = Batch.open(prepared.folder, issuer)
            with opened_job(batch, issuer, FolderFeed(cards), test_keys=False) as job:
                results = list(issue(job))
                left_alone = job.left_alone
        with batch_journal(batch) as journal:
            entries = [(entry.chip, entry.state) for entry in journal.entries()]
    assert entries == [(RECEIVED, CardState.ACTIVE), (None, CardState.PREPARED)]
    assert [result.chip for result in results if not result.problem] == [RECEIVED]
    (named,) = left_alone
    assert f"chip {UNKNOWN} is not in received stock" in named


def _blank(folder: Path, chip: ChipSerial) -> None:
    card = SoftwareCard.blank(chip, own_keys().blank_keys(chip))
    card.save(card_path(folder, chip))
    card.close()
