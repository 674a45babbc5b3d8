"""rhcard emulator new: blank software cards, as their maker would deliver them."""

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click

from .context import Context
from .exits import Exit
from .options import NewPath, check_output_folder, json_option, keys_option, passphrase_option
from .output import print_line, say, say_removed

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


@click.command(name="new")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="CARD",
    help="The file of the new card. With --count: the folder for the cards.",
)
@click.option("--count", type=click.IntRange(1), metavar="N", help="Make N cards.")
@keys_option
@_switches
@passphrase_option
@json_option
@click.pass_obj
def new(context: Context, /, out: Path, *, count: int | None, **switches: Any) -> int:
    """Make blank cards with random chip serials.

    They are as their maker would deliver them. Their transport keys are those of --keys FILE, or
    the published test keys. With --count, each card is a file in the folder, named by its chip.

    \b
    Examples:
      rhcard emulator new --out one-blank.card
      rhcard emulator new --out blanks --count 3 --keys keys.json
      rhcard emulator new --out old.card --clear-updates --logical-channels 2
    """
    from cardlib.emulator import CardOptions, SoftwareCard
    from cardlib.unfinished import remove_unfinished_files

    if count is None:
        NewPath().convert(out, None, None)
    else:
        check_output_folder(out, "--out")
    say_removed(remove_unfinished_files(out.absolute().parent if count is None else out))
    transport_keys = _transport_keys(context)
    if count is not None:
        out.mkdir(parents=True, exist_ok=True)
    made = []
    for _ in range(count or 1):
        chip = secrets.token_bytes(_CHIP_BYTES)
        name = chip.hex().upper()
        path = out if count is None else out / f"{name}.card"
        card = SoftwareCard.blank(chip, transport_keys(chip), options=CardOptions(**switches))
        card.save(path)
        card.close()
        made.append({"file": str(path), "chip": name})
    if context.as_json:
        return context.answer({"cards": made, "test_keys": context.keys is None})
    for each in made:
        print_line(f"{each['file']}  {each['chip']}")
    if context.keys is None:
        say("Their transport keys are the published test keys: use these cards for trials only.")
    return Exit.GOOD


def _transport_keys(context: Context) -> Callable[[bytes], tuple[bytes, bytes, bytes]]:
    if context.keys is not None:
        return context.store().blank_keys
    from cardlib.keys.roots import public_test_roots
    from cardlib.keys.store import KeyStore

    return KeyStore(public_test_roots()).blank_keys
