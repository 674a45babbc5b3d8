"""Options that several commands share, and how a passphrase and a key store are come by."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cardlib.errors import CardKeyError

if TYPE_CHECKING:
    from cardlib.keys.store import KeyStore

    from ..preparation.batch import Batch

ENVIRONMENT = "RHCARD_PASSPHRASE"
_LONGEST = 4096

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
keys_option = click.option(
    "--keys", type=click.Path(path_type=Path), metavar="FILE", help="The key store."
)
passphrase_option = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"First line: the key store's passphrase. Else {ENVIRONMENT}, else a prompt.",
)
test_keys_option = click.option(
    "--test-keys", is_flag=True, help="Allow keys that everybody knows: never for real residents."
)
cards_option = click.option(
    "--cards",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder of software cards (*.card).",
)
batch_argument = click.argument(
    "folder", metavar="BATCH", type=click.Path(path_type=Path, exists=True, file_okay=False)
)


def read_passphrase(file: Path | None, *, new: bool = False) -> str:
    """The passphrase from a file, the environment or a prompt; twice at the prompt if `new`."""
    if file is not None:
        return _from_file(file)
    if passphrase := os.environ.get(ENVIRONMENT):
        return passphrase
    if not sys.stdin.isatty():
        raise CardKeyError(f"no passphrase: set {ENVIRONMENT} or give --passphrase-file FILE")
    text = "Passphrase for the new key store" if new else "Passphrase of the key store"
    passphrase = click.prompt(text, hide_input=True, confirmation_prompt=new, err=True)
    return str(passphrase)


def _from_file(file: Path) -> str:
    try:
        with file.open(encoding="utf-8") as lines:
            passphrase = lines.readline(_LONGEST).rstrip("\r\n")
    except OSError as error:
        raise CardKeyError(f"passphrase file {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CardKeyError(f"passphrase file {file}: not UTF-8 text") from None
    if not passphrase:
        raise CardKeyError(f"passphrase file {file}: its first line is empty")
    return passphrase


def open_store(keys: Path, passphrase_file: Path | None) -> "KeyStore":
    """Open a key store; CardKeyError when there is none, before a passphrase is asked for."""
    from cardlib.keys.store import KeyStore

    if not keys.is_file():
        raise CardKeyError(f"no key store at {keys}: give --keys FILE")
    return KeyStore.open(keys, read_passphrase(passphrase_file))


def open_batch(
    folder: Path, keys: Path | None, passphrase_file: Path | None
) -> tuple["Batch", "KeyStore"]:
    """Open a batch with its key store: the one given, else where it was at preparation.

    CardKeyError when it is another store than the one that the batch was prepared with.
    """
    from ..preparation.batch import Batch, read_header

    header = read_header(folder)
    path = keys or Path(header.key_store_hint)
    store = open_store(path, passphrase_file)
    if store.identity != header.key_store_identity:
        raise CardKeyError(
            f"{path} is not the key store of this batch: it is {store.identity}, the batch was"
            f" prepared with {header.key_store_identity}; give --keys FILE"
        )
    return Batch.open(folder, store), store
