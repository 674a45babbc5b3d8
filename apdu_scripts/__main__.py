"""`python -m apdu_scripts NAME --card CARD`: run a script on a card and show what it answered."""

import json
import os
import sys
from contextlib import closing, contextmanager
from enum import IntEnum
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cardlib.errors import CardError, CardKeyError, FormatError, TransportError
from cardlib.layout.characters import printable
from cardlib.script.language import Script
from cardlib.script.runner import Outcome, Runner
from cardlib.script.show import as_json, as_text, summary

from . import load, names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cardlib.exchange import Connection
    from cardlib.keys import KeySet

_PASSPHRASE = "RHCARD_PASSPHRASE"
_LONGEST_PASSPHRASE = 4096


class Exit(IntEnum):
    """Exit codes, those of rhcard."""

    words: str

    def __new__(cls, value: int, words: str) -> "Exit":
        member = int.__new__(cls, value)
        member._value_ = value
        member.words = words
        return member

    GOOD = 0, "every answer was as the script expects"
    USAGE = 2, "usage: an option or argument is wrong"
    BAD_INPUT = 3, "the script has a line that is none"
    NO_CARD = 4, "no reader or card, a damaged card image, or a card that does not answer"
    REFUSED = 5, "an answer's status word is not the expected one"
    DATA_DIFFERS = 6, "status words as expected, but data of an answer is not"
    KEY_PROBLEM = 9, "key problem: a wrong passphrase, or keys that are not this card's"


def _epilog() -> str:
    return "\b\nExit codes:\n" + "\n".join(f"{code:5d}  {code.words}" for code in Exit)


def _list_scripts(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        for name in names():
            click.echo(f"{name:22}{load(name).title}")
        context.exit()


@click.command(epilog=_epilog())
@click.argument("script", metavar="NAME|FILE")
@click.option(
    "--card",
    "image",
    type=click.Path(path_type=Path),
    metavar="CARD",
    help="The card: image file of a software card.",
)
@click.option(
    "--reader",
    metavar="NAME",
    help="The card: in this PC/SC reader, by its name, a part of it, or its number.",
)
@click.option(
    "--keys",
    type=click.Path(path_type=Path),
    metavar="STORE",
    help="Key store: authenticate where the script says so.",
)
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"First line: the key store's passphrase. Else {_PASSPHRASE}, else a prompt.",
)
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON document.")
@click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_scripts,
    help="Name the scripts that come along, and stop.",
)
def run(
    script: str,
    image: Path | None,
    reader: str | None,
    keys: Path | None,
    passphrase_file: Path | None,
    json_wanted: bool,
) -> None:
    """Run a script on a card: one that comes along, by its name, or a file.

    Without keys the card is seen as everybody sees it, and as scriptor does. The answers are
    shown as they are: personal data in them too.
    """
    if (image is None) == (reader is None):
        raise click.UsageError("one card is needed: --card CARD or --reader NAME")
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        opened = load(script)
        key_set = _key_set(keys, passphrase_file) if keys else None
        with _card(image, reader) as card:
            code = _run(opened, Runner(card, key_set), json_wanted)
    except BrokenPipeError:
        raise
    except (CardError, OSError) as error:
        code = _exit_of(error)
        if json_wanted:
            click.echo(json.dumps({"error": _say(error), "exit_code": code}, indent=2))
        else:
            click.echo(f"apdu_scripts: {printable(_say(error))}", err=True)
    sys.exit(code)


@contextmanager
def _card(image: Path | None, reader: str | None) -> "Iterator[Connection]":
    """The card of the command line, and nobody else's as long as the script runs."""
    if image is not None:
        from cardlib.emulator import SoftwareCard

        with closing(SoftwareCard.open(image)) as software_card:
            yield software_card
    else:
        from cardlib.transport.pcsc import open_reader

        with open_reader(reader) as connection, connection.transaction():
            yield connection


def _run(script: Script, runner: Runner, json_wanted: bool) -> Exit:
    outcomes: list[Outcome] = []
    for outcome in runner.run(script):
        outcomes.append(outcome)
        if not json_wanted:
            click.echo("\n".join(as_text(outcome)))
    if json_wanted:
        click.echo(json.dumps(as_json(script, outcomes), indent=2))
    else:
        click.echo(summary(script, outcomes))
    return _exit_after(outcomes)


def _exit_after(outcomes: "list[Outcome]") -> Exit:
    differences = [outcome.difference for outcome in outcomes if outcome.difference]
    if not differences:
        return Exit.GOOD
    return Exit.DATA_DIFFERS if all(each.in_data for each in differences) else Exit.REFUSED


def _exit_of(error: CardError | OSError) -> Exit:
    from cardlib.emulator import CardImageError

    if isinstance(error, CardKeyError):
        return Exit.KEY_PROBLEM
    if isinstance(error, CardImageError | TransportError):
        return Exit.NO_CARD
    if isinstance(error, FormatError):
        return Exit.BAD_INPUT
    return Exit.USAGE if isinstance(error, OSError) else Exit.REFUSED


def _say(error: CardError | OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{error.filename}: neither a script that comes along (--list) nor a file"
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _key_set(store: Path, passphrase_file: Path | None) -> "KeySet":
    from cardlib.keys.store import KeyStore

    return KeyStore.open(store, _passphrase(passphrase_file)).terminal_keys


def _passphrase(file: Path | None) -> str:
    if file is not None:
        return _first_line(file)
    if passphrase := os.environ.get(_PASSPHRASE):
        return passphrase
    if not sys.stdin.isatty():
        raise CardKeyError(f"no passphrase: set {_PASSPHRASE} or give --passphrase-file FILE")
    return str(click.prompt("Passphrase of the key store", hide_input=True, err=True))


def _first_line(file: Path) -> str:
    try:
        with file.open(encoding="utf-8") as lines:
            return lines.readline(_LONGEST_PASSPHRASE).rstrip("\r\n")
    except OSError as error:
        raise CardKeyError(f"passphrase file {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CardKeyError(f"passphrase file {file}: not UTF-8 text") from None


if __name__ == "__main__":
    run()
