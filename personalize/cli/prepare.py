"""rhcard prepare: check a list of residents and seal prepared cards into a batch."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .exits import Exit
from .options import json_option, keys_option, open_store, passphrase_option
from .output import print_error, print_json, print_line, print_table, progress, say

if TYPE_CHECKING:
    from cardlib.keys import Issuer

    from ..listing.list_faults import ListFault


@click.command(name="prepare")
@click.argument(
    "source", metavar="INPUT", type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@keys_option
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="BATCH", help="The new folder of the batch."
)
@click.option(
    "--encoding",
    type=click.Choice(["utf-8", "gb18030"]),
    default="utf-8",
    show_default=True,
    help="Encoding of INPUT.",
)
@click.option(
    "--photos",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Where photo_file begins; else the folder of INPUT.",
)
@click.option(
    "--issue-date",
    type=click.DateTime(["%Y-%m-%d", "%Y%m%d"]),
    metavar="YYYY-MM-DD",
    help="Date of issue on the cards; else today.",
)
@passphrase_option
@json_option
def command(
    source: Path,
    *,
    keys: Path | None,
    out: Path | None,
    encoding: str,
    photos: Path | None,
    issue_date: datetime | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> int:
    """Check a list of residents (CSV or JSON Lines) and prepare their cards.

    Every fault is reported, before a passphrase is asked for and before anything is written.
    """
    from ..listing.photos import PhotoShop
    from ..preparation.prepare import all_faults, make_all, read_list, validate
    from ..preparation.seal import described, seal

    on_cards = (issue_date or datetime.now()).date()
    residents = read_list(source, "gb18030" if encoding == "gb18030" else "utf-8")
    shop = PhotoShop(source.parent if photos is None else photos)
    validated = []
    with progress("Checking") as advance:
        for resident in validate(residents, shop, on_cards):
            validated.append(resident)
            advance(len(validated), len(residents.rows))
    if faults := all_faults(residents, validated):
        return _report(source, faults, as_json=as_json)
    store, keys, out = _open_store(source, keys, out, passphrase_file)
    cards = make_all(validated, shop, store, on_cards)
    header = seal(out, residents, cards, store, keys=keys, issue_date=on_cards)
    if as_json:
        print_json({"batch": str(out), **described(header), "faults": [], "exit_code": 0})
    else:
        print_line(f"{out}: {header.count} cards prepared")
        say(f"Next: rhcard issue {out} --cards DIR")
    return Exit.GOOD


def _open_store(
    source: Path, keys: Path | None, out: Path | None, passphrase_file: Path | None
) -> "tuple[Issuer, Path, Path]":
    """The issuer's keys, once the list has no fault: only now are they needed."""
    missing = [name for name, value in (("--keys", keys), ("--out", out)) if value is None]
    if keys is None or out is None:
        raise click.UsageError(
            f"{source} is good, but nothing was written: {' and '.join(missing)} missing"
        )
    if out.exists():
        raise click.UsageError(f"{out} exists already: name another --out BATCH")
    return open_store(keys, passphrase_file), keys, out


def _report(source: Path, faults: "Sequence[ListFault]", *, as_json: bool) -> int:
    count = f"{len(faults)} fault{'' if len(faults) == 1 else 's'}"
    message = f"{source}: {count}; nothing was written"
    if as_json:
        rows = [fault.as_dict() for fault in faults]
        print_json({"faults": rows, "error": message, "exit_code": int(Exit.BAD_INPUT)})
        return Exit.BAD_INPUT
    rows_of_text = ((str(f.line), f.field, f.value, f.problem, f.remedy) for f in faults)
    print_table(count, ("line", "field", "value", "problem", "remedy"), rows_of_text)
    print_error(message)
    return Exit.BAD_INPUT
