"""Every command's help has an example, and each example runs."""

import re
import shutil
from itertools import pairwise
from pathlib import Path

import click
import pytest

from .cli_page import commands
from .pages import ROOT
from .shell import Shell, checkout

WITHOUT_EXAMPLE_YET: tuple[str, ...] = (
    "demo",
    "keys new",
    "prepare",
    "issue",
    "verify",
    "read",
    "pins",
    "emulator new",
    "emulator run",
    "emulator show",
)
"""Commands whose help has no example yet: this must shrink to nothing."""

ONLY_PARSED = ("emulator run",)
"""It runs until Ctrl-C, beside pcscd: its examples are parsed, and run by test_cli_emulator.py."""

PASSPHRASE = "correct horse battery staple"
LEAVES = {
    " ".join(words[1:]): command
    for words, command in commands()
    if not isinstance(command, click.Group)
}


def examples_of(command: click.Command) -> list[str]:
    """The lines of the paragraph that begins with Example: or Examples:."""
    found = re.search(r"^\s*Examples?:\s*\n(.*)", command.help or "", re.MULTILINE | re.DOTALL)
    lines = (found[1] if found else "").splitlines()
    return [line.strip().removeprefix("$ ") for line in lines if "rhcard" in line]


@pytest.mark.parametrize("name", LEAVES)
def test_every_command_has_an_example(name: str) -> None:
    assert bool(examples_of(LEAVES[name])) != (name in WITHOUT_EXAMPLE_YET)


@pytest.fixture(scope="session")
def bureau(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A bureau after each of its stages, with the names that the examples use."""
    stages: dict[str, Path] = {}
    shell = _shell(checkout(tmp_path_factory.mktemp("bureau") / "empty"))
    sample = ROOT / "personalize" / "sample"
    lines = (sample / "residents.csv").read_text("utf-8").splitlines(keepends=True)
    (shell.folder / "residents.csv").write_text("".join(lines[:4]), encoding="utf-8")
    shutil.copytree(sample / "photos", shell.folder / "photos")
    for stage, command in {
        "keys new": "rhcard keys new --out keys.json",
        "prepare": "rhcard prepare residents.csv --keys keys.json --out batch",
        "issue": "rhcard issue batch --cards cards",
    }.items():
        stages[stage] = Path(
            shutil.copytree(shell.folder, f"{shell.folder} {stage}", symlinks=True)
        )
        shell.run(command)
        assert shell.last_code == 0, command
    return {**stages, "": shell.folder}


def _make_cards(folder: Path, line: str) -> None:
    """The card files that an example reads, by the names that it gives them."""
    words = line.split()
    for before, word in pairwise(words):
        if word.endswith(".card") and before != "--out" and not (folder / word).exists():
            issued = next((folder / "cards").glob("*.card"))
            shutil.copy(issued, folder / word)


def _shell(folder: Path) -> Shell:
    return Shell(folder, {"RHCARD_PASSPHRASE": PASSPHRASE})


@pytest.mark.parametrize("name", LEAVES)
def test_the_examples_of_a_command_run(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    for number, line in enumerate(examples_of(LEAVES[name])):
        if name in ONLY_PARSED:
            words = line.split()[1 + len(name.split()) :]
            LEAVES[name].make_context(name, words, resilient_parsing=True)
            continue
        stages: dict[str, Path] = request.getfixturevalue("bureau")
        stage = stages.get(name, stages[""])
        shell = _shell(Path(shutil.copytree(stage, tmp_path / str(number), symlinks=True)))
        _make_cards(shell.folder, line)
        printed = shell.run(line)
        assert shell.last_code == 0, f"{line}\n{printed}"
