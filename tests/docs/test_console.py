"""Every command and every Python example of the pages does what the page shows."""

import ast
import re
from pathlib import Path

import pytest

from .console import Examples, run_page, steps
from .pages import PAGES, blocks, name_of

REASONS = {
    "needs a card reader",
    "needs pcscd",
    "needs a fresh machine",
    "needs the internet",
    "runs until Ctrl-C",
    "is run by the tests of the fixtures",
    "is a pattern, not a command",
}
RUN = [page for page in PAGES if re.search(r"```(?:console|python)", page.read_text("utf-8"))]


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_a_page_shows_what_its_commands_print(page: Path, tmp_path: Path) -> None:
    differences, _ = run_page(page, tmp_path / "page")
    assert not differences, "\n".join(map(str, differences))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_block_that_is_not_run_says_why_and_is_python_at_least(page: Path) -> None:
    for block in blocks(page.read_text("utf-8")):
        if reason := block.notes.get("not run"):
            assert reason in REASONS, f"{name_of(page)}:{block.line}"
        if block.language == "python":
            ast.parse(block.text)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_command_of_ours_stands_outside_a_block_that_is_run(page: Path) -> None:
    text = page.read_text("utf-8")
    indented = re.findall(r"^ {4,}(?:\$ )?(?:rhcard|python -m) .*", text, re.MULTILINE)
    assert not indented or name_of(page) == "docs/reference/cli.md", indented
    for block in blocks(text):
        if block.language in ("sh", "bash", "shell") and "file" not in block.notes:
            pytest.fail(f"{name_of(page)}:{block.line}: use a block of language console")


def test_an_example_value_means_the_same_value_from_then_on() -> None:
    examples = Examples()
    shown = "chip 0123456789ABCDEF, 12 ms\n"
    assert examples.matches(shown, "chip FEDCBA9876543210, 7 ms\n", (r"\d\d",))
    assert examples.translate("read 0123456789ABCDEF.card") == "read FEDCBA9876543210.card"
    assert not examples.matches(shown, "chip 1111111111111111, 7 ms\n", (r"\d\d",))


def test_an_ellipsis_stands_for_text_or_for_lines() -> None:
    assert Examples().matches("a\n…\nz\n", "a\nb\nc\nz\n", ())
    assert Examples().matches("a … z\n", "a b c z\n", ())
    assert not Examples().matches("a\nz\n", "a\nb\nz\n", ())


def test_renewed_output_keeps_the_examples_and_the_ellipses_of_the_page() -> None:
    examples = Examples()
    shown = "chip 0123456789ABCDEF\nATR 3B …\nold\n"
    printed = "chip FEDCBA9876543210\nATR 3B 00\nnew\n"
    assert not examples.matches(shown, printed, ())
    assert examples.renewed(shown, printed, ()) == "chip 0123456789ABCDEF\nATR 3B …\nnew\n"


def test_renewed_output_leaves_out_what_the_page_leaves_out() -> None:
    shown = "a\nb\n…\ny\nold\n…\n"
    printed = "a\nb\nc\nd\ny\nold\nz\n"
    assert Examples().renewed(shown, printed, ()) == shown
    assert Examples().renewed(shown, "a\nb\nc\ny\nnew\n", ()) == "a\nb\n…\ny\nnew\n"


def test_a_command_may_go_on_in_the_next_line() -> None:
    (step,) = steps("$ rhcard prepare \\\n>     list.csv\nsaid\n")
    assert (step.command, step.shown) == ("rhcard prepare list.csv", "said\n")
