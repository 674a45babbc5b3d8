"""rhcard keys: make a key store."""

from pathlib import Path

import click

from .context import Context
from .exits import Exit
from .keys_explain import explain
from .options import NewPath, json_option, passphrase_option
from .output import print_line, say, say_removed


@click.group(name="keys")
def command() -> None:
    """Make a key store: the root of all card keys.

    \b
    Examples:
      rhcard keys new --out my-keys.json
    """


@command.command()
@click.option(
    "--out",
    required=True,
    type=NewPath(),
    metavar="FILE",
    help="The new key store. A file that exists is not overwritten.",
)
@click.option(
    "--test-keys",
    is_flag=True,
    help="Take the published test keys. Never use them for real residents.",
)
@click.option(
    "--cipher",
    type=click.Choice(["sm4", "aes"]),
    default="sm4",
    show_default=True,
    help="Block cipher of the cards.",
)
@click.option(
    "--protocol",
    type=click.Choice(["1", "2"]),
    default="2",
    show_default=True,
    help=(
        "Secure messaging version. 2: encrypts and authenticates both directions. 1: only for"
        " terminals that do not support 2; card replies are not protected."
    ),
)
@passphrase_option
@json_option
@click.pass_obj
def new(context: Context, out: Path, test_keys: bool, cipher: str, protocol: str) -> int:
    """Make a key store with new random root keys.

    The file is encrypted with a passphrase. Keep a copy of the file, and keep the passphrase in
    another place. Without both, no card can be issued or read.

    \b
    Examples:
      rhcard keys new --out new-keys.json
      rhcard keys new --out test-keys.json --test-keys
    """
    from cardlib.crypto import Cipher
    from cardlib.keys.store import KeyStore
    from cardlib.unfinished import remove_unfinished_files

    say_removed(remove_unfinished_files(out.absolute().parent))
    passphrase = context.new_passphrase()
    store = KeyStore.create(
        out, passphrase, test_keys, int(protocol), cipher=Cipher[cipher.upper()]
    )
    if context.as_json:
        return context.answer(
            {
                "keys": str(out),
                "identity": store.identity,
                "cipher": cipher,
                "protocol": store.spec.protocol,
                "test_keys": store.is_test,
            }
        )
    print_line(f"{out}  {store.identity}")
    if test_keys:
        say("These keys are published: everybody can read and change cards made with them.")
    say("Keep a copy of this file, and keep the passphrase in another place.")
    say("Without both, no card can be issued or read.")
    return Exit.GOOD


command.add_command(explain)
