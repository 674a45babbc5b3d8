"""rhcard card-profile: what deployed cards do otherwise, and what one card answers."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from .context import Context
from .exits import Exit
from .options import json_option, one_card_options
from .output import command_line, print_line, print_table

if TYPE_CHECKING:
    from cardlib.card.discovery import Found
    from cardlib.layout.card_profile import Setting

    from ..terminal.reading import HowToRead
    from .cards import OpenedCard

    Own = Mapping[str, HowToRead]

_WHAT_IT_IS = {
    True: "It is a deployed card, or somebody between the card and you makes it look like one.",
    False: "It answers as a card of our own specification does.",
}
"""What follows from the answers, by whether the card is a deployed one."""


@click.group(name="card-profile")
def command() -> None:
    """Explain card profiles, and find out what a card answers.

    \b
    Examples:
      rhcard card-profile explain
      rhcard card-profile discover --reader 0
    """


@command.command()
@click.argument("name", metavar="[NAME]", required=False)
@json_option
@click.pass_obj
def explain(context: Context, name: str | None) -> int:
    """Show how card profiles differ, setting by setting.

    NAME is a profile or a setting. Of a profile only what it does otherwise than our
    specification is shown. `rhcard read --profile` takes a profile, --set one setting.

    Profiles of your own are listed too. You name them in the configuration file, $RHCARD_CONFIG or
    ~/.config/rhcard/rhcard.toml.

    \b
    Examples:
      rhcard card-profile explain
      rhcard card-profile explain field
      rhcard card-profile explain serial_place
    """
    rows, own = _rows(name)
    if context.as_json:
        return context.answer(
            {
                "settings": [_document(row) for row in rows],
                "own_profiles": [_own_document(name, how) for name, how in own.items()],
            }
        )
    if not rows:
        print_line(f"Profile {name} is the card specification: it differs from it in nothing.")
    for row in rows:
        marks = [(value, _used_by(row, value, own)) for value in row.choices]
        print_table(f"{row.name}: {row.meaning}", ("value", "profile"), marks)
    if own:
        _print_own(own)
    return Exit.GOOD


def _rows(name: str | None) -> "tuple[list[Setting], Own]":
    """The settings to show, and the user's own profiles to show beside those of the table."""
    from cardlib.layout.card_profile import PROFILES, SETTINGS

    if name and name in PROFILES:
        return list(PROFILES[name].differences()), {}
    from .configuration import load

    own = load().profiles
    if name and name in own:
        return list(own[name].profile.differences()), {name: own[name]}
    rows = [row for row in SETTINGS if name in (None, row.name)]
    if not rows:
        known = ", ".join((*PROFILES, *own, *(row.name for row in SETTINGS)))
        raise click.UsageError(f"there is no profile or setting {name!r}: use {known}")
    return rows, own


def _used_by(row: "Setting", value: str, own: "Own") -> str:
    names = [name for name, its_value in row.values.items() if its_value == value]
    names += [name for name, how in own.items() if getattr(how.profile, row.name) == value]
    return ", ".join(names)


def _document(row: "Setting") -> dict[str, object]:
    return {
        "setting": row.name,
        **row.values,
        "choices": list(row.choices),
        "meaning": row.meaning,
    }


def _own_document(name: str, how: "HowToRead") -> dict[str, Any]:
    from cardlib.layout.card_profile import SETTINGS

    profile, told = how.profile, how.field_card
    return {
        "profile": name,
        "base": profile.name,
        "cipher": told.cipher.name.lower() if told.cipher else None,
        "key_version": told.key_version,
        "settings": {
            row.name: getattr(profile, row.name)
            for row in SETTINGS
            if getattr(profile, row.name) != row.values[profile.name]
        },
    }


def _print_own(own: "Own") -> None:
    from .config_file import config_path

    documents = [_own_document(name, how) for name, how in own.items()]
    rows = [
        (
            each["profile"],
            each["base"],
            each["cipher"] or "",
            str(each["key_version"] or ""),
            ", ".join(f"{name}={value}" for name, value in each["settings"].items()),
        )
        for each in documents
    ]
    headings = ("profile", "base", "cipher", "key version", "other settings than the base")
    print_table(f"Your own profiles, from {config_path()}", headings, rows)


@command.command()
@one_card_options
@json_option
@click.pass_obj
def discover(context: Context, *, card_file: str | None, reader: str | None) -> int:
    """Find out what a card answers, and how to read it.

    The card is named by --card or --reader. Without them, it is the card in a reader, if only one
    reader has a card. The commands are SELECT and READ RECORD of the issuer's data. They change
    nothing, need no key, and spend no try.

    Nothing proves what a card answers without a key. If it should be a card of yours and does not
    say what it is, do not read it with --profile field.

    \b
    Examples:
      rhcard card-profile discover --reader 0
      rhcard card-profile discover --card CARD.card --json
    """
    from ..terminal.looking import answers_of, how_to_read
    from .cards import open_card

    with open_card(card_file, reader, read_only=True) as card:
        found = answers_of(card.connection)
    line = command_line("read", *_named(card, reader), *how_to_read(found))
    if context.as_json:
        return context.answer({**card.place, **_answers(found), "command": line})
    rows = [(each.setting, each.value, each.words) for each in found.observations]
    print_table("What the card answers", ("setting", "value", "what was found"), rows)
    print_line(_WHAT_IT_IS[found.is_deployed], f"To read it: {line}")
    return Exit.GOOD


def _named(card: "OpenedCard", reader: str | None) -> tuple[object, object]:
    """The option that names a card again: a reader as it was named, else by its name."""
    return ("--reader", reader or card.reader) if card.file is None else ("--card", card.file)


def _answers(found: "Found") -> dict[str, Any]:
    return {
        "deployed": found.is_deployed,
        "atr": found.atr.hex().upper(),
        "answers": [
            {"setting": each.setting, "value": each.value, "words": each.words}
            for each in found.observations
        ],
        "serial_places": {place: chip.hex().upper() for chip, place in found.serials.items()},
    }
