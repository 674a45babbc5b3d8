"""Where and when a store's file is written: without hard links, killed at each step, by two.

No FAT can be mounted where these tests run, so `os.link` fails as it does there (EPERM). Killed
(SIGKILL) means before each step in the folder, one after the other, as if the power had gone.
"""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cardlib.errors import CardKeyError
from cardlib.keys.roots import new_roots, next_roots
from cardlib.keys.store.store_file import create, kept_beside, open_with_passphrase, read_header
from cardlib.keys.store.store_header import DamagedStore
from cardlib.unfinished import write_new
from tests.cards.bureau import die
from tests.programs.child import in_child

PASSPHRASE, ROOTS = "correct horse battery", new_roots()
STEPS = ("open", "os.", "tempfile.", "fcntl.flock")
MOST_STEPS = 60


def no_links(source: object, target: object, **_: object) -> None:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(source))


@pytest.fixture(params=["hard links", "no hard links"])
def has_links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param == "no hard links":
        monkeypatch.setattr(os, "link", no_links)
    return str(request.param) == "hard links"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bureau.keys"


def killed_at(step: int, folder: Path, work: Callable[[], object]) -> bool:
    """Do the work in a process that is killed before its step there; whether it came so far."""

    def doomed() -> None:
        steps = iter(range(1, step))

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            here = any(str(each).startswith(str(folder)) for each in arguments if each)
            if event.startswith(STEPS) and here and next(steps, None) is None:
                die()

        sys.addaudithook(watch)
        work()

    code = in_child(doomed)
    assert code in (0, -9)
    return code == -9


def names_in(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


def test_a_store_is_made_and_changed_there(path: Path, has_links: bool) -> None:
    store = create(path, ROOTS, passphrase=PASSPHRASE)
    store.with_version(next_roots(ROOTS)).replace(path)
    assert list(open_with_passphrase(path, PASSPHRASE).versions) == [1, 2]
    assert list(open_with_passphrase(kept_beside(path), PASSPHRASE).versions) == [1]
    assert names_in(path.parent) == {path.name, f"{path.name}.old"}


def test_nothing_is_overwritten_there(path: Path, has_links: bool) -> None:
    path.write_text("precious")
    with pytest.raises(CardKeyError, match="not overwritten"):
        create(path, ROOTS, passphrase=PASSPHRASE)
    assert path.read_text() == "precious" and names_in(path.parent) == {path.name}


def test_a_disk_that_fails_at_the_last_step_leaves_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_new(path, b"content")
    assert names_in(path.parent) == set()


def test_a_store_that_is_killed_while_it_is_made_is_whole_or_not_there(
    tmp_path: Path, has_links: bool
) -> None:
    """Without hard links it can also be empty: then nothing was made, and opening it says so."""
    found = set()
    for step in range(1, MOST_STEPS):
        path = tmp_path / f"at {step}" / "keys"
        path.parent.mkdir()
        if not killed_at(
            step,
            path.parent,
            lambda path=path: create(path, ROOTS, passphrase=PASSPHRASE),  # type: ignore[misc]
        ):
            break
        if not path.exists():
            found.add("not there")
        elif path.stat().st_size:
            assert open_with_passphrase(path, PASSPHRASE).roots(1) == ROOTS
            found.add("whole")
        else:
            with pytest.raises(DamagedStore, match=r"is empty.*delete it and make it again"):
                read_header(path)
            found.add("empty")
    else:
        raise AssertionError("too many steps")
    assert found == {"not there", "whole"} | (set() if has_links else {"empty"})


def test_a_store_that_is_killed_while_it_is_changed_is_the_old_or_the_new_one(
    tmp_path: Path, has_links: bool
) -> None:
    found = set()
    for step in range(1, MOST_STEPS):
        path = tmp_path / f"at {step}" / "keys"
        path.parent.mkdir()
        store = create(path, ROOTS, passphrase=PASSPHRASE)
        changed = store.with_version(next_roots(ROOTS))
        if not killed_at(
            step,
            path.parent,
            lambda path=path, changed=changed: changed.replace(path),  # type: ignore[misc]
        ):
            break
        versions = tuple(open_with_passphrase(path, PASSPHRASE).versions)
        if kept_beside(path).exists():
            assert list(open_with_passphrase(kept_beside(path), PASSPHRASE).versions) == [1]
        else:
            assert versions == (1,)
        found.add(versions)
    else:
        raise AssertionError("too many steps")
    assert found == {(1,), (1, 2)} and step > 6


def test_two_programs_that_change_a_store_do_not_lose_one_change(path: Path) -> None:
    create(path, ROOTS, passphrase=PASSPHRASE)
    one, other = (open_with_passphrase(path, PASSPHRASE) for _ in range(2))
    one.with_version(next_roots(ROOTS)).replace(path)
    before = path.read_bytes()
    with pytest.raises(CardKeyError, match="was changed by another program meanwhile"):
        other.with_version(next_roots(ROOTS)).replace(path)
    assert path.read_bytes() == before


def test_a_store_behind_a_symbolic_link_is_changed_where_it_is(path: Path, tmp_path: Path) -> None:
    create(path, ROOTS, passphrase=PASSPHRASE)
    link = tmp_path / "link"
    link.symlink_to(path)
    store = open_with_passphrase(link, PASSPHRASE)
    store.with_version(next_roots(ROOTS)).replace(link)
    assert link.is_symlink() and list(open_with_passphrase(path, PASSPHRASE).versions) == [1, 2]


def test_a_change_in_a_folder_that_cannot_be_written_leaves_the_file(path: Path) -> None:
    store = create(path, ROOTS, passphrase=PASSPHRASE)
    path.unlink()
    with pytest.raises(CardKeyError, match=r"No such file|meanwhile"):
        store.replace(path)
