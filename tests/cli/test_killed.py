"""What a killed command leaves: never half a result under its name, and the next run cleans up.

The command is killed (SIGKILL) before each of its steps in the folder, one after the other.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cardlib.emulator import SoftwareCard
from cardlib.issuance.local import LocalIssuer
from cardlib.keys.store import KeyStore
from cardlib.unfinished import remove_unfinished_files, unfinished_file, unfinished_folder
from personalize.cli.exits import Exit
from personalize.preparation.batch import Batch
from personalize.preparation.leftovers import clear_unfinished
from personalize.printing import card_faces, typefaces
from personalize.sample.sample_batch import SAMPLE
from tests.cards.bureau import die
from tests.programs.child import in_child
from tests.programs.rhcard import PASSPHRASE, key_file, prepare, residents, rhcard

MARK = ".rhcard-unfinished-"
STEPS = ("open", "os.", "tempfile.", "fcntl.flock")
MOST_STEPS = 60


def killed_at(step: int, folder: Path, work: Callable[[], object]) -> bool:
    """Do the work in a process that is killed before its step there; whether it came so far."""

    def doomed() -> None:
        steps = iter(range(1, step))

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            here = any(str(each).startswith(str(folder)) for each in arguments if each)
            counts = event.startswith(STEPS) and (here or event in ("fcntl.flock", "os.chmod"))
            if counts and next(steps, None) is None:
                die()

        sys.addaudithook(watch)
        work()

    code = in_child(doomed)
    assert code in (0, -9)
    return code == -9


def left_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if MARK in path.name]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return key_file(tmp_path_factory.mktemp("keys"))


def test_a_killed_prepare_leaves_no_half_batch_and_the_next_one_cleans_up(
    tmp_path: Path, keys: Path
) -> None:
    source = residents(tmp_path, 2)
    store = KeyStore.open(keys, PASSPHRASE)
    found: set[str] = set()
    for step in range(1, MOST_STEPS):
        out = tmp_path / f"at {step}" / "batch"
        out.parent.mkdir()
        words = ("prepare", source, "--keys", keys, "--out", out, "--photos", SAMPLE.parent)
        if not killed_at(step, out.parent, lambda words=words: rhcard(*words)):  # type: ignore[misc]
            break
        for left in left_in(out.parent):
            refused = rhcard("issue", left, "--cards", tmp_path / "cards", "--make-blanks")
            assert (refused.code, "prepare the list again" in refused.err) == (3, True)
        before = left_in(out.parent)
        again = rhcard(*words)
        if out.exists() and again.code == Exit.USAGE:
            assert "exists already" in again.err
            found.add("finished")
        else:
            assert again.code == 0, (step, again.err)
            for left in before:
                if left.parent == out.parent:
                    assert str(left) in again.err, step
                    continued = f"Continued {left}: its records are the same" in again.err
                    found.add("whole" if left.exists() else "continued" if continued else "removed")
                    assert left.exists() == (f"{left} is a complete batch" in again.err)
        assert len(list(Batch.open(out, LocalIssuer(store)).cards())) == 2
    else:
        raise AssertionError("too many steps")
    assert found == {"finished", "removed", "continued", "whole"}


def test_a_killed_keys_new_leaves_no_half_store(tmp_path: Path) -> None:
    for step in range(1, MOST_STEPS):
        out = tmp_path / f"at {step}" / "keys.json"
        out.parent.mkdir()
        if not killed_at(step, out.parent, lambda out=out: rhcard("keys", "new", "--out", out)):  # type: ignore[misc]
            break
        was = out.exists()
        if was:
            KeyStore.open(out, PASSPHRASE)
        before = left_in(out.parent)
        other = rhcard("keys", "new", "--out", out.with_name("other.json"))
        assert other.code == 0
        assert all(f"Removed {left}" in other.err for left in before)
        assert left_in(out.parent) == []
        assert out.exists() == was
    else:
        raise AssertionError("too many steps")
    assert step > 4


def test_killed_proofs_leave_no_half_pdf_and_the_next_ones_clean_up(
    tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """typst has threads of its own, which a forked child lacks: its part is another one here."""
    whole = b"%PDF-1.7 whole"
    monkeypatch.setattr(card_faces, "typeset", lambda *_: whole)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with typefaces.opened_typefaces() as installed:
        (face,) = installed.faces
    monkeypatch.setattr(typefaces, "_face", lambda *_: face)
    batch = prepare(tmp_path, keys, 1)
    for step in range(1, MOST_STEPS):
        out = tmp_path / f"at {step}" / "proofs.pdf"
        out.parent.mkdir()
        words = ("proofs", batch, "--out", out)
        if not killed_at(step, out.parent, lambda words=words: rhcard(*words)):  # type: ignore[misc]
            break
        assert not out.exists() or out.read_bytes() == whole
        before = left_in(out.parent)
        again = rhcard("proofs", batch, "--out", out.with_name("other.pdf"))
        assert again.code == 0
        assert all(f"Removed {left}" in again.err for left in before)
        assert left_in(out.parent) == []
    else:
        raise AssertionError("too many steps")
    assert step > 4


@pytest.mark.parametrize("count", [(), ("--count", "2")])
def test_a_killed_emulator_new_leaves_no_half_card(tmp_path: Path, count: tuple[str, ...]) -> None:
    for step in range(1, MOST_STEPS):
        folder = tmp_path / f"at {step}"
        folder.mkdir()
        out = folder if count else folder / "a.card"
        words = ("emulator", "new", *count, "--out", out)
        if not killed_at(step, folder, lambda words=words: rhcard(*words)):  # type: ignore[misc]
            break
        for card in folder.glob("*.card"):
            SoftwareCard.open(card).close()
        before = left_in(folder)
        words = ("emulator", "new", *count, "--out", folder if count else folder / "b.card")
        again = rhcard(*words)
        assert again.code == 0
        assert all(f"Removed {left}" in again.err for left in before)
        assert left_in(folder) == []
    else:
        raise AssertionError("too many steps")
    assert step > 4


def test_an_unfinished_card_of_a_killed_issue_is_removed_by_the_next(
    tmp_path: Path, keys: Path
) -> None:
    batch, cards = tmp_path / "batch", tmp_path / "cards"
    words = ("prepare", residents(tmp_path, 1), "--keys", keys, "--out", batch)
    assert rhcard(*words, "--photos", SAMPLE.parent).code == 0
    cards.mkdir()
    left = left_behind(cards / "0123456789ABCDEF.card", folder=False)
    done = rhcard("issue", batch, "--cards", cards, "--make-blanks")
    assert (done.code, f"Removed {left}" in done.err, left.exists()) == (0, True, False)


def test_a_killed_demo_is_told_and_keeps_everything_in_its_folder(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    assert killed_at(25, out, lambda: rhcard("demo", "--out", out))
    done = rhcard("demo", "--out", out)
    assert (done.code, "a demonstration that was stopped" in done.err) == (Exit.USAGE, True)


def left_behind(path: Path, *, folder: bool) -> Path:
    """The unfinished file or folder of a process that was killed."""

    def work() -> None:
        with (unfinished_folder if folder else unfinished_file)(path):
            die()

    assert in_child(work) == -9
    (left,) = [
        each for each in path.parent.iterdir() if each.name.startswith(f".{path.name}{MARK}")
    ]
    return left


def test_what_is_still_written_is_not_removed(tmp_path: Path, keys: Path) -> None:
    out = tmp_path / "batch"
    words = ("prepare", residents(tmp_path, 1), "--keys", keys, "--photos", SAMPLE.parent, "--out")
    with unfinished_folder(out) as writing, unfinished_file(tmp_path / "keys.json") as written:
        done = rhcard(*words, out)
        assert (done.code, "another rhcard prepares" in done.err) == (Exit.JOURNAL_CONFLICT, True)
        assert rhcard(*words, tmp_path / "other").code == 0
        assert remove_unfinished_files(tmp_path) == []
        assert writing.is_dir() and written.is_file()
    assert rhcard(*words, out).code == 0


def test_a_folder_with_other_files_is_left_and_named(tmp_path: Path) -> None:
    left = left_behind(tmp_path / "batch", folder=True)
    (left / "records.bin").touch()
    (left / "journal.sqlite").touch()
    (told,) = clear_unfinished(tmp_path / "batch")
    assert str(left) in told and "other files" in told
    assert sorted(path.name for path in left.iterdir()) == ["journal.sqlite", "records.bin"]


def test_a_link_a_folder_of_files_and_a_file_of_folders_are_left(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "records.bin").touch()
    link = tmp_path / f".batch{MARK}12345678"
    link.symlink_to(target)
    assert clear_unfinished(tmp_path / "batch") == []
    assert remove_unfinished_files(tmp_path) == []
    folder = left_behind(tmp_path / "batch2", folder=True)
    assert remove_unfinished_files(tmp_path) == []
    file = left_behind(tmp_path / "keys", folder=False)
    assert len(clear_unfinished(tmp_path / "batch")) == 1
    assert (folder.exists(), file.exists(), link.is_symlink()) == (False, True, True)
    assert (target / "records.bin").exists()


def test_what_belongs_to_another_user_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = left_behind(tmp_path / "batch", folder=True)
    other = os.geteuid() + 1
    monkeypatch.setattr("os.geteuid", lambda: other)
    assert clear_unfinished(tmp_path / "batch") == []
    assert left.exists()


def test_names_that_only_look_like_it_are_left(tmp_path: Path) -> None:
    for name in ("batch", f".batch{MARK}1234567", f"batch{MARK}12345678", f".batch{MARK}"):
        (tmp_path / name).mkdir()
    assert clear_unfinished(tmp_path / "batch") == []
    assert len(list(tmp_path.iterdir())) == 4


def test_what_is_removed_just_when_it_was_made_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program may take it for left behind before it is locked."""
    import tempfile

    made: list[str] = []
    real = tempfile.mkdtemp

    def removed_at_first(*arguments: object, **options: object) -> str:
        made.append(real(*arguments, **options))  # type: ignore[call-overload]
        if len(made) == 1:
            os.rmdir(made[0])
        return made[-1]

    monkeypatch.setattr("tempfile.mkdtemp", removed_at_first)
    with unfinished_folder(tmp_path / "batch") as place:
        assert (str(place), place.is_dir(), len(made)) == (made[1], True, 2)
    assert list(tmp_path.iterdir()) == []
