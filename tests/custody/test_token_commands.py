"""The commands that change keys, with an agent whose keys are in a token."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cardlib.crypto import Cipher
from cardlib.keys.roots import new_roots
from personalize.cli.exits import Exit
from personalize.custody.ceremony import split
from personalize.custody.component import check_value
from tests.custody.token_hosts import running, signers, source_with
from tests.programs.other_user import STATION, as_user
from tests.programs.rhcard import Ran, rhcard
from tests.programs.softhsm import PIN, SoftHsm

ROOT = bytes(range(16))


@pytest.fixture(scope="module")
def bureau(softhsm: SoftHsm) -> Iterator[Path]:
    """The folder of an agent that was unlocked."""
    source = source_with(softhsm, new_roots(2, Cipher.AES))
    with running(source, '"custodian"') as folder:
        done = run(folder, "agent", "unlock", *signers(folder, "ann", "bob"))
        assert done.code == 0, done.err
        yield folder


def run(folder: Path, *words: object) -> Ran:
    def work() -> Ran:
        os.environ["RHCARD_TOKEN_PIN"] = PIN
        return rhcard(*words, "--socket", folder / "run" / "agent.sock")

    return as_user(STATION, work)


def letters(folder: Path) -> list[object]:
    """A component in a file for each of two people."""
    words: list[object] = []
    for made in split("transport", Cipher.AES, ROOT, [bytes(range(1, 17))]):
        file = folder / f"letter-{made.number}.txt"
        file.write_text(f"{made.value.hex()}\n{made.check_value}\n")
        words += ["--component", file]
    return words


def test_two_people_rotate_bring_in_one_key_and_retire(bureau: Path) -> None:
    both = signers(bureau, "ann", "bob")
    rotated = run(bureau, "keys", "rotate", *both, "--json")
    assert (rotated.code, rotated.json["version"]) == (0, 2), rotated.err
    expected = check_value("transport", Cipher.AES, ROOT)
    words = ("keys", "import", "--key", "transport", *both, *letters(bureau))
    brought = run(bureau, *words, "--expect", expected, "--json")
    assert (brought.code, brought.json["version"]) == (0, 3), brought.err
    assert brought.json["check_values"]["transport"] == expected
    assert brought.json["check_values"]["issuer"] == rotated.json["check_values"]["issuer"]
    again = run(bureau, *words, "--expect", expected)
    assert (again.code, len(again.err.splitlines()[-1:])) == (Exit.KEY_PROBLEM, 1)
    assert "the token has this transport already: nothing was changed" in again.err
    for version, code in ((1, 0), (2, 0), (3, Exit.KEY_PROBLEM), (1, Exit.KEY_PROBLEM)):
        assert run(bureau, "keys", "retire", version, *both).code == code, version
    assert "Retire an old version." in run(bureau, "keys", "receipt", 4).out


def test_one_person_alone_changes_nothing(bureau: Path) -> None:
    for words in (("keys", "rotate"), ("keys", "retire", 1)):
        done = run(bureau, *words, *signers(bureau, "ann"))
        assert done.code == Exit.KEY_PROBLEM and "needs 2 operators" in done.err
