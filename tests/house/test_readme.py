"""The README's first screen says what is so; tests/docs runs its commands and its examples."""

import re

from tests import ROOT
from tests.docs.shell import MAKE_DEMO

README = (ROOT / "README.md").read_text("utf-8")


def test_make_demo_is_the_command_that_the_readme_s_output_is_of() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert f"\ndemo: setup-run\n\t@.venv/bin/{MAKE_DEMO} $(DEMO_ARGS)\n" in makefile


def test_the_first_screen_has_the_commands_of_the_makefile_and_says_how_long_tests_take() -> None:
    shown = re.findall(r"^    (make \w+) +# (.*)", README, re.MULTILINE)
    assert [command for command, _ in shown] == ["make demo", "make test", "make soak"]
    assert "minutes" in dict(shown)["make test"]
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert all(f"\n{command.split()[1]}:" in makefile for command, _ in shown)


def test_the_first_screen_has_the_demo_the_way_and_three_doors() -> None:
    screen = README.split("## Install")[0]
    assert "$ make demo" in screen
    assert "```mermaid" in screen
    assert "| I issue cards | I read cards | I test software |" in screen


def test_the_readme_says_that_no_physical_card_was_tried() -> None:
    assert "No physical card and no physical reader was ever tried" in README


def test_the_samples_that_the_readme_names_are_in_the_repository() -> None:
    named = re.findall(r"[\w/]+/[\w-]+\.csv", README)
    assert len(named) == 3 + README.count("head -4")
    assert all((ROOT / name).is_file() for name in named)
