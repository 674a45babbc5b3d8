"""The journal: one chip a card, one stage after the other, on the disk before it is believed."""

import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cardlib.keys.roots import new_roots
from cardlib.keys.store import KeyStore
from personalize.preparation.batch import BatchHeader
from personalize.production.journal import NAME, Journal, open_journal
from personalize.register.conflict import JournalConflict
from personalize.register.states import CardState
from tests.preparation.test_batch import header

KEYS = KeyStore(new_roots())
HOLDERS = {KEYS.holder_hash(f"99012119801007195{n}"): n for n in (1, 2, 3)}
BATCH = header(3)
CHIP_A, CHIP_B = bytes.fromhex("0102030405060708"), bytes.fromhex("1112131415161718")
STEPS = [CardState.PERSONALIZED, CardState.ACTIVATING, CardState.ACTIVE]


def take(journal: Journal, chip: bytes) -> int | None:
    return journal.take(chip, lambda _: None)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with open_journal(tmp_path, BATCH, HOLDERS) as opened:
        yield opened


def test_a_new_journal_has_every_card_prepared(journal: Journal) -> None:
    assert [(e.number, e.chip, e.state) for e in journal.entries()] == [
        (1, None, CardState.PREPARED),
        (2, None, CardState.PREPARED),
        (3, None, CardState.PREPARED),
    ]


def test_stages_are_walked_one_by_one(journal: Journal) -> None:
    assert take(journal, CHIP_A) == 1
    for stage in STEPS:
        journal.advance(1, stage)
        assert (journal.entry(1).state, journal.entry(1).chip) == (stage, CHIP_A)
    assert journal.entry(2).state is CardState.PREPARED


@pytest.mark.parametrize("stage", STEPS)
def test_no_stage_is_skipped_or_repeated(journal: Journal, stage: CardState) -> None:
    take(journal, CHIP_A)
    for reached in STEPS[: STEPS.index(stage) + 1]:
        journal.advance(1, reached)
    with pytest.raises(JournalConflict, match=f"card 1 is {stage}"):
        journal.advance(1, stage)
    assert take(journal, CHIP_B) == 2


def test_a_chip_serves_one_card_only(journal: Journal) -> None:
    take(journal, CHIP_A)
    with pytest.raises(JournalConflict, match="already has another card"):
        take(journal, CHIP_A)
    assert journal.entry(2).state is CardState.PREPARED


def test_a_released_chip_may_be_taken_again(journal: Journal) -> None:
    take(journal, CHIP_A)
    journal.release(1)
    assert journal.of_chip(CHIP_A) is None
    assert take(journal, CHIP_B) == 1
    assert take(journal, CHIP_A) == 2
    assert (journal.entry(1).chip, journal.entry(2).chip) == (CHIP_B, CHIP_A)


def test_the_next_card_that_waits_is_taken_and_none_when_all_are(journal: Journal) -> None:
    assert [take(journal, bytes([n]) * 8) for n in range(4)] == [1, 2, 3, None]
    assert journal.of_chip(bytes([3]) * 8) is None


def test_a_chip_is_bound_only_after_what_had_to_be_written_first(
    journal: Journal, tmp_path: Path
) -> None:
    with open_journal(tmp_path, BATCH, HOLDERS) as other:
        seen: list[tuple[int, object]] = []
        journal.take(CHIP_A, lambda number: seen.append((number, other.entry(number).chip)))
        assert (seen, other.entry(1).chip) == ([(1, None)], CHIP_A)

        def full(_: int) -> None:
            raise OSError("disk full")

        with pytest.raises(OSError, match="disk full"):
            journal.take(CHIP_B, full)
        assert (other.of_chip(CHIP_B), other.entry(2).state) == (None, CardState.PREPARED)
    assert take(journal, CHIP_B) == 2


def test_a_holder_has_several_numbers_and_one_card(tmp_path: Path) -> None:
    passport = KEYS.holder_hash("E65381318")
    with open_journal(tmp_path, BATCH, HOLDERS | {passport: 2}) as journal:
        assert [journal.of_holder(each) for each in (*HOLDERS, passport)] == [1, 2, 3, 2]
        assert journal.of_holder(KEYS.holder_hash("nobody")) is None


def test_a_chip_is_not_released_once_it_was_personalized(journal: Journal) -> None:
    take(journal, CHIP_A)
    journal.advance(1, CardState.PERSONALIZED)
    with pytest.raises(JournalConflict):
        journal.release(1)


def test_a_spoiled_chip_gives_its_card_back_and_is_never_used_again(journal: Journal) -> None:
    take(journal, CHIP_A)
    journal.advance(1, CardState.PERSONALIZED)
    assert journal.give_up(CHIP_A) == 1
    assert journal.entry(1).state is CardState.PREPARED
    assert journal.spoiled() == {CHIP_A}
    with pytest.raises(JournalConflict, match="was given up"):
        take(journal, CHIP_A)
    assert take(journal, CHIP_B) == 1


def test_an_active_card_is_not_given_up(journal: Journal) -> None:
    take(journal, CHIP_A)
    for stage in STEPS:
        journal.advance(1, stage)
    with pytest.raises(JournalConflict, match="is active"):
        journal.give_up(CHIP_A)
    with pytest.raises(JournalConflict, match="no card was started"):
        journal.give_up(CHIP_B)
    assert journal.spoiled() == frozenset()


def test_it_is_all_there_when_opened_again(tmp_path: Path) -> None:
    with open_journal(tmp_path, BATCH, HOLDERS) as first:
        take(first, CHIP_A)
        first.advance(1, CardState.PERSONALIZED)
        first.note(1, "card removed")
        before = first.entries()
    with open_journal(tmp_path, BATCH, HOLDERS) as second:
        assert second.entries() == before
        assert second.entry(1).problem == "card removed"
        second.advance(1, CardState.ACTIVATING)
        assert second.entry(1).problem == ""


def test_a_change_is_seen_by_others_as_soon_as_it_returns(journal: Journal, tmp_path: Path) -> None:
    take(journal, CHIP_A)
    with open_journal(tmp_path, BATCH, HOLDERS) as other:
        assert other.entry(1).chip == CHIP_A


def test_another_batch_or_other_holders_are_a_conflict(tmp_path: Path) -> None:
    open_journal(tmp_path, BATCH, HOLDERS).close()
    others: list[tuple[BatchHeader, dict[bytes, int]]] = [
        (header(3), HOLDERS),
        (replace(BATCH, key_store_identity="cd" * 16), HOLDERS),
        (replace(BATCH, key_version=2), HOLDERS),
        (BATCH, dict(list(HOLDERS.items())[:2])),
        (BATCH, {holder: 4 - number for holder, number in HOLDERS.items()}),
    ]
    for batch, holders in others:
        with pytest.raises(JournalConflict, match="another batch"):
            open_journal(tmp_path, batch, holders)


def test_a_card_that_is_not_there_is_a_conflict(journal: Journal) -> None:
    for act in (journal.entry, journal.release):
        with pytest.raises(JournalConflict, match="no card 4"):
            act(4)


def test_a_damaged_file_is_a_conflict_that_names_it(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"no database " * 100)
    with pytest.raises(JournalConflict, match=r"journal\.sqlite"):
        open_journal(tmp_path, BATCH, HOLDERS)


def test_a_journal_of_a_later_version_is_refused(tmp_path: Path) -> None:
    open_journal(tmp_path, BATCH, HOLDERS).close()
    database = sqlite3.connect(tmp_path / NAME)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(JournalConflict, match="version 99"):
        open_journal(tmp_path, BATCH, HOLDERS)


def test_a_journal_of_an_earlier_version_says_what_to_do(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / NAME)
    database.execute("PRAGMA user_version = 1")
    database.close()
    with pytest.raises(JournalConflict, match=r"older version.*prepare the list again"):
        open_journal(tmp_path, BATCH, HOLDERS)


def test_the_file_holds_no_card_number_and_is_its_owners_alone(tmp_path: Path) -> None:
    open_journal(tmp_path, BATCH, HOLDERS).close()
    assert b"9901211980" not in (tmp_path / NAME).read_bytes()
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600


def as_version_2(folder: Path) -> Path:
    """What the program wrote before it kept residents' other cards."""
    path = folder / NAME
    database = sqlite3.connect(path)
    database.execute("DROP TABLE other_card")
    database.execute("PRAGMA user_version = 2")
    database.commit()
    database.close()
    return path


def test_a_journal_of_version_2_is_taken_over_with_its_cards(tmp_path: Path) -> None:
    with open_journal(tmp_path, BATCH, HOLDERS) as journal:
        take(journal, CHIP_A)
    as_version_2(tmp_path)
    with open_journal(tmp_path, BATCH, HOLDERS) as journal:
        assert (journal.entry(1).chip, journal.other_cards()) == (CHIP_A, {})
        journal.hold(2, CHIP_B)
        assert take(journal, b"12345678") == 3
    with open_journal(tmp_path, BATCH, HOLDERS) as journal:
        assert journal.other_cards() == {2: CHIP_B}


def test_a_card_that_is_held_waits_for_no_chip(journal: Journal) -> None:
    for number in (1, 2, 3):
        journal.hold(number, CHIP_B)
    assert not journal.has_waiting()
    assert take(journal, CHIP_A) is None


def test_the_next_card_after_a_held_one_may_have_a_pin_without_a_chip(journal: Journal) -> None:
    journal.hold(1, CHIP_B)
    journal.check_pins({2})
    with pytest.raises(JournalConflict, match="cards 3 have a PIN already"):
        journal.check_pins({3})


def test_a_card_that_refused_to_be_activated_may_be_given_up_again(journal: Journal) -> None:
    take(journal, CHIP_A)
    for stage in STEPS[:2]:
        journal.advance(1, stage)
    with pytest.raises(JournalConflict, match="may be active"):
        journal.give_up(CHIP_A)
    journal.not_activated(1)
    assert journal.give_up(CHIP_A) == 1
