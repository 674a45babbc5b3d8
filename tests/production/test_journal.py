"""The journal: one chip a card, one stage after the other, on the disk before it is believed."""

import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from personalize.production.journal import (
    NAME,
    Journal,
    JournalConflict,
    Stage,
    holder_hash,
    open_journal,
)

HOLDERS = [holder_hash(b"k" * 32, f"99012119801007195{n}") for n in range(3)]
CHIP_A, CHIP_B = bytes.fromhex("0102030405060708"), bytes.fromhex("1112131415161718")
STAGES = [Stage.PERSONALIZED, Stage.VERIFIED, Stage.ACTIVE]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with open_journal(tmp_path, "batch-1", HOLDERS) as opened:
        yield opened


def test_a_new_journal_has_every_card_prepared(journal: Journal) -> None:
    assert [(e.number, e.chip, e.stage) for e in journal.entries()] == [
        (1, None, Stage.PREPARED),
        (2, None, Stage.PREPARED),
        (3, None, Stage.PREPARED),
    ]


def test_stages_are_walked_one_by_one(journal: Journal) -> None:
    journal.start(2, CHIP_A)
    for stage in STAGES:
        journal.advance(2, stage)
        assert (journal.entry(2).stage, journal.entry(2).chip) == (stage, CHIP_A)
    assert journal.entry(1).stage is Stage.PREPARED


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_is_skipped_or_repeated(journal: Journal, stage: Stage) -> None:
    journal.start(1, CHIP_A)
    for reached in STAGES[: STAGES.index(stage) + 1]:
        journal.advance(1, reached)
    with pytest.raises(JournalConflict, match=f"card 1 is {stage}"):
        journal.advance(1, stage)
    if stage is not Stage.ACTIVE:
        with pytest.raises(JournalConflict):
            journal.start(1, CHIP_B)


def test_a_chip_serves_one_card_only(journal: Journal) -> None:
    journal.start(1, CHIP_A)
    with pytest.raises(JournalConflict, match="already has another card"):
        journal.start(2, CHIP_A)
    assert journal.entry(2).stage is Stage.PREPARED


def test_a_released_chip_may_be_taken_again(journal: Journal) -> None:
    journal.start(1, CHIP_A)
    journal.release(1)
    journal.start(2, CHIP_A)
    assert (journal.entry(1).chip, journal.entry(2).chip) == (None, CHIP_A)


def test_a_chip_is_not_released_once_it_was_personalized(journal: Journal) -> None:
    journal.start(1, CHIP_A)
    journal.advance(1, Stage.PERSONALIZED)
    with pytest.raises(JournalConflict):
        journal.release(1)


def test_a_spoiled_chip_gives_its_card_back_and_is_never_used_again(journal: Journal) -> None:
    journal.start(1, CHIP_A)
    journal.advance(1, Stage.PERSONALIZED)
    assert journal.give_up(CHIP_A) == 1
    assert journal.entry(1).stage is Stage.PREPARED
    assert journal.spoiled() == {CHIP_A}
    with pytest.raises(JournalConflict, match="was given up"):
        journal.start(1, CHIP_A)
    journal.start(1, CHIP_B)


def test_an_active_card_is_not_given_up(journal: Journal) -> None:
    journal.start(1, CHIP_A)
    for stage in STAGES:
        journal.advance(1, stage)
    with pytest.raises(JournalConflict, match="is active"):
        journal.give_up(CHIP_A)
    with pytest.raises(JournalConflict, match="no card was started"):
        journal.give_up(CHIP_B)
    assert journal.spoiled() == frozenset()


def test_it_is_all_there_when_opened_again(tmp_path: Path) -> None:
    with open_journal(tmp_path, "batch-1", HOLDERS) as first:
        first.start(3, CHIP_A)
        first.advance(3, Stage.PERSONALIZED)
        first.note(3, "card removed")
        before = first.entries()
    with open_journal(tmp_path, "batch-1", HOLDERS) as second:
        assert second.entries() == before
        assert second.entry(3).problem == "card removed"
        second.advance(3, Stage.VERIFIED)
        assert second.entry(3).problem == ""


def test_a_change_is_seen_by_others_as_soon_as_it_returns(journal: Journal, tmp_path: Path) -> None:
    journal.start(1, CHIP_A)
    with open_journal(tmp_path, "batch-1", HOLDERS) as other:
        assert other.entry(1).chip == CHIP_A


def test_another_batch_or_other_holders_are_a_conflict(tmp_path: Path) -> None:
    open_journal(tmp_path, "batch-1", HOLDERS).close()
    for identity, holders in [("batch-2", HOLDERS), ("batch-1", HOLDERS[:2])]:
        with pytest.raises(JournalConflict, match="another batch"):
            open_journal(tmp_path, identity, holders)


def test_two_cards_of_one_holder_are_a_conflict(tmp_path: Path) -> None:
    with pytest.raises(JournalConflict):
        open_journal(tmp_path, "batch-1", [HOLDERS[0], HOLDERS[0]])


def test_a_card_that_is_not_there_is_a_conflict(journal: Journal) -> None:
    for act in (journal.entry, journal.release):
        with pytest.raises(JournalConflict, match="no card 4"):
            act(4)


def test_a_damaged_file_is_a_conflict_that_names_it(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"no database " * 100)
    with pytest.raises(JournalConflict, match=r"journal\.sqlite"):
        open_journal(tmp_path, "batch-1", HOLDERS)


def test_a_journal_of_a_later_version_is_refused(tmp_path: Path) -> None:
    open_journal(tmp_path, "batch-1", HOLDERS).close()
    database = sqlite3.connect(tmp_path / NAME)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(JournalConflict, match="version 99"):
        open_journal(tmp_path, "batch-1", HOLDERS)


def test_the_file_holds_no_card_number_and_is_its_owners_alone(tmp_path: Path) -> None:
    open_journal(tmp_path, "batch-1", HOLDERS).close()
    assert b"9901211980" not in (tmp_path / NAME).read_bytes()
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600
    assert holder_hash(b"k" * 32, "1") != holder_hash(b"l" * 32, "1")
