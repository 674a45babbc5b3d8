"""Journal and PIN file together: no second card when one is lost, and readers change nothing."""

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from cardlib.emulator import SoftwareCard
from cardlib.errors import CardError, FormatError, StorageError
from cardlib.facts import ChipSerial
from cardlib.issuance.making import HostSession
from personalize.preparation.batch import Batch
from personalize.production import journal_log
from personalize.production.bookkeeping import opened_to_read
from personalize.production.issue import issue
from personalize.production.job import Job
from personalize.production.journal import NAME as JOURNAL
from personalize.production.journal import Journal, batch_journal
from personalize.production.mailer import letters
from personalize.production.pins import NAME as PINS
from personalize.production.pins import PinFile, open_pins
from personalize.production.station import in_reader
from personalize.register.conflict import JournalConflict
from personalize.register.states import CardState
from tests.cards.bureau import (
    audit_all,
    die,
    issue_all,
    issuer,
    job_of,
    new_batch,
    pin_is_right,
    store,
)
from tests.production.test_journal import as_version_2
from tests.programs.child import in_child

COUNT = 3
LOG = f"{JOURNAL}-wal"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a batch, its cards, and a copy of the batch folder from before the run."""
    place = tmp_path_factory.mktemp("finished")
    batch = new_batch(place, COUNT)
    with job_of(batch, place / "cards"):
        pass
    shutil.copytree(batch.folder, place / "older")
    issue_all(batch, place / "cards")
    return place


@pytest.fixture
def place(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "place")
    return tmp_path / "place"


@pytest.fixture
def batch(place: Path) -> Batch:
    return Batch.open(place / "batch", issuer())


def everything(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Each name of a folder and the folder itself: mode, time of the last change, bytes."""
    found = {}
    for path in [folder, *sorted(folder.iterdir())]:
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[path.name] = (status.st_mode, status.st_mtime_ns, content)
    return found


def refused_by_all(batch: Batch, cards: Path, words: str) -> None:
    """Issue, verify and letters all stop with a conflict, and change nothing."""
    before = everything(batch.folder)
    for run in (
        lambda: issue_all(batch, cards),
        lambda: audit_all(batch, cards),
        lambda: letters(batch, issuer()),
    ):
        with pytest.raises(JournalConflict, match=words):
            run()
    assert {name: each[2] for name, each in everything(batch.folder).items()} == {
        name: each[2] for name, each in before.items()
    }
    assert not list(cards.glob("*"))


# --- no second cards ----------------------------------------------------------------------


def test_pins_without_a_journal_are_a_conflict(batch: Batch, tmp_path: Path) -> None:
    """A new journal would give every resident a second card with the PIN of the first."""
    (batch.folder / JOURNAL).unlink()
    refused_by_all(batch, tmp_path / "elsewhere", "newest copy of the batch folder")
    assert not (batch.folder / JOURNAL).exists()


def test_pins_with_an_empty_journal_are_a_conflict(batch: Batch, tmp_path: Path) -> None:
    (batch.folder / JOURNAL).write_bytes(b"")
    with pytest.raises(JournalConflict, match="newest copy of the batch folder"):
        issue_all(batch, tmp_path / "elsewhere")
    with pytest.raises(JournalConflict, match="newest copy of the batch folder"):
        letters(batch, issuer())
    assert not list((tmp_path / "elsewhere").glob("*"))


def pins_of(job: Job) -> PinFile:
    assert isinstance(job.pins, PinFile)
    return job.pins


def test_a_journal_that_is_older_than_the_pin_file_is_a_conflict(
    batch: Batch, place: Path, tmp_path: Path
) -> None:
    shutil.copyfile(place / "older" / JOURNAL, batch.folder / JOURNAL)
    refused_by_all(batch, tmp_path / "elsewhere", "cards 2, 3 have a PIN already")


def test_after_a_cut_the_next_card_may_have_a_pin_before_its_chip(tmp_path: Path) -> None:
    batch, cards = new_batch(tmp_path, COUNT), tmp_path / "cards"
    with job_of(batch, cards) as job:
        pin = pins_of(job).assign(1)
    assert [result.problem for result in issue_all(batch, cards)] == [""] * COUNT
    assert letters(batch, issuer()).letters[0].pin == pin


@pytest.mark.parametrize("number", [2, 3])
def test_a_pin_of_a_card_that_is_not_the_next_is_a_conflict(tmp_path: Path, number: int) -> None:
    batch, cards = new_batch(tmp_path, COUNT), tmp_path / "cards"
    with job_of(batch, cards) as job:
        pins_of(job).assign(number)
    with pytest.raises(JournalConflict, match=f"cards {number} have a PIN already"):
        issue_all(batch, cards)


def test_cards_whose_chips_were_let_go_or_given_up_keep_their_pins(tmp_path: Path) -> None:
    batch, cards = new_batch(tmp_path, COUNT), tmp_path / "cards"
    with job_of(batch, cards) as job:
        for number in range(1, COUNT + 1):
            assert job.books.claim(ChipSerial(bytes([number]) * 8)) == number
        job.journal.release(1)
        job.journal.release(2)
        job.journal.give_up(ChipSerial(bytes([3]) * 8))
    assert [result.problem for result in issue_all(batch, cards)] == [""] * COUNT


def cut_at_the_second_activation(batch: Batch, cards: Path) -> None:
    """A run that is killed: its log lies beside the journal."""
    calls: list[int] = []
    real = HostSession.activate

    def dying(session: HostSession) -> None:
        calls.append(1)
        if len(calls) == 2:
            die()
        real(session)

    def work() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(HostSession, "activate", dying)
            issue_all(batch, cards)

    assert in_child(work) == -signal.SIGKILL
    assert (batch.folder / LOG).stat().st_size


def test_the_log_of_a_cut_is_not_replayed_onto_an_older_journal(
    tmp_path: Path,
) -> None:
    """SQLite itself would: it does not know which file a log belongs to."""
    batch, cards = new_batch(tmp_path, COUNT), tmp_path / "cards"
    with job_of(batch, cards):
        pass
    older = (batch.folder / JOURNAL).read_bytes()
    cut_at_the_second_activation(batch, cards)
    newest_copy = tmp_path / "copy"
    shutil.copytree(batch.folder, newest_copy)
    (batch.folder / JOURNAL).write_bytes(older)
    refused_by_all(batch, tmp_path / "elsewhere", "the log of another copy of it")
    # What the message says, with a copy that has a log and with one that has none:
    for name in (JOURNAL, LOG):
        shutil.copyfile(newest_copy / name, batch.folder / name)
    assert [result.problem for result in issue_all(batch, cards)] == [""] * COUNT


def test_the_newest_journal_is_not_spoiled_by_an_older_log(tmp_path: Path) -> None:
    batch, cards = new_batch(tmp_path, COUNT), tmp_path / "cards"
    cut_at_the_second_activation(batch, cards)
    log = (batch.folder / LOG).read_bytes()
    issue_all(batch, cards)
    assert not (batch.folder / LOG).exists()
    issue_all(batch, cards)
    (batch.folder / LOG).write_bytes(log)
    refused_by_all(batch, tmp_path / "elsewhere", "if that copy has none, delete the one here")
    (batch.folder / LOG).unlink()
    assert [result.problem for result in issue_all(batch, cards)] == [""] * COUNT
    assert all(not result.findings for result in audit_all(batch, cards))


def test_its_own_log_is_replayed_after_a_cut_anywhere_in_a_run(tmp_path: Path) -> None:
    batch, cards = new_batch(tmp_path, COUNT), tmp_path / "cards"
    for cut in range(2):
        cut_at_the_second_activation(batch, cards)
        assert len(letters(batch, issuer()).letters) == cut + 1
    assert [result.problem for result in issue_all(batch, cards)] == [""] * COUNT


@pytest.mark.parametrize("call", range(6))
def test_a_cut_while_a_run_begins_leaves_a_journal_and_its_own_log(
    tmp_path: Path, call: int
) -> None:
    """Killed before each statement with which a run is counted, the first run and the second."""
    batch = new_batch(tmp_path, COUNT)
    for _ in range(2):

        def work() -> None:
            real, calls = journal_log.connect, iter(range(100))

            def traced(path: Path) -> sqlite3.Connection:
                database = real(path)
                database.set_trace_callback(
                    lambda text: die() if "PRAGMA" in text and next(calls) == call else None
                )
                return database

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("personalize.production.journal.connect", traced)
                with batch_journal(batch) as journal:
                    journal.note(1, "a problem")

        assert in_child(work) == -signal.SIGKILL
        with batch_journal(batch) as journal:
            assert len(journal.entries()) == COUNT


# --- one lost PIN -------------------------------------------------------------------------


def damage_second_line(batch: Batch) -> None:
    path = batch.folder / PINS
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"sealed": "', b'"sealed": "ff')
    path.write_bytes(b"".join(lines))


def remove_second_line(batch: Batch) -> None:
    path = batch.folder / PINS
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[2])


lost_pin = pytest.mark.parametrize("lose", [damage_second_line, remove_second_line])


@lost_pin
def test_a_lost_pin_stops_no_other_letter(batch: Batch, lose: Callable[[Batch], None]) -> None:
    lose(batch)
    mailing = letters(batch, issuer())
    assert ([each.number for each in mailing.letters], mailing.not_active) == ([1, 3], 0)
    assert any("the PIN of card 2 is missing or damaged" in each for each in mailing.problems)


@lost_pin
def test_an_active_card_without_a_pin_is_a_finding(
    batch: Batch, place: Path, lose: Callable[[Batch], None]
) -> None:
    lose(batch)
    results = audit_all(batch, place / "cards")
    assert [len(result.findings) for result in results] == [0, 1, 0]
    assert "the PIN of card 2 is missing or damaged" in results[1].findings[0].problem


@lost_pin
def test_issue_says_that_an_active_card_has_no_pin(
    batch: Batch, place: Path, lose: Callable[[Batch], None]
) -> None:
    lose(batch)
    before = (batch.folder / PINS).read_bytes()
    results = issue_all(batch, place / "cards")
    assert [result.state for result in results] == [CardState.ACTIVE] * COUNT
    assert [bool(result.problem) for result in results] == [False, True, False]
    assert "the PIN of card 2 is missing or damaged" in results[1].problem
    assert (batch.folder / PINS).read_bytes() == before


def test_a_damaged_line_stops_no_card_that_is_still_to_be_made(tmp_path: Path) -> None:
    batch, cards = new_batch(tmp_path, COUNT), tmp_path / "cards"
    with job_of(batch, cards) as job:
        for number in (1, 2):
            job.books.claim(ChipSerial(bytes([number]) * 8))
    damage_second_line(batch)
    results = issue_all(batch, cards)
    assert [result.state for result in results][2] is CardState.ACTIVE
    with job_of(batch, cards) as job:
        assert len(job.pins.faults) == 1


def test_a_half_line_that_may_be_a_cards_pin_is_kept(tmp_path: Path) -> None:
    """The end of the last line is lost, and its card is active: it is not the rest of a cut."""
    batch, cards = new_batch(tmp_path, COUNT), tmp_path / "cards"
    with job_of(batch, cards) as job:
        job.books.claim(ChipSerial(b"FIRSTONE"))
    path = batch.folder / PINS
    path.write_bytes(path.read_bytes()[:-2])
    half = path.read_bytes()
    issue_all(batch, cards)
    assert path.read_bytes().startswith(half + b"\n")


def test_a_lost_last_newline_changes_no_letter(batch: Batch, place: Path) -> None:
    pins = [letter.pin for letter in letters(batch, issuer()).letters]
    path = batch.folder / PINS
    path.write_bytes(path.read_bytes()[:-1])
    before = path.read_bytes()
    assert [letter.pin for letter in letters(batch, issuer()).letters] == pins
    assert [result.problem for result in issue_all(batch, place / "cards")] == [""] * COUNT
    assert path.read_bytes() == before


def test_a_linked_pin_file_stops_issue_before_anything_is_changed(
    tmp_path: Path,
) -> None:
    batch, cards = new_batch(tmp_path, 1), tmp_path / "cards"
    other = tmp_path / "other"
    other.write_bytes(b"a file of somebody else")
    (batch.folder / PINS).symlink_to(other)
    with pytest.raises(FormatError, match="symbolic link"):
        issue_all(batch, cards)
    assert other.read_bytes() == b"a file of somebody else"
    assert not (batch.folder / JOURNAL).exists()
    assert not list(cards.glob("*"))


def test_a_pipe_as_the_pin_file_is_a_finding_and_no_letter(batch: Batch, place: Path) -> None:
    (batch.folder / PINS).unlink()
    os.mkfifo(batch.folder / PINS)
    mailing = letters(batch, issuer())
    assert (mailing.letters, "not a regular file" in mailing.problems[0]) == ([], True)
    assert all(result.findings for result in audit_all(batch, place / "cards"))


def test_a_linked_journal_is_a_conflict(batch: Batch, place: Path) -> None:
    journal = batch.folder / JOURNAL
    journal.rename(place / "moved")
    journal.symlink_to(place / "moved")
    for run in (
        lambda: issue_all(batch, place / "cards"),
        lambda: letters(batch, issuer()),
    ):
        with pytest.raises(JournalConflict, match="regular file"):
            run()


def second_pin(batch: Batch, number: int) -> None:
    """A second line for a card, with another PIN."""
    path = batch.folder / PINS
    kept = path.read_bytes()
    path.unlink()
    open_pins(batch.folder, batch.uuid, issuer()).assign(number)
    path.write_bytes(kept + path.read_bytes())


def test_a_waiting_card_with_two_pins_gets_a_new_one_and_its_letter(tmp_path: Path) -> None:
    batch, cards = new_batch(tmp_path, 1), tmp_path / "cards"
    with job_of(batch, cards) as job:
        pins_of(job).assign(1)
    second_pin(batch, 1)
    with job_of(batch, cards) as job:
        assert [result.problem for result in issue(job)] == [""]
        assert job.pins.faults == ()
    mailing = letters(batch, issuer())
    (letter,) = mailing.letters
    assert mailing.problems == []
    with in_reader(next(cards.iterdir()), read_only=True) as reader:
        pin_is_right(reader, store().terminal_keys, letter.pin)


def test_a_started_card_with_two_pins_is_given_up_as_the_message_says(tmp_path: Path) -> None:
    batch, cards = new_batch(tmp_path, 1), tmp_path / "cards"
    chip = SoftwareCard.blank(b"FIRSTONE", store().blank_keys(b"FIRSTONE"))
    cards.mkdir()
    chip.save(cards / "first.card")
    chip.close()
    with job_of(batch, cards) as job:
        job.books.claim(ChipSerial(b"FIRSTONE"))
    second_pin(batch, 1)
    (result,) = issue_all(batch, cards)
    assert f"with --spoiled {b'FIRSTONE'.hex().upper()}" in result.problem
    with job_of(batch, cards) as job:
        job.journal.give_up(ChipSerial(b"FIRSTONE"))
        assert [each.problem for each in issue(job)] == [""]
    assert letters(batch, issuer()).problems == []


def test_an_active_card_with_two_pins_gets_its_letter_from_the_copy(
    batch: Batch, place: Path
) -> None:
    path = batch.folder / PINS
    newest_copy = path.read_bytes()
    second_pin(batch, 2)
    mailing = letters(batch, issuer())
    assert [each.number for each in mailing.letters] == [1, 3]
    assert any(f"Else put {PINS} back from the newest copy" in each for each in mailing.problems)
    path.write_bytes(newest_copy)
    assert letters(batch, issuer()).problems == []


# --- readers change nothing ---------------------------------------------------------------


def read_all(batch: Batch, cards: Path) -> None:
    letters(batch, issuer())
    audit_all(batch, cards)


def test_verify_and_letters_change_nothing_in_the_batch(batch: Batch, place: Path) -> None:
    (batch.folder / JOURNAL).chmod(0o440)
    before = everything(batch.folder)
    read_all(batch, place / "cards")
    assert everything(batch.folder) == before


def test_a_journal_that_is_read_takes_no_change(batch: Batch) -> None:
    with (
        opened_to_read(batch, issuer()) as books,
        pytest.raises(StorageError, match="readonly"),
    ):
        assert isinstance(books.work, Journal)
        books.work.note(1, "a problem")


def test_nothing_is_changed_when_no_card_was_issued(tmp_path: Path) -> None:
    batch = new_batch(tmp_path, 1)
    before = everything(batch.folder)
    for run in (
        lambda: letters(batch, issuer()),
        lambda: audit_all(batch, tmp_path / "cards"),
    ):
        with pytest.raises(CardError, match="Run `rhcard issue` first"):
            run()
    assert everything(batch.folder) == before


def test_after_a_kill_readers_see_the_last_step_and_change_nothing(tmp_path: Path) -> None:
    """SQLite's log holds it all; to read that, SQLite would write beside it."""
    batch, cards = new_batch(tmp_path, COUNT), tmp_path / "cards"
    cut_at_the_second_activation(batch, cards)
    before = everything(batch.folder)
    mailing = letters(batch, issuer())
    assert (len(mailing.letters), mailing.not_active) == (1, COUNT - 1)
    assert [bool(result.findings) for result in audit_all(batch, cards)] == [False, True, True]
    assert everything(batch.folder) == before
    with batch_journal(batch) as journal:
        assert journal.entry(2).state is CardState.ACTIVATING
    assert len(open_pins(batch.folder, batch.uuid, issuer())) == 2


def test_a_journal_of_version_2_is_read_without_being_changed(tmp_path: Path) -> None:
    batch, cards = new_batch(tmp_path, COUNT), tmp_path / "cards"
    issue_all(batch, cards)
    path = as_version_2(batch.folder)
    before = path.read_bytes()
    assert [result.findings for result in audit_all(batch, cards)] == [()] * COUNT
    assert (len(letters(batch, issuer()).letters), path.read_bytes()) == (COUNT, before)
    assert [result.was_active for result in issue_all(batch, cards)] == [True] * COUNT
