"""rhcard sam issue with a key agent that runs: two custodians at the command line."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cardlib.crypto import Cipher
from cardlib.emulator.sam_card.software_sam import SoftwareSam
from cardlib.keys.roots import new_roots, public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.keys.store.store_file import create
from personalize.cli.exits import Exit
from tests.custody.agents import folder_in_memory
from tests.custody.people import files, person
from tests.programs.rhcard import Ran, rhcard, spawned

PEOPLE = [person(name) for name in ("ann", "bob")]
CHIP = b"SAM" + bytes(4) + b"\x05"
STOCK = {"own": f'["{CHIP.hex()}"]', "public": '"any"'}


@pytest.fixture(scope="module", params=["own", "public"])
def bureau(request: pytest.FixtureRequest) -> Iterator[tuple[str, Path]]:
    """A folder with an unlocked agent, whose store is under custodians."""
    kind = str(request.param)
    roots = new_roots(2, Cipher.SM4) if kind == "own" else public_test_roots(2, Cipher.SM4)
    with folder_in_memory() as folder:
        register = files(folder, PEOPLE)
        custodians = [(each.name, each.key.operator.wrapping) for each in PEOPLE]
        create(folder / "keys.json", roots, custodians=custodians)
        (folder / "policy.toml").write_text(
            f'operators = "{register}"\nstock = {STOCK[kind]}\n'
            f'[callers.desk]\nuid = {os.getuid()}\nrole = "custodian"\n'
        )
        blank = SoftwareSam.blank(CHIP, KeyStore(roots).blank_keys(CHIP))
        blank.save(folder / "blank.sam")
        blank.close()
        process = spawned(
            "agent", "run", "--policy", folder / "policy.toml", "--store", folder / "keys.json",
            "--state", folder / "state", "--socket", folder / "run" / "a.sock", "--test-keys",
        )  # fmt: skip
        try:
            until = time.monotonic() + 30
            while not (folder / "run" / "a.sock").exists():
                assert process.poll() is None and time.monotonic() < until
                time.sleep(0.05)
            done = rhcard(
                "agent", "unlock", "--socket", folder / "run" / "a.sock", *signs(folder, 2)
            )
            assert done.code == 0, done.err
            yield kind, folder
        finally:
            process.kill()
            process.communicate()


def signs(folder: Path, people: int) -> list[object]:
    words: list[object] = []
    for each in PEOPLE[:people]:
        words += ["--operator", folder / f"{each.name}.operator.json"]
        words += ["--operator-passphrase-file", folder / f"{each.name}.passphrase"]
    return words


def issued(folder: Path, *words: object, people: int = 2) -> Ran:
    return rhcard(
        "sam", "issue", "--roles", "emergency", "--socket", folder / "run" / "a.sock",
        *signs(folder, people), *words, passphrase=None,
    )  # fmt: skip


def test_a_blank_sam_is_loaded_for_two_custodians(bureau: tuple[str, Path]) -> None:
    kind, folder = bureau
    more = ["--test-keys"] if kind == "public" else []
    done = issued(folder, "--sam", folder / "blank.sam", "--limit", 7, *more)
    assert done.code == 0, done.err
    assert f"To sign: SAM {CHIP.hex().upper()}, roles emergency, limit 7" in done.err
    shown = rhcard("sam", "show", folder / "blank.sam", "--json").json
    assert shown["uses_left"] == 7
    assert "RK1_DF02" in shown["key_sets"][0]["keys"]
    again = issued(folder, "--sam", folder / "blank.sam", *more)
    assert (again.code, "with --renew" in again.err) == (Exit.KEY_PROBLEM, True)


def test_a_new_software_sam_is_made_with_public_keys_only(bureau: tuple[str, Path]) -> None:
    kind, folder = bureau
    done = issued(folder, "--out", folder / "new.sam", "--test-keys", "--json")
    if kind == "public":
        assert (done.code, done.json["roles"]) == (0, ["emergency"]), done.err
        assert rhcard("sam", "show", folder / "new.sam").code == 0
        return
    assert done.code == Exit.KEY_PROBLEM
    assert "gives out no transport keys" in done.json["error"] and "--sam" in done.json["error"]
    assert not (folder / "new.sam").exists()


@pytest.mark.parametrize("people", [0, 1])
def test_one_person_alone_is_refused_with_one_line(bureau: tuple[str, Path], people: int) -> None:
    _, folder = bureau
    done = issued(folder, "--sam", folder / "blank.sam", "--test-keys", people=people)
    assert (done.code, done.out, len(done.err.splitlines())) == (Exit.KEY_PROBLEM, "", 1)
    assert "load-sam needs 2 operators" in done.err


def test_public_keys_need_test_keys(bureau: tuple[str, Path]) -> None:
    kind, folder = bureau
    done = issued(folder, "--out", folder / "x.sam")
    words = {"public": "these are the published test keys", "own": "gives out no transport keys"}
    assert (done.code, words[kind] in done.err) == (Exit.KEY_PROBLEM, True)
