"""Where output goes: data to stdout, everything for the eye of the operator to stderr."""

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console
    from rich.table import Table


def print_json(document: Mapping[str, Any]) -> None:
    """The one JSON document of a command, on stdout; readable in any locale."""
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "")
    text = json.dumps(document, ensure_ascii=encoding not in ("utf8", "gb18030"), indent=2)
    click.echo(text)


def print_error(message: str) -> None:
    """One line on stderr that says what is wrong and what to do."""
    click.echo(f"rhcard: {printable(message)}", err=True)


def say(message: str) -> None:
    """A line for the operator, on stderr."""
    click.echo(printable(message), err=True)


def printable(text: str) -> str:
    """Text with control characters shown as \\xNN: input and cards may hold terminal commands."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def data_console() -> "Console":
    """A console on stdout, for tables; plain when stdout is not a terminal."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def table(title: str, headings: Sequence[str]) -> "Table":
    """An empty table in the one style of rhcard."""
    from rich import box
    from rich.table import Table

    made = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for heading in headings:
        made.add_column(heading, overflow="fold")
    return made


@contextmanager
def progress(title: str, total: int) -> "Iterator[Callable[[], None]]":
    """A progress bar on stderr; gives the function to call after each step."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)
