"""Issuing: every resident gets one card, once, wherever a run is cut, and nobody gets two."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from cardlib.checks.findings import NOTHING_LEFT_OUT
from cardlib.crypto import Cipher
from cardlib.emulator import SoftwareCard
from cardlib.emulator.chip.image import ImageFile
from cardlib.errors import CardKeyError, StatusWordError, TransportError
from cardlib.facts import Pin, Region
from cardlib.issuance import CardStage, personalize
from cardlib.issuance.local import LocalIssuer
from cardlib.issuance.making import HostSession
from cardlib.keys.issuer import CardJob
from cardlib.keys.roots import new_roots, public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.layout.load import Grouping
from personalize.preparation.batch import Batch
from personalize.production import pins
from personalize.production.audit import audit
from personalize.production.feed import Identified, identify
from personalize.production.job import opened_job
from personalize.production.journal import Journal, batch_journal
from personalize.production.mailer import letters
from personalize.production.pins import PinFile
from personalize.production.station import SUFFIX, FolderFeed, alone_with, in_reader
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
    results_of,
    store,
)
from tests.programs.child import in_child

COUNT = 3


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared batch that no test issues."""
    return new_batch(tmp_path_factory.mktemp("pristine"), COUNT).folder


@pytest.fixture
def batch(pristine: Path, tmp_path: Path) -> Batch:
    folder = tmp_path / "batch"
    folder.mkdir()
    for file in pristine.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return Batch.open(folder, issuer())


@pytest.fixture
def cards(tmp_path: Path) -> Path:
    return tmp_path / "cards"


def stages(batch: Batch) -> list[CardState]:
    with batch_journal(batch) as journal:
        return [entry.state for entry in journal.entries()]


def cards_in(folder: Path) -> list[Identified]:
    """What each card of the folder says of itself."""
    found = []
    for card in FolderFeed(folder).lying():
        with card.powered() as connection:
            found.append(identify(card.where, connection))
    return found


def assert_all_issued_once(batch: Batch, cards: Path) -> None:
    """Every resident's card is active, on one chip, holds what it should, and has its PIN."""
    assert stages(batch) == [CardState.ACTIVE] * COUNT
    numbers = Counter(card.card_number for card in cards_in(cards) if card.card_number)
    assert numbers == Counter(card.card_number for card in batch.cards())
    assert [result.findings for result in audit_all(batch, cards)] == [()] * COUNT
    mailing = letters(batch, issuer())
    assert (len(mailing.letters), mailing.not_active, mailing.problems) == (COUNT, 0, [])
    for letter in mailing.letters:
        with in_reader(cards / f"{letter.chip}{SUFFIX}") as reader:
            pin_is_right(reader, store().terminal_keys, letter.pin)


def blank(cards: Path, chip: bytes, keys: KeyStore, name: str = "") -> Path:
    cards.mkdir(exist_ok=True)
    path = cards / f"{name or chip.hex().upper()}{SUFFIX}"
    card = SoftwareCard.blank(chip, keys.blank_keys(chip))
    card.save(path)
    card.close()
    return path


def begin(batch: Batch, number: int, chip: bytes) -> None:
    """Write down what a run does before it touches a chip, and no more."""
    file = pins.open_pins(batch.folder, batch.uuid, issuer())
    with batch_journal(batch) as journal:
        assert journal.take(chip, file.assign) == number


def test_a_batch_becomes_active_cards(batch: Batch, cards: Path) -> None:
    outcomes = issue_all(batch, cards)
    assert [(o.number, o.line, o.state, o.problem) for o in outcomes] == [
        (1, 2, CardState.ACTIVE, ""),
        (2, 3, CardState.ACTIVE, ""),
        (3, 4, CardState.ACTIVE, ""),
    ]
    assert all(o.figures.commands and o.seconds > 0 and not o.was_active for o in outcomes)
    assert_all_issued_once(batch, cards)
    assert len(list(cards.iterdir())) == COUNT


def test_the_first_card_of_a_batch_is_checked_in_full_and_no_other(
    batch: Batch, cards: Path
) -> None:
    results = issue_all(batch, cards)
    assert [each.left_out == NOTHING_LEFT_OUT for each in results] == [True, False, False]
    checks = audit_all(batch, cards)
    assert [each.left_out for each in checks] == [each.left_out for each in results]
    full = [each.left_out for each in audit(batch, issuer(), FolderFeed(cards), full=True)]
    assert full == [NOTHING_LEFT_OUT] * 3


def test_running_again_changes_nothing(batch: Batch, cards: Path) -> None:
    first = issue_all(batch, cards)
    images = {path: path.read_bytes() for path in cards.iterdir()}
    again = issue_all(batch, cards)
    assert [(o.chip, o.state, o.was_active) for o in again] == [
        (o.chip, CardState.ACTIVE, True) for o in first
    ]
    assert {path: path.read_bytes() for path in cards.iterdir()} == images


def test_blanks_of_the_folder_are_used_before_new_ones_are_made(batch: Batch, cards: Path) -> None:
    chips = [bytes([n]) * 8 for n in (1, 2)]
    for chip in chips:
        blank(cards, chip, store(), f"any name {chip[0]}")
    outcomes = issue_all(batch, cards)
    assert [o.chip for o in outcomes][:2] == chips
    assert len(list(cards.glob(f"*{SUFFIX}"))) == COUNT
    assert outcomes[2].chip not in chips


def test_somebody_elses_blank_is_left_alone_and_another_taken(batch: Batch, cards: Path) -> None:
    foreign = blank(
        cards, b"FOREIGN1", KeyStore(public_test_roots(1, store().terminal_keys.cipher))
    )
    before = foreign.read_bytes()
    with job_of(batch, cards) as job:
        assert [o.problem for o in results_of(job)] == [""] * COUNT
        assert [p for p in job.left_alone if foreign.name in p and "cryptogram" in p]
    with in_reader(foreign) as reader:
        assert reader.chip == b"FOREIGN1"
    assert len(list(cards.iterdir())) == COUNT + 1
    assert len(foreign.read_bytes()) == len(before)


def test_a_file_that_is_no_card_is_left_alone(batch: Batch, cards: Path) -> None:
    cards.mkdir()
    damaged = cards / f"damaged{SUFFIX}"
    damaged.write_bytes(b"RHCARD and then nothing")
    with job_of(batch, cards) as job:
        assert [o.problem for o in results_of(job)] == [""] * COUNT
        assert any("damaged.card was not used" in problem for problem in job.left_alone)
    assert damaged.read_bytes() == b"RHCARD and then nothing"


def test_a_copied_card_stops_the_run(batch: Batch, cards: Path) -> None:
    issue_all(batch, cards)
    original = next(cards.iterdir())
    (cards / f"copy{SUFFIX}").write_bytes(original.read_bytes())
    with pytest.raises(JournalConflict, match="the same chip serial"):
        issue_all(batch, cards)


def test_public_keys_are_refused_unless_allowed(batch: Batch, cards: Path) -> None:
    public = KeyStore(public_test_roots(1, store().terminal_keys.cipher))
    with (
        pytest.raises(CardKeyError, match="--test-keys"),
        opened_job(batch, LocalIssuer(public), FolderFeed(cards, public), test_keys=False),
    ):
        pass
    assert not cards.exists()


def test_two_runs_on_one_batch_or_on_one_folder_exclude_each_other(
    batch: Batch, cards: Path, tmp_path: Path
) -> None:
    with (
        job_of(batch, cards),
        pytest.raises(JournalConflict, match="at work in"),
        job_of(batch, tmp_path / "other"),
    ):
        pass
    other = new_batch(tmp_path, 1, skip=10, name="other batch")
    with (
        alone_with(cards),
        pytest.raises(JournalConflict, match="at work in"),
        job_of(other, cards),
    ):
        pass
    assert stages(batch) == [CardState.PREPARED] * COUNT


def test_a_resident_of_another_batch_gets_no_second_card(
    batch: Batch, cards: Path, tmp_path: Path
) -> None:
    issue_all(batch, cards)
    again = new_batch(tmp_path, 1, skip=COUNT - 1, name="again")
    with pytest.raises(
        JournalConflict, match=r"card 1 \(line 2 of the list\).*Nobody gets two cards"
    ):
        issue_all(again, cards)
    assert stages(again) == [CardState.PREPARED]


def test_another_batch_shares_the_folder(batch: Batch, cards: Path, tmp_path: Path) -> None:
    issue_all(batch, cards)
    more = new_batch(tmp_path, 2, skip=COUNT, name="more")
    assert [o.problem for o in issue_all(more, cards)] == ["", ""]
    assert len(list(cards.iterdir())) == COUNT + 2
    assert_all_verified(batch, cards)


def assert_all_verified(batch: Batch, cards: Path) -> None:
    assert [result.findings for result in audit_all(batch, cards)] == [()] * COUNT


# --- cards that fail -------------------------------------------------------------------


def failing_at(number: int, name: str, real: Callable[..., object]) -> Callable[..., object]:
    """The function `name`, refused by the card at its call with that number."""
    calls = iter(range(1, 1000))

    def wrapped(*values: object, **named: object) -> object:
        if next(calls) == number:
            raise StatusWordError(name, 0x6581)
        return real(*values, **named)

    return wrapped


def test_a_failed_card_stops_no_other_and_is_tried_again(
    batch: Batch, cards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HostSession, "activate", failing_at(2, "ACTIVATE", HostSession.activate))
    outcomes = issue_all(batch, cards)
    assert [o.state for o in outcomes] == [
        CardState.ACTIVE, CardState.PERSONALIZED, CardState.ACTIVE,
    ]  # fmt: skip
    assert outcomes[1].problem.startswith("ACTIVATE: 6581")
    with batch_journal(batch) as journal:
        assert journal.entry(2).problem == outcomes[1].problem
    again = issue_all(batch, cards)
    assert [(o.problem, o.chip) for o in again] == [("", o.chip) for o in outcomes]
    assert_all_issued_once(batch, cards)


def test_a_card_that_does_not_verify_is_not_activated(
    batch: Batch, cards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = HostSession.load

    def without_a_name(
        session: HostSession, job: CardJob, loaded: Iterable[Grouping], region: Region, pin: Pin
    ) -> None:
        real(session, job, [each for each in loaded if each[0] != 0x0201], region, pin)

    monkeypatch.setattr(HostSession, "load", without_a_name)
    outcomes = issue_all(batch, cards)
    assert [o.state for o in outcomes] == [CardState.PERSONALIZED] * COUNT
    assert all("DDF1/EF06 record 1 name" in o.problem for o in outcomes)
    names = [card.name for card in batch.cards()]
    assert not any(name in o.problem for name in names for o in outcomes)


def test_a_lost_card_is_named_and_given_up_on_request(
    batch: Batch, cards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HostSession, "activate", failing_at(1, "ACTIVATE", HostSession.activate))
    lost = issue_all(batch, cards)[0].chip
    assert lost is not None
    (cards / f"{lost.hex().upper()}{SUFFIX}").unlink()
    outcome = issue_all(batch, cards)[0]
    assert (outcome.chip, outcome.state) == (lost, CardState.PERSONALIZED)
    assert f"--spoiled {lost.hex().upper()}" in outcome.problem
    with job_of(batch, cards) as job:
        pin = job.pins.get(1)
        assert job.journal.give_up(lost) == 1
        outcome = results_of(job)[0]
        assert (outcome.problem, outcome.state, job.pins.get(1)) == ("", CardState.ACTIVE, pin)
        assert outcome.chip != lost
    assert_all_issued_once(batch, cards)


def test_a_card_that_may_be_active_is_not_given_up(
    batch: Batch, cards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cut between ACTIVATE and the journal: with --spoiled the resident would get a second."""
    advance = Journal.advance

    def cut(journal: Journal, number: int, progress: CardState) -> None:
        if (number, progress) == (1, CardState.ACTIVE):
            raise TransportError("the card was pulled out")
        advance(journal, number, progress)

    monkeypatch.setattr(Journal, "advance", cut)
    first = issue_all(batch, cards)[0]
    monkeypatch.undo()
    assert first.state is CardState.ACTIVATING and first.chip
    path = cards / f"{first.chip}{SUFFIX}"
    path.rename(path.with_suffix(".away"))
    missing = issue_all(batch, cards)[0]
    assert "may be active" in missing.problem and "--spoiled" not in missing.problem
    with (
        job_of(batch, cards) as job,
        pytest.raises(JournalConflict, match=r"may be active.*Run `rhcard issue` with this card"),
    ):
        job.journal.give_up(first.chip)
    path.with_suffix(".away").rename(path)
    again = issue_all(batch, cards)[0]
    assert (again.problem, again.chip) == ("", first.chip)
    assert_all_issued_once(batch, cards)


def test_a_card_whose_pin_was_lost_gets_no_other_pin(
    batch: Batch, cards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HostSession, "activate", failing_at(1, "ACTIVATE", HostSession.activate))
    chip = issue_all(batch, cards)[0].chip
    assert chip is not None
    (batch.folder / pins.NAME).unlink()
    outcome = issue_all(batch, cards)[0]
    assert outcome.state is CardState.PERSONALIZED
    assert "pins.sealed: the PIN of card 1 is missing" in outcome.problem
    assert f"--spoiled {chip}" in outcome.problem
    with job_of(batch, cards) as job:
        job.journal.give_up(chip)
        assert results_of(job)[0].state is CardState.ACTIVE


def test_aes_cards_are_issued_like_sm4_ones(tmp_path: Path, cards: Path) -> None:
    keys = KeyStore(new_roots(1, Cipher.AES))
    batch = new_batch(tmp_path, 1, keys=keys)
    assert [o.state for o in issue_all(batch, cards, keys)] == [CardState.ACTIVE]
    assert [result.findings for result in audit_all(batch, cards, keys)] == [()]


def test_a_spoiled_card_that_turns_up_again_is_no_conflict(
    batch: Batch, cards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HostSession, "activate", failing_at(1, "ACTIVATE", HostSession.activate))
    spoiled = issue_all(batch, cards)[0].chip
    assert spoiled is not None
    with job_of(batch, cards) as job:
        job.journal.give_up(spoiled)
        assert results_of(job)[0].state is CardState.ACTIVE
    assert issue_all(batch, cards)[0].chip != spoiled


def test_a_blank_that_another_batch_took_meanwhile_is_let_go(
    batch: Batch, cards: Path, tmp_path: Path
) -> None:
    chip = b"CUT CARD"
    blank(cards, chip, store())
    begin(batch, 1, chip)
    other = new_batch(tmp_path, 1, skip=COUNT, name="other")
    assert issue_all(other, cards)[0].chip == chip
    assert issue_all(batch, cards)[0].chip != chip
    assert_all_verified(batch, cards)


def test_a_started_card_with_issuer_keys_is_finished_and_no_other_batch_takes_it(
    batch: Batch, cards: Path, tmp_path: Path
) -> None:
    chip = b"HALFDONE"
    path = blank(cards, chip, store())
    begin(batch, 1, chip)
    with in_reader(path) as reader, pytest.raises(StatusWordError):
        transport, issuer = store().transport_keys(chip), store().issuer_keys(chip)
        personalize(reader, transport, issuer, [(0x0101, b"\1\1\x31")])
    assert [card.stage for card in cards_in(cards)] == [CardStage.ISSUER]
    other = new_batch(tmp_path, 1, skip=COUNT, name="other")
    assert issue_all(other, cards)[0].chip != chip
    assert issue_all(batch, cards)[0].chip == chip
    assert_all_verified(batch, cards)


# --- the power goes ---------------------------------------------------------------------


def dying_at(point: int, patch: pytest.MonkeyPatch) -> Iterator[int]:
    """Let the process die at its point-th write: to a card, the journal or the PIN file.

    Points are counted before and after each write; gives the count so far.
    """
    count = [0]

    def around(target: type, name: str) -> None:
        real = getattr(target, name)

        def wrapped(*values: object) -> object:
            reached()
            result = real(*values)
            reached()
            return result

        patch.setattr(target, name, wrapped)

    def reached() -> None:
        count[0] += 1
        if count[0] == point:
            die()

    around(ImageFile, "write_page")
    around(SoftwareCard, "save")
    around(Journal, "_commit")
    around(PinFile, "_append")
    while True:
        yield count[0]


def writes_of_a_whole_run(batch: Batch, cards: Path) -> int:
    with pytest.MonkeyPatch.context() as patch:
        counter = dying_at(0, patch)
        next(counter)
        issue_all(batch, cards)
        return next(counter)


def issue_until(point: int, batch: Batch, cards: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        next(dying_at(point, patch))
        issue_all(batch, cards)


STRIDES = 24


@pytest.fixture(scope="module")
def writes(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many points a whole run has, nearly: a PIN more or less written makes no difference."""
    folder = tmp_path_factory.mktemp("counted")
    return writes_of_a_whole_run(new_batch(folder, COUNT), folder / "cards")


@pytest.mark.parametrize("part", range(STRIDES))
def test_killed_at_a_write_and_run_again_everybody_gets_one_card(
    batch: Batch, cards: Path, writes: int, part: int
) -> None:
    point = 1 + part * (writes - 1) // STRIDES
    assert in_child(lambda: issue_until(point, batch, cards)) == -signal.SIGKILL
    assert stages(batch) != [CardState.ACTIVE] * COUNT
    issue_all(batch, cards)
    assert_all_issued_once(batch, cards)
    assert len(list(cards.glob(f"*{SUFFIX}"))) == COUNT


@pytest.mark.parametrize("every", [3, 7, 29, 61])
def test_killed_again_and_again_the_batch_is_finished_in_the_end(
    batch: Batch, cards: Path, every: int
) -> None:
    """Each run gets a little further than the last: it dies later by a few writes."""
    for attempt in range(1, 400):
        code = in_child(lambda at=every * attempt: issue_until(at, batch, cards))  # type: ignore[misc]
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert_all_issued_once(batch, cards)
    assert len(list(cards.glob(f"*{SUFFIX}"))) == COUNT


def test_a_cut_between_activation_and_the_journal_is_noticed(
    batch: Batch, cards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(self: Journal, number: int, progress: CardState) -> None:
        if progress is CardState.ACTIVE:
            die()
        real(self, number, progress)

    real = Journal.advance
    monkeypatch.setattr(Journal, "advance", cut)
    assert in_child(lambda: issue_all(batch, cards)) == -signal.SIGKILL
    monkeypatch.undo()
    assert stages(batch)[0] is CardState.ACTIVATING
    issue_all(batch, cards)
    assert_all_issued_once(batch, cards)


def test_the_journal_holds_nothing_of_the_residents(batch: Batch, cards: Path) -> None:
    issue_all(batch, cards)
    raw = (batch.folder / "journal.sqlite").read_bytes()
    for card in batch.cards():
        assert card.card_number.encode() not in raw
        assert card.name.encode() not in raw
    assert os.stat(batch.folder / "journal.sqlite").st_mode & 0o077 == 0
