"""rhcard pins: open the sealed PIN file for the mailer."""

from pathlib import Path

import click

from .context import Context
from .exits import Exit
from .options import batch_argument, batch_keys_option, json_option, passphrase_option
from .output import print_table, say


@click.command(name="pins")
@batch_argument
@batch_keys_option
@passphrase_option
@json_option
@click.pass_obj
def command(context: Context, folder: Path) -> int:
    """Show the PINs of active cards, to print PIN letters.

    The PINs are not encrypted on stdout. Send them to the printer, not to a file.

    \b
    Examples:
      rhcard pins batch
    """
    from ..production.mailer import letters

    batch, store = context.batch(folder)
    found, waiting = letters(batch, store)
    if context.as_json:
        rows = [letter.as_dict() for letter in found]
        return context.answer({"pins": rows, "not_active": waiting})
    headings = ("card", "line", "chip", "card number", "name", "PIN")
    print_table("PINs", headings, [letter.as_row() for letter in found])
    say("The cards are in the folder that was given to `rhcard issue` as --cards.")
    if waiting:
        say(f"{waiting} cards are not active yet. Their PINs are not shown.")
    return Exit.GOOD
