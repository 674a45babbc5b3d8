"""rhcard pins: open the sealed PIN file for the mailer."""

from pathlib import Path

import click

from .exits import Exit
from .options import batch_argument, json_option, keys_option, open_batch, passphrase_option
from .output import print_json, print_table, say


@click.command(name="pins")
@batch_argument
@keys_option
@passphrase_option
@json_option
def command(folder: Path, *, keys: Path | None, passphrase_file: Path | None, as_json: bool) -> int:
    """Show the PINs of BATCH's active cards, for the printer of PIN letters.

    They are shown in clear on stdout: send it to the printer, not to a file.
    """
    from ..production.mailer import letters

    batch, store = open_batch(folder, keys, passphrase_file)
    found, waiting = letters(batch, store)
    if as_json:
        rows = [letter.as_dict() for letter in found]
        print_json({"pins": rows, "not_active": waiting, "exit_code": int(Exit.GOOD)})
        return Exit.GOOD
    headings = ("card", "line", "chip", "card number", "name", "PIN")
    print_table("PINs", headings, [letter.as_row() for letter in found])
    if waiting:
        say(f"{waiting} cards are not active yet: no PIN is shown for them")
    return Exit.GOOD
