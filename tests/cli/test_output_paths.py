"""Where a command will write is checked first: before a passphrase is asked or a list is read."""

from collections.abc import Callable
from pathlib import Path

import pytest

from personalize.cli.exits import Exit
from tests.programs.rhcard import key_file, prepare, rhcard

SLOW = "/dev/zero"
"""In the place of the list: a command that read it first would say that it is no file."""


def without_a_parent(place: Path) -> Path:
    return place / "none" / "out"


def below_a_file(place: Path) -> Path:
    (place / "file").touch()
    return place / "file" / "out"


def there_already(place: Path) -> Path:
    (place / "out").mkdir()
    (place / "out" / "file").touch()
    return place / "out"


def a_dangling_link(place: Path) -> Path:
    (place / "out").symlink_to(place / "none")
    return place / "out"


def too_long(place: Path) -> Path:
    return place / ("o" * 230)


WRONG: list[tuple[Callable[[Path], Path], str]] = [
    (without_a_parent, "Make it first"),
    (below_a_file, "there is no folder"),
    (there_already, "exists already"),
    (a_dangling_link, "exists already"),
    (too_long, "220 bytes at most"),
]
COMMANDS: dict[str, tuple[str, ...]] = {
    "prepare": ("prepare", SLOW, "--keys", "none.json", "--out"),
    "keys new": ("keys", "new", "--out"),
    "emulator new": ("emulator", "new", "--keys", "none.json", "--out"),
    "proofs": ("proofs", ".", "--keys", "none.json", "--out"),
    "read": ("read", "none.card", "--keys", "none.json", "--photo"),
}
FOLDERS: dict[str, tuple[str, ...]] = {
    "emulator new": ("emulator", "new", "--count", "2", "--keys", "none.json", "--out"),
    "demo": ("demo", "--out"),
}
"""Commands that make a folder with the folders above it."""


@pytest.mark.parametrize(("wrong", "told"), WRONG)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_wrong_output_path_is_told_first(
    name: str, wrong: Callable[[Path], Path], told: str, tmp_path: Path
) -> None:
    done = rhcard(*COMMANDS[name], wrong(tmp_path), passphrase=None)
    assert (done.code, told in done.err) == (Exit.USAGE, True), done.err


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_below_a_file_is_told_first(name: str, tmp_path: Path) -> None:
    done = rhcard(*FOLDERS[name], below_a_file(tmp_path), passphrase=None)
    assert (done.code, "is not a folder" in done.err) == (Exit.USAGE, True), done.err


READ_ONLY = Path("/proc/self")
"""A folder that nobody may write, not even root."""


@pytest.mark.parametrize("name", [*COMMANDS, *FOLDERS])
def test_a_folder_that_cannot_be_written_is_told_first(name: str) -> None:
    words = COMMANDS.get(name) or FOLDERS[name]
    done = rhcard(*words, READ_ONLY / "out", passphrase=None)
    assert done.code == Exit.ENVIRONMENT, done.err
    assert f"{READ_ONLY}: Permission denied" in done.err


def test_the_folder_of_the_cards_is_checked_before_the_passphrase(tmp_path: Path) -> None:
    keys = key_file(tmp_path)
    batch = prepare(tmp_path, keys, 1)
    done = rhcard("issue", batch, "--cards", below_a_file(tmp_path), passphrase=None)
    assert (done.code, "is not a folder" in done.err) == (Exit.USAGE, True)


def test_a_key_store_that_is_not_there_is_told_before_the_list_is_read(tmp_path: Path) -> None:
    words = ("prepare", SLOW, "--keys", tmp_path / "none.json", "--out", tmp_path / "batch")
    done = rhcard(*words, passphrase=None)
    assert (done.code, "no key store at" in done.err) == (Exit.KEY_PROBLEM, True)
