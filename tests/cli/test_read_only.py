"""Commands that only look write nothing, and work where nothing can be written."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from personalize.cli.exits import Exit
from tests.programs.read_only import ran_without_rights, read_only
from tests.programs.rhcard import key_file, prepare, rhcard

COUNT = 2


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with keys.json, batch and cards, where every card is active."""
    folder = tmp_path_factory.mktemp("issued")
    batch = prepare(folder, key_file(folder), COUNT)
    assert rhcard("issue", batch, "--cards", folder / "cards", "--make-blanks").code == Exit.GOOD
    return folder


@pytest.fixture
def medium(issued: Path, tmp_path: Path) -> Path:
    """The same on another medium."""
    copy = tmp_path / "medium"
    shutil.copytree(issued, copy)
    return copy


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def lines(folder: Path) -> list[tuple[tuple[object, ...], str]]:
    """Each command that only looks, and what its output must hold."""
    keys, batch, cards = folder / "keys.json", folder / "batch", folder / "cards"
    card = sorted(cards.iterdir())[0]
    return [
        (("read", card, "--keys", keys), "Issuer name"),
        (("read", card.stem, "--cards", cards, "--keys", keys, "--emergency"), "ABO"),
        (("verify", batch, "--cards", cards, "--keys", keys), f"{COUNT} of {COUNT} verified"),
        (("pins", batch, "--keys", keys), "PIN"),
        (("emulator", "show", card), "life cycle"),
    ]


def with_a_log(journal: Path) -> None:
    """What a cut leaves: the last transaction is in the -wal file only."""
    with closing(sqlite3.connect(journal, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("UPDATE card SET problem = 'from the log' WHERE number = 1")
        kept = journal.with_name("kept")
        kept.mkdir()
        for name in (journal.name, f"{journal.name}-wal"):
            shutil.copyfile(journal.with_name(name), kept / name)
    for file in kept.iterdir():
        file.replace(journal.with_name(file.name))
    kept.rmdir()


@pytest.mark.parametrize("log", [False, True], ids=["", "-wal"])
def test_they_work_where_nothing_may_be_written_and_change_nothing(medium: Path, log: bool) -> None:
    if log:
        with_a_log(medium / "batch" / "journal.sqlite")
    before = contents(medium)
    with read_only(medium):
        for words, shown in lines(medium):
            done = ran_without_rights(*words)
            assert (done.code, shown in done.out) == (Exit.GOOD, True), (words, done.err)
    assert contents(medium) == before


def test_they_change_nothing_either_where_they_could(medium: Path) -> None:
    before = contents(medium)
    for words, _ in lines(medium):
        assert rhcard(*words).code == Exit.GOOD
    assert contents(medium) == before


def test_a_command_that_changes_cards_says_that_it_may_not_write(medium: Path) -> None:
    keys, cards = medium / "keys.json", medium / "cards"
    card = sorted(cards.iterdir())[0]
    with read_only(medium):
        script = ran_without_rights("apdu", "run", "identify", "--card", card)
        issue = ran_without_rights("issue", medium / "batch", "--cards", cards, "--keys", keys)
    remedy = "Give your user the right to this path, then run the same command again"
    assert (script.code, script.err) == (
        Exit.ENVIRONMENT, f"rhcard: {card}: Permission denied. {remedy}\n"
    )  # fmt: skip
    assert issue.code == Exit.ENVIRONMENT
    assert len(issue.err.splitlines()) == 1
