"""rhcard keys passphrase, migrate, rotate and retire: change a key store that a passphrase opens.

The file of before is kept beside it as FILE.old.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cardlib.errors import CardKeyError

from .context import NEW_ENVIRONMENT, Context
from .custodian_files import Custodians, custodian_options
from .exits import Exit
from .keys_ceremony import retired, rotated
from .operator_files import Signers, operator_options
from .options import json_option, keys_option, passphrase_option
from .output import print_line, say, say_removed

if TYPE_CHECKING:
    from cardlib.keys.store.store_file import OpenStore


@click.command()
@keys_option
@passphrase_option
@click.option(
    "--new-passphrase-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read the new passphrase from the first line of FILE."
    f" Default: ${NEW_ENVIRONMENT}, then ask.",
)
@json_option
@click.pass_obj
def passphrase(context: Context, new_passphrase_file: Path | None) -> int:
    """Change the passphrase of a key store.

    The keys stay the same. The file of before is kept as FILE.old: the old passphrase still opens
    it, so delete it and all other copies when the new file is copied.

    \b
    Examples:
      rhcard keys passphrase --keys own.json --new-passphrase-file new.txt
    """
    store = context.open_store()
    changed = store.with_passphrase(context.changed_passphrase(new_passphrase_file))
    return _written(context, changed, "the passphrase is changed", opens_as_before=True)


@click.command()
@keys_option
@passphrase_option
@custodian_options
@json_option
@click.pass_obj
def migrate(context: Context, custodians: Custodians) -> int:
    """Let two custodians open a key store, and no passphrase.

    The keys stay the same, so all cards and batches of before stay good. The file of before is kept
    as FILE.old: the passphrase still opens it, so delete it and all other copies when two
    custodians have opened the new file.

    A key store of custodians gets others with `rhcard keys custodians`.

    \b
    Examples:
      rhcard keys migrate --keys k.json --custodian ann.json --custodian bob.json
    """
    if not custodians.words:
        raise click.UsageError("give --custodian for each custodian, 2 or more")
    from cardlib.keys.store.store_file import read_header

    if read_header(context.key_file()).is_production:
        raise CardKeyError(
            f"{context.keys} has custodians already. Two of them exchange them in the key agent:"
            " `rhcard keys custodians`"
        )
    people = custodians.keys()
    changed = context.open_store().with_custodians(people)
    names = ", ".join(changed.header.custodians)
    return _written(context, changed, f"two of {names} open it now", opens_as_before=True)


@click.command()
@keys_option
@click.option(
    "--transport",
    is_flag=True,
    help="Also make a new transport root. Blank cards in stock have keys of the old one.",
)
@passphrase_option
@json_option
@click.pass_obj
@operator_options
def rotate(context: Context, transport: bool, signers: Signers) -> int:
    """Make the next version of the root keys, 7 at most.

    New batches are prepared with it. Batches of before are issued with their own version, until
    that is retired, and cards of all versions are read and verified.

    The keys of the key agent change with --operator, given for two custodians.

    \b
    Examples:
      rhcard keys rotate --keys own.json
      rhcard keys rotate --operator ann.op --operator bob.op
    """
    if signers.files:
        _refuse_both(context)
        return rotated(context, signers, transport=transport)
    from cardlib.keys.roots import next_roots

    store = context.open_store()
    changed = store.with_version(next_roots(store.roots(max(store.versions)), transport=transport))
    newest = changed.newest
    done = f"version {newest.key_version} is made, {newest.identity}"
    return _written(context, changed, done)


@click.command()
@keys_option
@click.argument("version", type=click.IntRange(1, 7), metavar="VERSION")
@passphrase_option
@json_option
@click.pass_obj
@operator_options
def retire(context: Context, version: int, signers: Signers) -> int:
    """Let a version of the root keys make no more cards.

    Its cards are still read and verified. A batch that was prepared with it cannot be issued any
    more, not even the rest of one that was begun: finish its batches first.

    The keys of the key agent change with --operator, given for two custodians.

    \b
    Examples:
      rhcard keys retire 1 --keys rotated.json
      rhcard keys retire 1 --operator ann.op --operator bob.op
    """
    if signers.files:
        _refuse_both(context)
        return retired(context, signers, version)
    return _written(context, context.open_store().retired(version), f"version {version} is retired")


def _refuse_both(context: Context) -> None:
    if context.keys or context.passphrase_file:
        raise click.UsageError(
            "--operator is for the keys of the key agent: give it without --keys and"
            " --passphrase-file"
        )


def _written(
    context: Context, store: "OpenStore", done: str, *, opens_as_before: bool = False
) -> int:
    """Write a changed store over its file, and say what was done and what is kept."""
    from cardlib.keys.store.store_file import kept_beside
    from cardlib.unfinished import remove_unfinished_files

    path = context.key_file()
    path = path.resolve() if path.is_symlink() else path
    say_removed(remove_unfinished_files(path.absolute().parent))
    store.replace(path)
    kept = kept_beside(path)
    if context.as_json:
        from .keys_show import described

        return context.answer({"keys": str(path), "kept": str(kept), **described(store.header)})
    print_line(f"{context.keys}: {done}")
    say(f"The file of before is {kept}.")
    if opens_as_before:
        say("The old passphrase still opens that file. Try the new file, copy it, and then delete")
        say("that file and all other copies of before.")
    else:
        say("Keep a copy of the new file.")
    return Exit.GOOD
