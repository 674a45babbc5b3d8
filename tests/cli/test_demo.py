"""The demonstration: 50 of 50 verified, nothing existing touched, and its hints work."""

import shlex
from pathlib import Path

import pytest

from personalize.preparation.prepared import PreparedCard
from personalize.sample.sample_batch import SAMPLE, fresh_folder, most_telling
from tests.cards.bureau import new_batch, sample_names
from tests.programs.rhcard import ran, rhcard


@pytest.fixture(scope="module")
def demonstrated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("demo")
    done = ran("demo", cwd=folder, env={"RHCARD_PASSPHRASE": ""})
    assert done.code == 0, done.err
    return folder, done.out


def test_fifty_of_fifty_are_verified(demonstrated: tuple[Path, str]) -> None:
    folder, out = demonstrated
    assert out.splitlines()[-1] == "50 of 50 verified"
    assert len(list((folder / "rhcard-demo" / "cards").glob("*.card"))) == 50


def test_it_shows_five_rows_and_says_how_many_more_there_are(
    demonstrated: tuple[Path, str],
) -> None:
    _, out = demonstrated
    table, _, rest = out.partition("45 more\n")
    assert [name in table for name in sample_names()].count(True) == 5
    assert rest
    assert f"The cards are in {Path('rhcard-demo', 'cards')}." in out


def test_it_shows_figures_and_an_emergency_with_states(demonstrated: tuple[Path, str]) -> None:
    _, out = demonstrated
    assert "cards a minute: software cards on this computer. A real card takes about" in out
    emergency = out[out.index("as an emergency room reads it") :]
    for state in ("value", "negative", "unwritten"):
        assert state in emergency


def test_the_next_three_commands_work_as_they_stand(demonstrated: tuple[Path, str]) -> None:
    folder, out = demonstrated
    lines = [shlex.split(line) for line in out.splitlines() if line.startswith("    ")]
    commands = [words for words in lines if words and words[0].endswith("rhcard")]
    assert [words[1] for words in commands] == ["read", "verify", "pins"]
    done = [ran(*words[1:], cwd=folder, env={"RHCARD_PASSPHRASE": ""}) for words in commands]
    assert [each.code for each in done] == [0, 0, 0], done
    assert done[1].out == "50 of 50 verified\n"


def test_a_second_demonstration_takes_a_folder_of_its_own(tmp_path: Path) -> None:
    first = fresh_folder(tmp_path / "rhcard-demo")
    (first / "mine").touch()
    assert fresh_folder(tmp_path / "rhcard-demo") == tmp_path / "rhcard-demo-2"
    assert fresh_folder(tmp_path / "rhcard-demo") == tmp_path / "rhcard-demo-3"
    assert (first / "mine").exists()


def test_a_folder_with_something_in_it_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    done = rhcard("demo", "--out", tmp_path)
    assert (done.code, "is not empty" in done.err) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_json_is_one_document_with_the_summary(tmp_path: Path) -> None:
    report = rhcard("demo", "--out", tmp_path / "new" / "folder", "--json", passphrase=None).json
    assert report["summary"] == "50 of 50 verified"
    assert (len(report["cards"]), len(report["next"]), report["exit_code"]) == (50, 3, 0)
    assert all(row["verified"] for row in report["verification"])
    assert Path(report["emergency"]["card"]).is_file()


def test_the_sample_is_fifty_different_residents_with_rare_characters() -> None:
    names = sample_names()
    assert len(names) == 50
    text = "".join(names)
    assert all(char in text for char in "䶮𠅤㛃·") and "НГУЕН" in text
    assert SAMPLE.is_file()


def test_the_card_that_is_shown_has_allergies(tmp_path: Path) -> None:
    batch = new_batch(tmp_path, 10)
    chosen: PreparedCard = batch.card(most_telling(batch.cards()))
    assert chosen.value("allergen_1")
