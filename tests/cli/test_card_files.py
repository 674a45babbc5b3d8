"""rhcard issue and verify with --card: software cards in certain files."""

import shutil
from pathlib import Path

import pytest

from tests.programs.rhcard import key_file, prepare, rhcard

COUNT = 3


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return key_file(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def batch(tmp_path: Path, keys: Path) -> Path:
    return prepare(tmp_path, keys, COUNT)


@pytest.fixture
def blanks(tmp_path: Path, keys: Path) -> list[Path]:
    """Four blanks of the key store, in two folders; one file has a name that is no chip serial."""
    folders = tmp_path / "drawer", tmp_path / "box"
    for folder in folders:
        made = rhcard("emulator", "new", "--out", folder, "--count", 2, "--keys", keys)
        assert made.code == 0, made.err
    blanks = [path for folder in folders for path in sorted(folder.glob("*.card"))]
    return [blanks[0].rename(blanks[0].with_name("first.card")), *blanks[1:]]


def named(paths: list[Path]) -> list[object]:
    return [word for path in paths for word in ("--card", path)]


def test_only_the_files_that_were_named_are_used(batch: Path, blanks: list[Path]) -> None:
    untouched = blanks[3].read_bytes()
    done = rhcard("issue", batch, *named(blanks[:2]))
    assert (done.code, done.out) == (7, "2 of 3 cards active, 2 of them now\n")
    assert "1 blank card is lacking. Run it again with other blanks: --card FILE" in done.err
    done = rhcard("issue", batch, *named(blanks[2:]))
    assert (done.code, done.out) == (0, "3 of 3 cards active, 1 of them now\n")
    assert blanks[3].read_bytes() == untouched
    done = rhcard("verify", batch, *named(blanks[:3]))
    assert (done.code, done.out) == (0, "3 of 3 verified\n")
    assert rhcard("verify", batch, *named(blanks[:3]), "--json").json["files"] == [
        str(path) for path in blanks[:3]
    ]


def test_a_card_that_was_not_named_is_not_verified(batch: Path, blanks: list[Path]) -> None:
    assert rhcard("issue", batch, *named(blanks[:3])).code == 0
    done = rhcard("verify", batch, *named(blanks[:2]), "--json")
    (missing,) = [card for card in done.json["cards"] if card["findings"]]
    assert (done.code, done.json["verified"], missing["number"]) == (6, 2, 3)
    assert "is in none of the card files that were given" in missing["findings"][0]["problem"]


def test_a_copy_of_a_card_is_refused(batch: Path, blanks: list[Path], tmp_path: Path) -> None:
    copy = tmp_path / blanks[0].name
    shutil.copy(blanks[0], copy)
    before = [path.read_bytes() for path in (blanks[0], copy)]
    done = rhcard("issue", batch, *named([blanks[0], copy]))
    assert done.code == 8
    assert "have the same chip serial" in done.err
    assert "take the copy away" in done.err and "folder" not in done.err
    assert [path.read_bytes() for path in (blanks[0], copy)] == before


@pytest.mark.parametrize("more", [["--cards", "cards"], ["--reader", "0"], ["--make-blanks"]])
def test_card_files_go_with_no_other_place(
    batch: Path, blanks: list[Path], more: list[object]
) -> None:
    done = rhcard("issue", batch, *named(blanks[:1]), *more)
    assert done.code == 2
    assert blanks[0].is_file()


def test_a_file_is_taken_once(batch: Path, blanks: list[Path]) -> None:
    again = blanks[0].parent / ".." / blanks[0].parent.name / blanks[0].name
    done = rhcard("issue", batch, *named([blanks[0], again]))
    assert (done.code, f"{blanks[0]} is given twice" in done.err) == (2, True)


def test_a_file_that_is_not_there_or_no_card_is_told(batch: Path, tmp_path: Path) -> None:
    done = rhcard("issue", batch, "--card", tmp_path / "none.card")
    assert (done.code, "does not exist" in done.err) == (2, True)
    (text := tmp_path / "text.card").write_text("not a card", "utf-8")
    done = rhcard("issue", batch, "--card", text)
    assert (done.code, "0 of 3 cards active" in done.out) == (7, True)
    assert str(text) in done.err
    assert text.read_text("utf-8") == "not a card"


def test_each_named_file_that_is_not_used_is_told(
    batch: Path, blanks: list[Path], tmp_path: Path
) -> None:
    strange = tmp_path / "strange.card"
    assert rhcard("emulator", "new", "--sample", "--out", strange).code == 0
    done = rhcard("issue", batch, *named([strange, *blanks[:3]]))
    assert (done.code, done.out) == (0, "3 of 3 cards active\n")
    assert f"{strange} was not used: it is personalized, but not by this batch" in done.err
    done = rhcard("verify", batch, *named([blanks[3], strange, *blanks[:3]]))
    assert (done.code, done.out) == (0, "3 of 3 verified\n")
    for other in (blanks[3], strange):
        (line,) = [line for line in done.err.splitlines() if line.startswith(str(other))]
        assert line.endswith("is no active card of this batch")


def test_a_card_of_the_batch_that_is_named_again_is_no_news(
    batch: Path, blanks: list[Path]
) -> None:
    assert rhcard("issue", batch, *named(blanks[:2])).code == 7
    done = rhcard("issue", batch, *named(blanks[:3]))
    assert (done.code, "was not used" in done.err) == (0, False)
