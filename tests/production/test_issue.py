"""Issuing: every resident gets one card, once, wherever a run is cut, and nobody gets two."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from cardlib.crypto import Cipher
from cardlib.emulator import SoftwareCard
from cardlib.emulator.chip.image import ImageFile
from cardlib.errors import CardKeyError, StatusWordError
from cardlib.facts import ChipSerial
from cardlib.issuance import CardStage, IssuerSession, personalize
from cardlib.keys.roots import new_roots, public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.layout.load import Grouping, loaded
from personalize.preparation.batch import Batch
from personalize.production import issue as issue_module
from personalize.production import pins
from personalize.production.audit import audit
from personalize.production.issue import batch_journal, issue, opened_job
from personalize.production.journal import Journal, JournalConflict, Stage
from personalize.production.mailer import letters
from personalize.production.pins import PinFile
from personalize.production.station import SUFFIX, CardFolder, alone_with, in_reader
from tests.cards.bureau import die, in_child, issue_all, new_batch, pin_is_right, store

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
    return Batch.open(folder, store().sealing_key("batch"))


@pytest.fixture
def cards(tmp_path: Path) -> Path:
    return tmp_path / "cards"


def stages(batch: Batch) -> list[Stage]:
    with batch_journal(batch, store()) as journal:
        return [entry.stage for entry in journal.entries()]


def assert_all_issued_once(batch: Batch, cards: Path) -> None:
    """Every resident's card is active, on one chip, holds what it should, and has its PIN."""
    assert stages(batch) == [Stage.ACTIVE] * COUNT
    folder = CardFolder(cards, store())
    assert folder.problems == []
    numbers = Counter(card.card_number for card in folder.cards.values() if card.card_number)
    assert numbers == Counter(card.card_number for card in batch.cards())
    assert [result.findings for result in audit(batch, store(), cards)] == [()] * COUNT
    found, waiting = letters(batch, store())
    assert (len(found), waiting) == (COUNT, 0)
    for letter in found:
        with in_reader(cards / f"{letter.chip}{SUFFIX}") as reader:
            pin_is_right(reader, store().card_keys, letter.pin)


def blank(cards: Path, chip: bytes, keys: KeyStore, name: str = "") -> Path:
    cards.mkdir(exist_ok=True)
    path = cards / f"{name or chip.hex().upper()}{SUFFIX}"
    card = SoftwareCard.blank(chip, keys.blank_keys(chip))
    card.save(path)
    card.close()
    return path


def begin(batch: Batch, number: int, chip: bytes) -> None:
    """Write down what a run does before it touches a chip, and no more."""
    key = store().sealing_key("pin")
    pins.open_pins(batch.folder, batch.header.batch_id, key).assign(number)
    with batch_journal(batch, store()) as journal:
        journal.start(number, chip)


def test_a_batch_becomes_active_cards(batch: Batch, cards: Path) -> None:
    outcomes = issue_all(batch, cards)
    assert [(o.number, o.line, o.stage, o.problem) for o in outcomes] == [
        (1, 2, Stage.ACTIVE, ""),
        (2, 3, Stage.ACTIVE, ""),
        (3, 4, Stage.ACTIVE, ""),
    ]
    assert all(o.figures.commands and o.seconds > 0 and not o.was_active for o in outcomes)
    assert_all_issued_once(batch, cards)
    assert len(list(cards.iterdir())) == COUNT


def test_running_again_changes_nothing(batch: Batch, cards: Path) -> None:
    first = issue_all(batch, cards)
    images = {path: path.read_bytes() for path in cards.iterdir()}
    again = issue_all(batch, cards)
    assert [(o.chip, o.stage, o.was_active) for o in again] == [
        (o.chip, Stage.ACTIVE, True) for o in first
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
    foreign = blank(cards, b"FOREIGN1", KeyStore(public_test_roots(1, store().card_keys.cipher)))
    before = foreign.read_bytes()
    with opened_job(batch, store(), cards, test_keys=False) as job:
        assert [o.problem for o in issue(job)] == [""] * COUNT
        assert [p for p in job.folder.problems if foreign.name in p and "cryptogram" in p]
    with in_reader(foreign) as reader:
        found = CardFolder(cards, store()).cards  # foreign is open here, so it is not among them
        assert len(found) == COUNT
        assert reader.chip == b"FOREIGN1"
    assert len(foreign.read_bytes()) == len(before)


def test_a_file_that_is_no_card_is_left_alone(batch: Batch, cards: Path) -> None:
    cards.mkdir()
    damaged = cards / f"damaged{SUFFIX}"
    damaged.write_bytes(b"RHCARD and then nothing")
    with opened_job(batch, store(), cards, test_keys=False) as job:
        assert [o.problem for o in issue(job)] == [""] * COUNT
        assert any("damaged.card left alone" in problem for problem in job.folder.problems)
    assert damaged.read_bytes() == b"RHCARD and then nothing"


def test_a_copied_card_stops_the_run(batch: Batch, cards: Path) -> None:
    issue_all(batch, cards)
    original = next(cards.iterdir())
    (cards / f"copy{SUFFIX}").write_bytes(original.read_bytes())
    with pytest.raises(JournalConflict, match="one chip serial"):
        issue_all(batch, cards)


def test_public_keys_are_refused_unless_allowed(batch: Batch, cards: Path) -> None:
    public = KeyStore(public_test_roots(1, store().card_keys.cipher))
    with (
        pytest.raises(CardKeyError, match="--test-keys"),
        opened_job(batch, public, cards, test_keys=False),
    ):
        pass
    assert not cards.exists()


def test_two_runs_on_one_batch_or_on_one_folder_exclude_each_other(
    batch: Batch, cards: Path, tmp_path: Path
) -> None:
    with (
        opened_job(batch, store(), cards, test_keys=False),
        pytest.raises(JournalConflict, match="at work in"),
        opened_job(batch, store(), tmp_path / "other", test_keys=False),
    ):
        pass
    other = new_batch(tmp_path, 1, skip=10, name="other batch")
    with (
        alone_with(cards),
        pytest.raises(JournalConflict, match="at work in"),
        opened_job(other, store(), cards, test_keys=False),
    ):
        pass
    assert stages(batch) == [Stage.PREPARED] * COUNT


def test_a_resident_of_another_batch_gets_no_second_card(
    batch: Batch, cards: Path, tmp_path: Path
) -> None:
    issue_all(batch, cards)
    again = new_batch(tmp_path, 1, skip=COUNT - 1, name="again")
    with pytest.raises(JournalConflict, match=r"card 1 \(input line 2\).*nobody gets two cards"):
        issue_all(again, cards)
    assert stages(again) == [Stage.PREPARED]


def test_another_batch_shares_the_folder(batch: Batch, cards: Path, tmp_path: Path) -> None:
    issue_all(batch, cards)
    more = new_batch(tmp_path, 2, skip=COUNT, name="more")
    assert [o.problem for o in issue_all(more, cards)] == ["", ""]
    assert len(list(cards.iterdir())) == COUNT + 2
    assert_all_verified(batch, cards)


def assert_all_verified(batch: Batch, cards: Path) -> None:
    assert [result.findings for result in audit(batch, store(), cards)] == [()] * COUNT


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
    monkeypatch.setattr(
        IssuerSession, "activate", failing_at(2, "ACTIVATE", IssuerSession.activate)
    )
    outcomes = issue_all(batch, cards)
    assert [o.stage for o in outcomes] == [Stage.ACTIVE, Stage.VERIFIED, Stage.ACTIVE]
    assert outcomes[1].problem.startswith("ACTIVATE: 6581")
    with batch_journal(batch, store()) as journal:
        assert journal.entry(2).problem == outcomes[1].problem
    again = issue_all(batch, cards)
    assert [(o.problem, o.chip) for o in again] == [("", o.chip) for o in outcomes]
    assert_all_issued_once(batch, cards)


def test_a_card_that_does_not_verify_is_not_activated(
    batch: Batch, cards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_a_name(
        prepared: Iterable[Grouping], chip: ChipSerial, of_keys: Iterable[Grouping]
    ) -> list[Grouping]:
        return [each for each in loaded(prepared, chip, of_keys) if each[0] != 0x0201]

    monkeypatch.setattr(issue_module, "loaded", without_a_name)
    outcomes = issue_all(batch, cards)
    assert [o.stage for o in outcomes] == [Stage.PERSONALIZED] * COUNT
    assert all("DDF1/EF06 record 1 name" in o.problem for o in outcomes)
    names = [card.name for card in batch.cards()]
    assert not any(name in o.problem for name in names for o in outcomes)


def test_a_lost_card_is_named_and_given_up_on_request(
    batch: Batch, cards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        IssuerSession, "activate", failing_at(1, "ACTIVATE", IssuerSession.activate)
    )
    lost = issue_all(batch, cards)[0].chip
    assert lost is not None
    (cards / f"{lost.hex().upper()}{SUFFIX}").unlink()
    outcome = issue_all(batch, cards)[0]
    assert (outcome.chip, outcome.stage) == (lost, Stage.VERIFIED)
    assert f"--spoiled {lost.hex().upper()}" in outcome.problem
    with opened_job(batch, store(), cards, test_keys=False) as job:
        pin = job.pins.get(1)
        assert job.journal.give_up(lost) == 1
        outcome = next(issue(job))
        assert (outcome.problem, outcome.stage, job.pins.get(1)) == ("", Stage.ACTIVE, pin)
        assert outcome.chip != lost
    assert_all_issued_once(batch, cards)


def test_a_card_whose_pin_was_lost_gets_no_other_pin(
    batch: Batch, cards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        IssuerSession, "activate", failing_at(1, "ACTIVATE", IssuerSession.activate)
    )
    chip = issue_all(batch, cards)[0].chip
    assert chip is not None
    (batch.folder / pins.NAME).unlink()
    outcome = issue_all(batch, cards)[0]
    assert (outcome.stage, "PIN of card 1 is no longer" in outcome.problem) == (
        Stage.VERIFIED,
        True,
    )
    with opened_job(batch, store(), cards, test_keys=False) as job:
        job.journal.give_up(chip)
        assert next(issue(job)).stage is Stage.ACTIVE


def test_aes_cards_are_issued_like_sm4_ones(tmp_path: Path, cards: Path) -> None:
    keys = KeyStore(new_roots(1, Cipher.AES))
    batch = new_batch(tmp_path, 1, keys=keys)
    with opened_job(batch, keys, cards, test_keys=False) as job:
        assert [o.stage for o in issue(job)] == [Stage.ACTIVE]
    assert [result.findings for result in audit(batch, keys, cards)] == [()]


def test_a_spoiled_card_that_turns_up_again_is_no_conflict(
    batch: Batch, cards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        IssuerSession, "activate", failing_at(1, "ACTIVATE", IssuerSession.activate)
    )
    spoiled = issue_all(batch, cards)[0].chip
    assert spoiled is not None
    with opened_job(batch, store(), cards, test_keys=False) as job:
        job.journal.give_up(spoiled)
        assert next(issue(job)).stage is Stage.ACTIVE
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
    assert CardFolder(cards, store()).cards[ChipSerial(chip)].stage is CardStage.ISSUER
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
    around(Journal, "_change")
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
    assert stages(batch) != [Stage.ACTIVE] * COUNT
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
    def cut(self: Journal, number: int, stage: Stage) -> None:
        if stage is Stage.ACTIVE:
            die()
        real(self, number, stage)

    real = Journal.advance
    monkeypatch.setattr(Journal, "advance", cut)
    assert in_child(lambda: issue_all(batch, cards)) == -signal.SIGKILL
    monkeypatch.undo()
    assert stages(batch)[0] is Stage.VERIFIED
    issue_all(batch, cards)
    assert_all_issued_once(batch, cards)


def test_the_journal_holds_nothing_of_the_residents(batch: Batch, cards: Path) -> None:
    issue_all(batch, cards)
    raw = (batch.folder / "journal.sqlite").read_bytes()
    for card in batch.cards():
        assert card.card_number.encode() not in raw
        assert card.name.encode() not in raw
    assert os.stat(batch.folder / "journal.sqlite").st_mode & 0o077 == 0
