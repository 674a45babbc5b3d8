"""rhcard journal: verify the bureau's journal, make checkpoints, put lost events back."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cardlib.errors import FormatError, file_error

from .bureau_choice import (
    database_option,
    issuer_of,
    needed_database,
    station_of,
    station_option,
    stations_folder,
)
from .context import Context
from .exits import Exit
from .options import NewPath, configured_keys_option, json_option, passphrase_option
from .output import print_error, print_line, say

if TYPE_CHECKING:
    from ..register.checkpoints import Checkpoint, CheckpointSigner
    from ..register.station_file import KeptEvent

_LARGEST = 1 << 24
_SHOWN = 20


@click.group(name="journal")
def command() -> None:
    """Verify the bureau's journal, and mend it.

    \b
    Examples:
      rhcard journal verify --database bureau.sqlite --keys keys.json
    """


@command.command(name="verify")
@database_option
@configured_keys_option
@click.option(
    "--against",
    "files",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    metavar="CHECKPOINT",
    help="A checkpoint that was kept outside the database. May be repeated.",
)
@passphrase_option
@json_option
@click.pass_obj
def verify(context: Context, files: tuple[Path, ...]) -> int:
    """Tell the journal again from its events, and compare all rows.

    With the keys the seals of the checkpoints are checked too. A journal that is wholly rewritten
    is in order in itself: only --against a checkpoint that was kept elsewhere finds that.

    \b
    Examples:
      rhcard journal verify --database bureau.sqlite --keys keys.json
      rhcard journal verify --database bureau.sqlite --against friday.json
    """
    from ..register import verifying
    from ..register.opening import open_reader

    with open_reader(needed_database(context)) as reader:
        seal = _seal(context, reader.tag_key)
        points = [_checkpoint(path, seal) for path in files]
        verdict = verifying.verify(reader, seal, points)
    code = Exit.JOURNAL_CONFLICT if verdict.faults else Exit.GOOD
    counts = {
        "events": verdict.events, "stations": verdict.stations, "batches": verdict.batches,
        "cards": verdict.cards, "chips": verdict.chips, "checkpoints": verdict.checkpoints,
    }  # fmt: skip
    if context.as_json:
        return context.answer({**counts, "faults": list(verdict.faults)}, code)
    for fault in verdict.faults[:_SHOWN]:
        print_error(fault)
    if len(verdict.faults) > _SHOWN:
        say(f"{len(verdict.faults) - _SHOWN} more. --json gives every one.")
    told = ", ".join(f"{number} {name}" for name, number in counts.items())
    print_line(f"The journal is {'NOT ' if verdict.faults else ''}in order: {told}")
    return code


@command.command(name="checkpoint")
@database_option
@station_option
@configured_keys_option
@click.option(
    "--out", type=NewPath(), required=True, metavar="FILE", help="The new file of the checkpoint."
)
@passphrase_option
@json_option
@click.pass_obj
def checkpoint(context: Context, out: Path) -> int:
    """Make a checkpoint: the last event of every station, sealed.

    It is sealed with the issuer's keys (HMAC), not with a public signature.

    Keep the file outside the bureau, or print it. `rhcard journal verify --against` compares the
    journal with it.

    \b
    Examples:
      rhcard journal checkpoint --database bureau.sqlite --out today.json
    """
    from cardlib.unfinished import write_new

    from ..register.checkpoints import make_checkpoint
    from ..register.opening import open_reader, open_register

    where = needed_database(context)
    with open_reader(where) as reader:
        seal = _seal(context, reader.tag_key, needed=True)
        key = reader.tag_key
    with open_register(where, station_of(context), stations_folder(), key) as register:
        made = make_checkpoint(register, seal)
    write_new(out, json.dumps(made.as_dict(), indent=2).encode() + b"\n")
    if context.as_json:
        return context.answer({"file": str(out), **made.as_dict()})
    print_line(f"Checkpoint {made.number} of {len(made.heads)} stations is in {out}")
    say("Keep it outside the bureau.")
    return Exit.GOOD


@command.command(name="recover")
@database_option
@click.option(
    "--from",
    "folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    metavar="DIR",
    help="A folder with the own files (*.station) of all stations.",
)
@json_option
@click.pass_obj
def recover(context: Context, folder: Path) -> int:
    """Put events back that a database has lost.

    They come from the stations' own files. Use it when an older copy of the database was put back.
    First stop all stations, and copy their files into one folder. Cards that were begun then wait
    for their own chips. If cards were made since the copy was put back, and the two do not fit,
    nothing is changed and the cards are named.

    \b
    Examples:
      rhcard journal recover --database bureau.sqlite --from stations
    """
    from ..register.opening import open_reader
    from ..register.recovery import put_back

    kept = _kept(folder)
    with open_reader(needed_database(context)) as reader:
        count = put_back(reader.database, kept)
    if context.as_json:
        return context.answer({"put_back": count, "read": len(kept)})
    print_line(f"{count} of {len(kept)} events of the stations' files were put back")
    return Exit.GOOD


def _kept(folder: Path) -> "list[KeptEvent]":
    from ..register.station_file import SUFFIX, read_station_file

    paths = sorted(folder.glob(f"**/*{SUFFIX}"))
    if not paths:
        raise FormatError(f"{folder}: there is no station's own file (*{SUFFIX}) in it")
    return [each for path in paths for each in read_station_file(path)[1]]


def _seal(context: Context, tag_key: str, *, needed: bool = False) -> "CheckpointSigner":
    from ..production.checkpoint_seal import CheckpointSeal, UncheckedSeal

    context.take_configured_keys()
    if context.keys is None and context.agent is None and not needed:
        say("Without keys the seals of the checkpoints are not checked: give --keys FILE.")
        return UncheckedSeal()
    return CheckpointSeal(issuer_of(context)(tag_key).holder_hash)


def _checkpoint(path: Path, seal: "CheckpointSigner") -> "Checkpoint":
    from cardlib.errors import CardKeyError
    from cardlib.regular_file import read_regular

    from ..register.checkpoints import read_checkpoint

    try:
        return read_checkpoint(read_regular(path, _LARGEST), seal)
    except OSError as error:
        raise file_error(FormatError, error, path) from None
    except (FormatError, CardKeyError) as error:
        raise type(error)(f"{path}: {error}") from None
