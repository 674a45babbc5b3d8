"""rhcard pins: open the sealed PIN file for the mailer."""

from pathlib import Path

import click

from .bureau_choice import chosen_bureau, database_option
from .context import Context
from .exits import Exit
from .options import (
    batch_argument,
    batch_keys_option,
    json_option,
    passphrase_option,
    trusted_option,
)
from .output import print_error, print_table, say


@click.command(name="pins")
@batch_argument
@batch_keys_option
@database_option
@trusted_option
@passphrase_option
@json_option
@click.pass_obj
def command(context: Context, folder: Path) -> int:
    """Show the PINs of active cards, to print PIN letters.

    The PINs are not encrypted on stdout. Send them to the printer, not to a file.
    Nothing in the folder is changed. If one PIN is lost, the others are shown.

    \b
    Examples:
      rhcard pins batch
    """
    from ..production.mailer import letters

    batch, issuer, _ = context.batch(folder)
    mailing = letters(batch, issuer, chosen_bureau(context, issuer))
    code = Exit.FINISHED_WITH_FAILURES if mailing.problems else Exit.GOOD
    if context.as_json:
        rows = [letter.as_dict() for letter in mailing.letters]
        problems = {"problems": mailing.problems} if mailing.problems else {}
        return context.answer({"pins": rows, "not_active": mailing.not_active, **problems}, code)
    headings = ("card", "line", "chip", "card number", "name", "PIN")
    print_table("PINs", headings, [letter.as_row() for letter in mailing.letters])
    say(
        "A card is known by its chip: `rhcard readers` shows it; it is a software card's file name."
    )
    if mailing.not_active:
        one = mailing.not_active == 1
        cards = "1 card is" if one else f"{mailing.not_active} cards are"
        say(f"{cards} not active yet. {'Its PIN is' if one else 'Their PINs are'} not shown.")
    for problem in mailing.problems:
        print_error(problem)
    return code
