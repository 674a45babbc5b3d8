"""Two stations make the cards of one batch, each with blanks of its own."""

from pathlib import Path

from cardlib.emulator import SoftwareCard
from personalize.preparation.batch import Batch
from personalize.production.bookkeeping import Bureau
from personalize.production.issue import issue
from personalize.production.job import CardResult, opened_job
from personalize.production.station import FolderFeed
from personalize.register.states import CardState
from tests.cards.bureau import issuer, new_batch, store

COUNT = 4


def made_at(root: Path, batch: Batch, station: str, *, blanks: bool) -> list[CardResult]:
    feed = FolderFeed(root / station, store() if blanks else None)
    bureau = Bureau(str(root / "bureau.sqlite"), station, root / "files", lambda _: issuer())
    with opened_job(batch, issuer(), feed, test_keys=False, bureau=bureau) as job:
        return sorted(issue(job), key=lambda result: result.number)


def test_a_station_without_blanks_says_how_many_lack_and_later_that_others_made_them(
    tmp_path: Path,
) -> None:
    batch = new_batch(tmp_path, COUNT)
    first = made_at(tmp_path, batch, "north", blanks=False)
    assert ["no blank card is left" in result.problem for result in first] == [True] * COUNT
    second = made_at(tmp_path, batch, "south", blanks=True)
    assert [(result.state, result.problem) for result in second] == [(CardState.ACTIVE, "")] * COUNT
    third = made_at(tmp_path, batch, "north", blanks=True)
    assert [(result.was_active, result.problem) for result in third] == [(True, "")] * COUNT
    assert list((tmp_path / "north").glob("*.card")) == []


def test_cards_that_another_station_makes_in_the_meantime_are_results_of_both(
    tmp_path: Path,
) -> None:
    batch = new_batch(tmp_path, COUNT)
    feed = FolderFeed(tmp_path / "north", store())
    bureau = Bureau(
        str(tmp_path / "bureau.sqlite"), "north", tmp_path / "files", lambda _: issuer()
    )
    with opened_job(batch, issuer(), feed, test_keys=False, bureau=bureau) as job:
        run = issue(job)
        mine = [next(run)]
        theirs = made_at(tmp_path, batch, "south", blanks=True)
        mine += run
    assert [result.problem for result in (*mine, *theirs)] == [""] * (2 * COUNT)
    assert {result.state for result in (*mine, *theirs)} == {CardState.ACTIVE}
    assert sum(not result.was_active for result in (*mine, *theirs)) == COUNT


def test_a_blank_whose_chip_has_a_card_of_another_batch_is_left_alone(tmp_path: Path) -> None:
    """It is a copy, or the other batch was cut: no reason to stop this batch."""
    first, second = new_batch(tmp_path, 1), new_batch(tmp_path, 2, skip=5, name="second")
    (made,) = made_at(tmp_path, first, "north", blanks=True)
    assert made.chip is not None
    folder = tmp_path / "south"
    folder.mkdir()
    copy = SoftwareCard.blank(made.chip, store().blank_keys(made.chip))
    copy.save(folder / "0.card")
    copy.close()
    results = made_at(tmp_path, second, "south", blanks=True)
    assert [(result.state, result.problem) for result in results] == [(CardState.ACTIVE, "")] * 2
    assert made.chip not in {result.chip for result in results}
