"""Blocks ```console: lines with `$ ` are commands, the lines below each are what it prints.

What differs from run to run may differ:

- `…` in a line stands for any text, a line that is only `…` for any number of lines;
- 16 or 32 hexadecimal digits (a chip serial, a key store's identity) are an example. The first
  one met is whatever the command printed, and from then on it means that one, also in commands;
- words that fit a pattern given above the block, `<!-- varies: \\d{6} -->` for a PIN, stand for any
  number, and so do the figures in a line about cards a minute.

`<!-- file: NAME -->` above any block writes the block into a file of the page's folder.
`<!-- not run: REASON -->` says why a block cannot be run by a test.

    python -m tests.docs.console --write      put the output of today into the pages
"""

import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .pages import PAGES, Block, blocks, name_of
from .shell import Shell, checkout

_EXAMPLE = re.compile(r"\b(?:[0-9A-F]{16}|[0-9a-f]{32})\b")
_PIECE = re.compile(_EXAMPLE.pattern + r"|…|[0-9A-Za-z][0-9A-Za-z,.]*|[^0-9A-Za-z…]+|.", re.DOTALL)
_RULE = re.compile(" ─+")
"""The line below a table's header; it is as long as the widest figures make it."""


@dataclass(frozen=True)
class Step:
    """A command line, as it is run and as it is written, and the output that the page shows."""

    command: str
    written: str
    shown: str


def steps(text: str) -> Iterator[Step]:
    """The commands of a block, each with what follows it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        written = f"$ {command}\n"
        while command.endswith("\\"):
            more, _, shown = shown.partition("\n")
            command = command[:-1] + more.removeprefix("> ").strip()
            written += f"{more}\n"
        yield Step(command, written, shown)


@dataclass
class Examples:
    """The values that a page shows as examples, with those of this run."""

    real: dict[str, str] = field(default_factory=dict)

    def translate(self, command: str) -> str:
        """The command with this run's values in it."""
        return _EXAMPLE.sub(lambda m: self.real.get(m[0], m[0]), command)

    def matches(self, shown: str, printed: str, varies: tuple[str, ...]) -> bool:
        """Whether the output is what the page shows; learns the values met for the first time."""
        learned: list[str] = []
        pattern = self._pattern(_stripped(shown), varies, learned)
        match = re.fullmatch(pattern, _stripped(printed) + "\n")
        if match is None:
            return False
        self.real.update(zip(learned, match.groups(), strict=True))
        return True

    def _pattern(self, shown: str, varies: tuple[str, ...], learned: list[str]) -> str:
        lines = []
        for line in shown.split("\n"):
            loose = (*varies, r"[\d,.]+") if "cards a minute" in line else varies
            pieces = (self._piece(piece, loose, learned) for piece in _PIECE.findall(line))
            if line == "…":
                lines.append(r"(?:.*\n)*?")
            else:
                lines.append((" ─+" if _RULE.fullmatch(line) else "".join(pieces)) + "\n")
        return "".join(lines)

    def _piece(self, piece: str, varies: tuple[str, ...], learned: list[str]) -> str:
        if piece == "…":
            return ".*?"
        if any(re.fullmatch(word, piece) for word in varies):
            return r"[\d,.]+"
        if not _EXAMPLE.fullmatch(piece):
            return re.escape(piece)
        if piece in self.real:
            return re.escape(self.real[piece])
        if piece in learned:
            return rf"\{learned.index(piece) + 1}"
        learned.append(piece)
        kind = "A-F" if len(piece) == 16 else "a-f"
        return f"([0-9{kind}]{{{len(piece)}}})"

    def renewed(self, shown: str, printed: str, varies: tuple[str, ...]) -> str:
        """This run's output with the page's example values, and the page's lines with `…`."""
        old, new = (dict.fromkeys(_EXAMPLE.findall(text)) for text in (shown, printed))
        unknown = [value for value in old if value not in self.real]
        fresh = [value for value in new if value not in self.real.values()]
        if len(unknown) == len(fresh):
            self.real.update(zip(unknown, fresh, strict=True))
        page = {real: value for value, real in self.real.items()}
        kept = [line for line in shown.splitlines() if "…" in line and line != "…"]
        lines = []
        for line in _stripped(printed).splitlines():
            same = (old for old in kept if Examples(dict(self.real)).matches(old, line, varies))
            lines.append(next(same, _EXAMPLE.sub(lambda m: page.get(m[0], m[0]), line)))
        return _left_out(_stripped(shown).splitlines(), lines) + "\n"


def _left_out(shown: list[str], new: list[str]) -> str:
    """The new lines, with `…` again between the neighbours that it has on the page."""
    kept: list[str] = []
    for number, line in enumerate(shown):
        after = shown[number + 1] if number + 1 < len(shown) else None
        if line != "…" or (after is not None and after not in new):
            continue
        before = shown[number - 1] if number else None
        if before is not None and before not in new:
            continue
        start = new.index(before) + 1 if before is not None else 0
        end = new.index(after, start) if after in new[start:] else len(new)
        kept += [*new[:start], "…"]
        new = new[end:]
    return "\n".join([*kept, *new])


def _varies(block: Block) -> tuple[str, ...]:
    return tuple(block.notes.get("varies", "").split())


def _stripped(text: str) -> str:
    """Without blanks at the ends of lines, and without empty lines at the end."""
    return "\n".join(line.rstrip() for line in text.splitlines()).rstrip("\n")


@dataclass(frozen=True)
class Difference:
    """A command of a page that prints something else than the page shows."""

    page: str
    line: int
    command: str
    shown: str
    printed: str

    def __str__(self) -> str:
        return (
            f"{self.page}:{self.line}: $ {self.command}\n--- the page shows\n{self.shown}\n"
            f"--- it prints\n{self.printed}\n--- python -m tests.docs.console --write"
        )


class PageRun:
    """One run of a page, block by block."""

    def __init__(self, page: Path, folder: Path) -> None:
        """Make the page's folder; `run` does the rest."""
        self.name = name_of(page)
        self.shell = Shell(checkout(folder))
        self.examples = Examples()
        self.differences: list[Difference] = []
        self.printed = ""

    def run(self, block: Block) -> str:
        """Run a block, note what differs, and return the block as it should be shown."""
        if name := block.notes.get("file"):
            (self.shell.folder / name).write_text(block.text, encoding="utf-8")
        if "not run" in block.notes:
            return block.text
        if block.language == "console":
            return self._console(block)
        if block.language == "python":
            self.printed = self.shell.python(block.text, f"{self.name}:{block.line}")
        elif "output" in block.notes and not self.matches(block, block.text, self.printed):
            self._differ(block, "the Python block above", block.text, self.printed)
            return _stripped(self.printed) + "\n"
        return block.text

    def matches(self, block: Block, shown: str, printed: str) -> bool:
        """Whether something printed is what the block shows."""
        return self.examples.matches(shown, printed, _varies(block))

    def _console(self, block: Block) -> str:
        lines = []
        for step in steps(block.text):
            printed = self.shell.run(self.examples.translate(step.command))
            shown = step.shown
            if not self.matches(block, shown, printed):
                self._differ(block, step.command, shown, printed)
                shown = self.examples.renewed(shown, printed, _varies(block))
            lines += [step.written, shown]
        return "".join(lines)

    def _differ(self, block: Block, command: str, shown: str, printed: str) -> None:
        difference = Difference(self.name, block.line, command, shown, printed)
        self.differences.append(difference)


def run_page(page: Path, folder: Path) -> tuple[list[Difference], str]:
    """Run all blocks of a page; what differs, and the page with the output of this run."""
    text, run, shift = page.read_text(encoding="utf-8"), PageRun(page, folder), 0
    renewed = text
    for block in blocks(text):
        new = run.run(block)
        if new != block.text:
            renewed = renewed[: block.start + shift] + new + renewed[block.end + shift :]
            shift += len(new) - (block.end - block.start)
    return run.differences, renewed


def write_all() -> None:
    """Put today's output into every page that differs."""
    for page in PAGES:
        with tempfile.TemporaryDirectory() as folder:
            differences, renewed = run_page(page, Path(folder) / "page")
        if differences:
            page.write_text(renewed, encoding="utf-8")
            print(f"{name_of(page)}: {len(differences)} renewed")  # noqa: T201


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    write_all()
