"""Each fault of the table prints what the page shows, and the remedy of the page removes it."""

import re
from collections.abc import Iterator

import pytest

from personalize.cli.exits import Exit
from tests.programs.pcscd import Pcscd

from .console import Examples
from .generated import REFERENCE
from .troubles import EXITS, PAGE, TROUBLES, Trouble, Workplace, provoked, shown_on

_HELP = "python -m tests.docs.troubles --write"


def _cases(*, of_readers: bool) -> list[object]:
    return [pytest.param(t, id=t.title) for t in TROUBLES if (t.scene is not None) is of_readers]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return Workplace(tmp_path_factory.mktemp("troubles"))


def compare(trouble: Trouble, place: Workplace, pcscd: Pcscd | None = None) -> None:
    shown = shown_on(PAGE.read_text("utf-8"))[trouble.title]
    printed = provoked(trouble, place, pcscd)
    same = Examples().matches(shown, printed, trouble.varies)
    assert same, f"--- the page shows\n{shown}\n--- it prints\n{printed}\n--- {_HELP}"


@pytest.mark.parametrize("trouble", _cases(of_readers=False))
def test_a_fault_prints_what_the_page_shows_and_the_remedy_works(
    trouble: Trouble, place: Workplace
) -> None:
    compare(trouble, place)


@pytest.mark.parametrize("trouble", _cases(of_readers=True))
def test_a_fault_of_a_reader_prints_what_the_page_shows_and_the_remedy_works(
    trouble: Trouble, place: Workplace, pcscd: Pcscd
) -> None:
    compare(trouble, place, pcscd)


def test_the_page_has_the_messages_of_the_table_and_no_others() -> None:
    assert list(shown_on(PAGE.read_text("utf-8"))) == [trouble.title for trouble in TROUBLES]


def test_every_exit_code_of_a_failure_has_a_message() -> None:
    assert {t.code for t in TROUBLES} | {Exit.INTERNAL} >= set(Exit) - {Exit.GOOD}


def test_what_the_page_of_exit_codes_says_of_a_command_is_made_to_happen() -> None:
    lines = [(trouble.code, line.split()) for trouble in TROUBLES for line in trouble.lines]
    unproved = {
        (code, command)
        for code, command in _rows()
        if not any(code is found and set(command.split()) <= set(line) for found, line in lines)
    }
    assert unproved == {(Exit.VERIFICATION_FAILED, "rhcard demo")}, "tests/cli/test_demo.py"


def _rows() -> Iterator[tuple[Exit, str]]:
    """The code and the command of each row of `What causes each code`, one command at a time."""
    page = (REFERENCE / "exit-codes.md").read_text("utf-8").split("## What causes each code")[1]
    codes = ""
    for given, commands, _ in re.findall(r"^\| (.*?)\| (.+?) \| (.*) \|$", page, re.MULTILINE):
        codes = re.sub(r"[^\d,]", "", given) or codes
        for command in re.findall(r"`([^`]+)`", commands):
            yield from ((EXITS[int(code)], f"rhcard {command}") for code in codes.split(","))
