"""rhcard emulator new: blank software cards, as their maker would deliver them."""

import secrets
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click

from .card_settings import (
    WithSettings,
    check_for_keys,
    check_sample,
    chosen_options,
    sample_card,
    settings_options,
)
from .context import Context
from .exits import Exit
from .options import NewPath, check_output_folder, json_option, keys_option, passphrase_option
from .output import print_line, say, say_removed

if TYPE_CHECKING:
    from cardlib.emulator import CardOptions, SoftwareCard

_CHIP_BYTES = 8

SWITCHES: Mapping[str, Callable[[Any], Any]] = MappingProxyType({
    "extended_length": click.option(
        "--extended-length", is_flag=True, help="The cards take commands of more than 255 bytes."
    ),
    "command_chaining": click.option(
        "--command-chaining/--no-command-chaining",
        default=True,
        show_default=True,
        help="The cards take a chain of commands (CLA bit 5).",
    ),
    "logical_channels": click.option(
        "--logical-channels",
        type=click.IntRange(1, 4),
        default=1,
        show_default=True,
        metavar="N",
        help="The cards have N logical channels, with the basic channel.",
    ),
    "clear_updates": click.option(
        "--clear-updates",
        is_flag=True,
        help="Version 1 also takes appends, marks and binary updates without a MAC.",
    ),
    "scp03_s16": click.option(
        "--scp03-s16", is_flag=True, help="SCP03 with challenges and MACs of 16 bytes."
    ),
    "scp03_random_challenge": click.option(
        "--scp03-random-challenge", is_flag=True, help="SCP03 with random card challenges."
    ),
})  # fmt: skip
"""The option of each switch of `CardOptions`, by the switch's name."""


def _switches(command: Callable[..., int]) -> Callable[..., int]:
    for option in reversed(tuple(SWITCHES.values())):
        command = option(command)
    return command


@click.command(name="new", cls=WithSettings)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="CARD",
    help="The file of the new card. With --count: the folder for the cards.",
)
@click.option(
    "--count", type=click.IntRange(1), metavar="N", help="Make N cards, each in a file of its own."
)
@keys_option
@_switches
@settings_options
@passphrase_option
@json_option
@click.pass_obj
def new(
    context: Context,
    /,
    out: Path,
    *,
    count: int | None,
    profile: str,
    settings: tuple[str, ...],
    sample: bool,
    **switches: Any,
) -> int:
    """Make blank cards with random chip serials.

    They are as their maker would deliver them. Their transport keys are those of --keys FILE, or
    the published test keys. With --count, each card is a file in the folder, named by its chip.

    \b
    Examples:
      rhcard emulator new --out one-blank.card
      rhcard emulator new --out blanks --count 3 --keys keys.json
      rhcard emulator new --out old.card --clear-updates --logical-channels 2
      rhcard emulator new --out deployed.card --profile field --sample
      rhcard emulator new --out b.card --profile field --set "serial_place=last 8"
    """
    from cardlib.unfinished import remove_unfinished_files

    from .profile_choice import named

    how = named(profile)
    options = chosen_options(how.profile, settings, **switches)
    if sample:
        check_sample(context, count, how.field_card)
    if count is None:
        NewPath().convert(out, None, None)
    else:
        check_output_folder(out, "--out")
    say_removed(remove_unfinished_files(out.absolute().parent if count is None else out))
    make = partial(sample_card, told=how.field_card) if sample else _blanks(context, options)
    if count is not None:
        out.mkdir(parents=True, exist_ok=True)
    made = []
    for _ in range(count or 1):
        chip = secrets.token_bytes(_CHIP_BYTES)
        path = out if count is None else out / f"{chip.hex().upper()}.card"
        card = make(chip, options)
        card.save(path)
        card.close()
        made.append({"file": str(path), "chip": chip.hex().upper()})
    if context.as_json:
        return context.answer({"cards": made, "test_keys": context.keys is None})
    for each in made:
        print_line(f"{each['file']}  {each['chip']}")
    if sample:
        say("Its keys are the published test keys, its PIN is 135790: use it for trials only.")
    elif context.keys is None:
        say("Their transport keys are the published test keys: use these cards for trials only.")
    return Exit.GOOD


def _blanks(
    context: Context, options: "CardOptions"
) -> "Callable[[bytes, CardOptions], SoftwareCard]":
    """Makes a blank with the transport keys of --keys, or with the published test keys."""
    from cardlib.emulator import SoftwareCard
    from cardlib.keys.roots import public_test_roots
    from cardlib.keys.store import KeyStore

    if context.keys is None:
        store = KeyStore(public_test_roots())
    else:
        store = context.store()
        check_for_keys(options, store)
    return lambda chip, options: SoftwareCard.blank(chip, store.blank_keys(chip), options=options)
