"""rhcard emulator keys: the SCP03 keys of a test card, for the programs of others."""

from typing import TYPE_CHECKING, TypedDict

import click

from .context import Context
from .exits import Exit
from .options import json_option
from .output import print_table, say

if TYPE_CHECKING:
    from cardlib.emulator.bench.inspection import KeySetState
    from cardlib.keys.public_test_keys import StaticKeys

_NAMES = ("ENC", "MAC", "DEK")


class _PublicSet(TypedDict):
    version: str
    set: str
    keys: dict[str, str]
    key_check_values: dict[str, str]


@click.command(name="keys")
@click.argument("card", metavar="CARD")
@click.option(
    "--test-keys",
    "is_confirmed",
    is_flag=True,
    help="Needed: it says that you want keys in clear, and that the card is a test card.",
)
@json_option
@click.pass_obj
def keys(context: Context, card: str, *, is_confirmed: bool) -> int:
    """Print the SCP03 keys of a test card in clear.

    Prints ENC, MAC and DEK with their check values, for other programs such as GlobalPlatformPro.
    Only key sets that are derived from the public test roots are printed. A card without such a
    set is refused. No key is tried on the card, so no try is spent.

    \b
    Examples:
      rhcard emulator keys TEST.card --test-keys
    """
    from cardlib.emulator.bench.inspection import inspect
    from cardlib.errors import CardKeyError
    from cardlib.keys.public_test_keys import public_test_keys

    from ..production.station import in_reader
    from .cards import card_file

    if not is_confirmed:
        raise click.UsageError("add --test-keys: only the keys of test cards are printed")
    path = card_file(card)
    with in_reader(path, read_only=True) as connection:
        chip = connection.chip
        stored = inspect(connection)["key_sets"]
    public = public_test_keys(chip)
    found = [each for key_set in stored if (each := _as_public(key_set, public))]
    shown = {each["version"] for each in found}
    others = [key_set["version"] for key_set in stored if key_set["version"] not in shown]
    if not found:
        raise CardKeyError(f"{path}: its SCP03 keys are not the published test keys: not printed")
    if context.as_json:
        document = {"card": str(path), "chip": chip.hex().upper(), "key_sets": found}
        return context.answer({**document, "other_key_sets": others})
    for each in found:
        rows = [(name, each["keys"][name], each["key_check_values"][name]) for name in _NAMES]
        title = f"key set {each['version']} of chip {chip.hex().upper()} ({each['set']})"
        print_table(title, ("key", "value", "check value"), rows)
    for version in others:
        say(f"Key set {version} is not one of the published test keys: it is not printed.")
    return Exit.GOOD


def _as_public(stored: "KeySetState", public: "dict[str, StaticKeys]") -> _PublicSet | None:
    """The public set whose three check values a stored set has."""
    from cardlib.crypto import Cipher, key_check_value

    for name, static in public.items():
        check_values = [key_check_value(Cipher.AES, key).hex().upper() for key in static]
        if stored["bits"] == 128 and stored["key_check_values"] == check_values:
            values = (key.hex().upper() for key in static)
            return _PublicSet(
                version=stored["version"],
                set=name,
                keys=dict(zip(_NAMES, values, strict=True)),
                key_check_values=dict(zip(_NAMES, check_values, strict=True)),
            )
    return None
