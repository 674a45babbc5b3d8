"""rhcard keys: make a key store."""

from pathlib import Path

import click

from .options import json_option, passphrase_option, read_passphrase
from .output import print_json, print_line, say


@click.group(name="keys")
def command() -> None:
    """Key stores: the root keys that cards' keys are derived from."""


@command.command()
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The new key store; an existing file is not overwritten.",
)
@click.option(
    "--test-keys", is_flag=True, help="Public keys, for trials: never for real residents."
)
@click.option(
    "--cipher",
    type=click.Choice(["sm4", "aes"]),
    default="sm4",
    show_default=True,
    help="The cards' block cipher.",
)
@click.option(
    "--protocol",
    type=click.Choice(["1", "2"]),
    default="2",
    show_default=True,
    help="The cards' secure messaging: 2 protects all both ways, 1 is what field code speaks.",
)
@passphrase_option
@json_option
def new(
    out: Path,
    test_keys: bool,
    cipher: str,
    protocol: str,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Make a key store with new random root keys, protected by a passphrase."""
    from cardlib.crypto import Cipher
    from cardlib.errors import CardKeyError
    from cardlib.keys.store import KeyStore

    if out.exists():
        raise CardKeyError(f"{out} exists and is not overwritten: choose another --out FILE")
    passphrase = read_passphrase(passphrase_file, new=True)
    store = KeyStore.create(
        out, passphrase, test_keys, int(protocol), cipher=Cipher[cipher.upper()]
    )
    if as_json:
        print_json(
            {
                "keys": str(out),
                "identity": store.identity,
                "cipher": cipher,
                "protocol": store.spec.protocol,
                "test_keys": store.is_test,
                "exit_code": 0,
            }
        )
        return
    print_line(f"{out}  {store.identity}")
    if test_keys:
        say("These keys are public. Cards made with them protect nobody.")
    say(
        "Keep a copy of this file and of its passphrase apart: without both, no card can be issued."
    )
