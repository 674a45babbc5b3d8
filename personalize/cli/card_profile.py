"""rhcard card-profile: what deployed cards do otherwise."""

from typing import TYPE_CHECKING

import click

from .context import Context
from .exits import Exit
from .options import json_option
from .output import print_line, print_table

if TYPE_CHECKING:
    from cardlib.layout.card_profile import Setting


@click.group(name="card-profile")
def command() -> None:
    """Explain the profiles: what deployed cards do otherwise.

    \b
    Examples:
      rhcard card-profile explain
    """


@command.command()
@click.argument("name", metavar="[NAME]", required=False)
@json_option
@click.pass_obj
def explain(context: Context, name: str | None) -> int:
    """Show how the profiles of cards differ, and what each setting means.

    NAME is a profile or a setting. Of a profile only what it does otherwise than our
    specification is shown. `rhcard read --profile` takes a profile, --set one setting.

    \b
    Examples:
      rhcard card-profile explain
      rhcard card-profile explain field
      rhcard card-profile explain serial_place
    """
    rows = _rows(name)
    if context.as_json:
        return context.answer({"settings": [_document(row) for row in rows]})
    if not rows:
        print_line(f"Profile {name} is the card specification: it differs from it in nothing.")
    for row in rows:
        marks = [(value, _used_by(row, value)) for value in row.choices]
        print_table(f"{row.name}: {row.meaning}", ("value", "profile"), marks)
    return Exit.GOOD


def _rows(name: str | None) -> "list[Setting]":
    from cardlib.layout.card_profile import PROFILES, SETTINGS

    if name is None:
        return list(SETTINGS)
    if name in PROFILES:
        return list(PROFILES[name].differences())
    rows = [row for row in SETTINGS if row.name == name]
    if not rows:
        known = ", ".join((*PROFILES, *(row.name for row in SETTINGS)))
        raise click.UsageError(f"there is no profile or setting {name!r}: use {known}")
    return rows


def _used_by(row: "Setting", value: str) -> str:
    return ", ".join(name for name, its_value in row.values.items() if its_value == value)


def _document(row: "Setting") -> dict[str, object]:
    return {
        "setting": row.name,
        **row.values,
        "choices": list(row.choices),
        "meaning": row.meaning,
    }
