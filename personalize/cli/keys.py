"""rhcard keys: make a key store, look at it, and change it."""

from pathlib import Path

import click

from .context import Context
from .custodian_files import Custodians, custodian_options
from .exits import Exit
from .keys_ceremony import export, import_, receipt
from .keys_change import migrate, passphrase, retire, rotate
from .keys_custodians import custodians as custodians_command
from .keys_explain import explain
from .keys_show import check, list_
from .keys_token import token, with_token
from .options import NewPath, json_option, passphrase_option
from .output import print_line, say, say_removed


@click.group(name="keys")
def command() -> None:
    """Make a key store, look at it, and change it. It is the root of all card keys.

    \b
    Examples:
      rhcard keys new --out my-keys.json
      rhcard keys list --keys keys.json
    """


for each in (
    list_, check, passphrase, migrate, custodians_command, import_, export, rotate, retire, receipt,
):  # fmt: skip
    command.add_command(each)


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
@custodian_options
@passphrase_option
@json_option
@click.pass_obj
def new(
    context: Context,
    out: Path,
    test_keys: bool,
    cipher: str,
    protocol: str,
    custodians: Custodians,
) -> int:
    """Make a key store with new random root keys.

    The file is encrypted with a passphrase. Keep a copy of the file, and keep the passphrase in
    another place. Without both, no card can be issued or read.

    With --custodian, no passphrase opens it, but any two of the people named together.

    \b
    Examples:
      rhcard keys new --out new-keys.json
      rhcard keys new --out test-keys.json --test-keys
      rhcard keys new --out two.json --custodian ann.json --custodian bob.json
    """
    from cardlib.crypto import Cipher
    from cardlib.keys.roots import new_roots, public_test_roots
    from cardlib.keys.store.store_file import create
    from cardlib.unfinished import remove_unfinished_files

    say_removed(remove_unfinished_files(out.absolute().parent))
    people = custodians.keys() if custodians.words else []
    secret = None if people else context.new_passphrase()
    roots = (public_test_roots if test_keys else new_roots)(int(protocol), Cipher[cipher.upper()])
    store = create(out, roots, passphrase=secret, custodians=people)
    if context.as_json:
        return context.answer(
            {
                "keys": str(out),
                "identity": store.newest.identity,
                "cipher": cipher,
                "protocol": store.protocol,
                "test_keys": store.is_test,
                **({"custodians": list(store.header.custodians)} if people else {}),
            }
        )
    print_line(f"{out}  {store.newest.identity}")
    if test_keys:
        say("These keys are published: everybody can read and change cards made with them.")
    _say_how_to_keep(store.header.custodians)
    return Exit.GOOD


def _say_how_to_keep(custodians: tuple[str, ...]) -> None:
    if custodians:
        say(f"Keep a copy of this file. Two of {', '.join(custodians)} open it together.")
        say("Without the file and two of them, no card can be issued or read.")
        return
    say("Keep a copy of this file, and keep the passphrase in another place.")
    say("Without both, no card can be issued or read.")


command.add_command(explain)
command.add_command(token)
with_token(new)
