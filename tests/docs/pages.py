"""The pages of the documentation, and the fenced blocks in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOP_PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
PAGES = sorted([*(ROOT / name for name in TOP_PAGES), *(ROOT / "docs").rglob("*.md")])

_BLOCK = re.compile(
    r"(?P<notes>(?:^[ ]*<!-- [^\n]* -->\n)*)"
    r"^(?P<indent>[ ]*)```(?P<language>\w+)\n(?P<text>.*?)^[ ]*```$",
    re.MULTILINE | re.DOTALL,
)
_NOTE = re.compile(r"<!-- (?P<name>file|varies|not run|output)(?:: (?P<value>.*?))? -->")


@dataclass(frozen=True)
class Block:
    """A fenced block; `notes` are the HTML comments right above it, by name."""

    language: str
    text: str
    notes: dict[str, str]
    line: int
    start: int
    end: int


def name_of(page: Path) -> str:
    """A page's path from the root of the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a page, from its top; `start` and `end` enclose a block's text."""
    for match in _BLOCK.finditer(text):
        notes = {m["name"]: m["value"] or "" for m in _NOTE.finditer(match["notes"])}
        inside = re.sub(f"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        yield Block(
            language=match["language"],
            text=inside,
            notes=notes,
            line=text.count("\n", 0, match.start("indent")) + 1,
            start=match.start("text"),
            end=match.end("text"),
        )
