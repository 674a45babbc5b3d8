"""Prints results to stdout, and messages for the operator to stderr."""

import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click

_WIDEST_COLUMN = 80
"""Without a terminal, a longer cell is printed whole, and the rest of its row is moved right."""
_BYTE = re.compile("[\udc80-\udcff]")
"""A byte of a path that is not UTF-8, as Python keeps it (PEP 383)."""


class Styled(NamedTuple):
    """A table's cell with the style that it has on a terminal, such as "bold red"."""

    text: str
    style: str


def print_json(document: Mapping[str, Any]) -> None:
    """The one JSON document of a command, on stdout; readable in any locale."""
    import json

    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "")
    click.echo(json.dumps(document, ensure_ascii=encoding != "utf8", indent=2))


def print_line(*lines: str) -> None:
    """Lines of data, on stdout. A value in a line cannot begin another line."""
    for line in lines:
        click.echo(printable(line))


def print_error(message: str) -> None:
    """One line on stderr that says what is wrong and what to do."""
    click.echo(f"rhcard: {printable(message)}", err=True)


def say(message: str) -> None:
    """A line for the operator, on stderr."""
    click.echo(printable(message), err=True)


def command_line(*words: object) -> str:
    """A command of rhcard as it can be pasted into a shell: called as this program was called."""
    import shutil

    called = Path(sys.argv[0])
    found = shutil.which("rhcard")
    by_path = called.name == "rhcard" and not (found and Path(found).resolve() == called.resolve())
    program = str(called) if by_path else "rhcard"
    return " ".join(_quoted(word) for word in (program, *words))


def say_removed(places: Iterable[Path]) -> None:
    """Say which unfinished files were removed."""
    for place in places:
        say(f"Removed {place}: a stopped rhcard left it, and it was not complete")


def say_where(cards: Path) -> None:
    """Say how to look at a card of a table that shows chips."""
    say(f"To look at a card: {command_line('read')} CHIP --cards {_quoted(cards)}")


def printable(text: str) -> str:
    """Text in one line, with control characters shown as \\xNN or \\n.

    Input and cards may hold terminal commands, and a line that looks like one of ours.
    """
    if text.isascii() and text.isprintable():
        return text
    from cardlib.layout.characters import printable as visible

    return visible(_BYTE.sub(_as_escape, text))


def _as_escape(undecoded: re.Match[str]) -> str:
    r"""A byte of a path that is not UTF-8, as a shell's $'...' takes it: \xFF."""
    return f"\\x{ord(undecoded[0]) - 0xDC00:02x}"


def _quoted(word: object) -> str:
    """A word for a shell. A path that begins with a dash must not look like an option.

    With bytes that are not UTF-8 it has the form that bash, zsh and ksh take: $'…'.
    """
    text = f"./{word}" if isinstance(word, Path) and str(word).startswith("-") else str(word)
    if not _BYTE.search(text):
        return shlex.quote(text)
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{_BYTE.sub(_as_escape, escaped)}'"


def print_table(
    title: str, headings: Sequence[str], rows: Iterable[Sequence[str | Styled]]
) -> None:
    """A table on stdout; cells are taken as they are, never as markup.

    On a terminal, cells are folded to its width. Else a row is one line, and nothing is cut: its
    length follows from its own cells.
    """
    cells = [[Styled(c, "") if isinstance(c, str) else c for c in row] for row in rows]
    if sys.stdout.isatty():
        _print_folded(title, headings, cells)
    else:
        plain = [[printable(cell.text) for cell in row] for row in cells]
        click.echo("\n".join([title, "", *_lines(headings, plain), ""]))


def _print_folded(title: str, headings: Sequence[str], rows: Iterable[Sequence[Styled]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell.text), cell.style) for cell in row))
    console = Console(file=sys.stdout, highlight=False)
    console.print(Text(title, "bold"), table, sep="\n")


def _lines(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a table without a terminal, in columns; Chinese characters are two wide."""
    from rich.cells import cell_len

    widths = [
        min(max(cell_len(row[index]) for row in (headings, *rows)), _WIDEST_COLUMN)
        for index in range(len(headings))
    ]

    def line(row: Sequence[str]) -> str:
        padded = (
            cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)
        )
        return f"  {'   '.join(padded)}".rstrip()

    yield line(headings)
    yield " " + "─" * (sum(widths) + 3 * len(widths) - 1)
    yield from map(line, rows)


@contextmanager
def progress(title: str, *, shown: bool = True) -> Iterator[Callable[[int, int], None]]:
    """Show a bar, the rate and the time left, on a terminal only: a log gets none.

    Gives a function to call with (done, in all). The bar ends with the last step, so that a prompt
    may follow.
    """
    if not shown or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    stderr = Console(file=sys.stderr)
    bar = Progress(TextColumn(title), *columns, TimeRemainingColumn(), console=stderr)
    task = bar.add_task(title, total=None, rate="")

    def advance(done: int, total: int) -> None:
        elapsed = bar.tasks[0].elapsed
        rate = f"{60 * done / elapsed:,.0f} a minute" if elapsed else ""
        bar.update(task, completed=done, total=total, rate=rate)
        if done == total:
            stop()

    def stop() -> None:
        if bar.live.is_started:
            bar.stop()

    bar.start()
    try:
        yield advance
    finally:
        stop()
