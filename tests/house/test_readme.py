"""What the README shows works, and what it points at is there."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from tests import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])


def test_the_library_example_reads_emergency_data_with_states() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(blocks[0], "README.md", "exec"), {})
    lines = printed.getvalue().splitlines()
    assert lines[0] == "ABO blood group value AB"
    assert "Asthma negative no" in lines
    assert len(lines) == 15


def test_every_command_the_readme_shows_exists() -> None:
    from click import Group

    from personalize.cli import main as command

    text = (ROOT / "README.md").read_text("utf-8")
    context = command.make_context("rhcard", [], resilient_parsing=True)
    for name, sub in re.findall(r"^    rhcard (\w+) ?(\w*)", text, re.M):
        found = command.get_command(context, name)
        assert found is not None, name
        if isinstance(found, Group):
            assert found.get_command(context, sub) is not None, sub


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target
