"""Parts of pages that are made from the code: one function a part, between two comments.

python -m tests.docs.generated --write    write all of them anew
"""

import sys
from collections.abc import Callable
from pathlib import Path

from .pages import ROOT

REFERENCE = ROOT / "docs" / "reference"


def with_part(text: str, name: str, part: str) -> str:
    """The page's text with a part written anew."""
    begin, end = f"<!-- made by tests/docs: {name} -->\n", f"<!-- end of {name} -->"
    head, rest = text.split(begin)
    return head + begin + part + end + rest.split(end)[1]


def write(page: Path, name: str, part: Callable[[], str]) -> None:
    """Write a part into its page, if asked to on the command line."""
    if sys.argv[1:] == ["--write"]:
        page.write_text(with_part(page.read_text("utf-8"), name, part()), encoding="utf-8")


if __name__ == "__main__":
    from . import (
        agent_page,
        card_page,
        cli_page,
        configuration_page,
        exits_page,
        fault_codes_page,
        operators_page,
        register_page,
        token_page,
        troubles,
    )

    pages = (
        agent_page, cli_page, card_page, configuration_page, exits_page, fault_codes_page,
        operators_page,
        register_page,
        token_page, troubles,
    )  # fmt: skip
    for module in pages:
        for name, part in module.PARTS.items():
            write(module.PAGE, name, part)
