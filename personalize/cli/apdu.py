"""rhcard apdu: run a script of APDUs on a card and show what it answered."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from .context import Context
from .exits import Exit
from .options import (
    json_option,
    keys_option,
    one_card_options,
    passphrase_option,
    profile_options,
    sam_options,
)
from .output import print_line
from .terminal_keys import terminal_keys

if TYPE_CHECKING:
    from cardlib.script import Outcome, Script


@click.group(name="apdu")
def command() -> None:
    """Run scripts of card commands, with what they expect.

    \b
    Examples:
      rhcard apdu list
      rhcard apdu run identify --card CARD.card
    """


@command.command(name="list")
@json_option
@click.pass_obj
def list_scripts(context: Context) -> int:
    """List the scripts that rhcard comes with.

    \b
    Examples:
      rhcard apdu list
    """
    from apdu_scripts import load, names

    titles = {name: load(name).title for name in names()}
    if context.as_json:
        rows = [{"name": name, "title": title} for name, title in titles.items()]
        return context.answer({"scripts": rows})
    for name, title in titles.items():
        print_line(f"{name:22}{title}")
    return Exit.GOOD


@command.command()
@click.argument("script", metavar="NAME|FILE")
@one_card_options
@click.option(
    "--short-only",
    is_flag=True,
    help="In a session, send no command of more than 255 bytes: the reader cannot carry it.",
)
@keys_option
@sam_options
@click.option(
    "--unprotected",
    is_flag=True,
    help="Send every command as it is written, also a PIN, personal data or a change in clear.",
)
@profile_options
@passphrase_option
@json_option
@click.pass_obj
def run(
    context: Context,
    script: str,
    *,
    card_file: str | None,
    reader: str | None,
    short_only: bool,
    unprotected: bool,
) -> int:
    """Run a script on a card and compare its answers.

    The card is named by --card or --reader. Without them, it is the card in a reader, if only one
    reader has a card.

    The script is one that rhcard comes with (see `rhcard apdu list`), or a file. With --keys, the
    runner authenticates at the `#! authenticate` lines. Without it, those lines are skipped, as in
    scriptor. Answers are shown as they are: they may contain personal data.

    A PIN, personal data or a change is not sent in clear to a card of spec 2.0: the run stops there
    with exit code 3. --unprotected allows it, for tests of what a card must refuse.

    A deployed card may not say what it is. With --profile field it is asked for its region first,
    and where its chip serial is, and is taken to be of spec 1.0, because you say so.

    If a status word is not as expected, the exit code is 5. If only data is not as expected, it
    is 6.

    \b
    Examples:
      rhcard apdu run identify --card CARD.card
      rhcard apdu run read_emergency_data --card CARD.card --keys keys.json
    """
    from cardlib.script import Runner

    from .cards import check_named, open_card
    from .profile_choice import chosen

    how, opened = chosen(context), _script(script)
    check_named(card_file, reader)
    keys = terminal_keys(context)
    with open_card(card_file, reader, besides=context.sam_reader) as card:
        runner = Runner(
            card.connection,
            keys,
            short_only=short_only,
            unprotected=unprotected,
            profile=how.profile,
            field_card=how.field_card,
        )
        outcomes = _shown(context, runner.run(opened))
    return _finish(context, opened, outcomes)


def _script(name: str) -> "Script":
    from apdu_scripts import load

    try:
        return load(name)
    except FileNotFoundError:
        raise click.UsageError(
            f"{name}: there is no such script. Give a name from `rhcard apdu list`, or a file."
        ) from None


def _shown(context: Context, outcomes: "Iterator[Outcome]") -> "list[Outcome]":
    """Run to the end; each step is shown when it is done."""
    from ..terminal.script_report import as_text

    done: list[Outcome] = []
    for outcome in outcomes:
        done.append(outcome)
        if not context.as_json:
            print_line(*as_text(outcome))
    return done


def _finish(context: Context, script: "Script", outcomes: "list[Outcome]") -> Exit:
    from ..terminal.script_report import as_json, summary

    differences = [outcome.difference for outcome in outcomes if outcome.difference]
    code = Exit.GOOD
    if differences:
        only_data = all(difference.in_data for difference in differences)
        code = Exit.VERIFICATION_FAILED if only_data else Exit.REFUSED
    if context.as_json:
        return context.answer(as_json(script, outcomes), code)
    print_line(summary(script, outcomes))
    return code
