"""The SAM that an operator names with --sam: in a reader, or a software SAM in a file."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cardlib.emulator import CardImageError
from cardlib.errors import CardKeyError, FormatError
from cardlib.facts import Pin

from .context import Context, first_line

if TYPE_CHECKING:
    from cardlib.exchange import Connection
    from cardlib.keys.sam.sam_keys import HeldKeys, SamKeySet

ENVIRONMENT = "RHCARD_SAM_PIN"
SUFFIX = ".sam"


@dataclass(frozen=True, slots=True)
class PoweredSam:
    """A SAM that has power, and the reader that it is in; None for a software SAM in a file."""

    connection: "Connection"
    reader: str | None = None


@contextmanager
def powered_sam(choice: str) -> Iterator[PoweredSam]:
    """Give power to the SAM in this file, or in the reader of this name or number.

    CardImageError for a file without a SAM, TransportError for a reader without a card.
    """
    path = Path(choice)
    if path.is_file():
        from cardlib.emulator.sam_card.software_sam import SoftwareSam

        sam = SoftwareSam.open(path)
        try:
            yield PoweredSam(sam)
        finally:
            sam.close()
        return
    if path.suffix == SUFFIX or path.is_dir() or os.sep in choice:
        raise CardImageError(f"{choice}: there is no such SAM. Give a {SUFFIX} file or a reader")
    from .cards import open_card

    with open_card(None, choice) as opened:
        yield PoweredSam(opened.connection, opened.reader)


def sam_keys(context: Context) -> "SamKeySet":
    """The keys of the SAM of --sam, once its PIN is verified. It has power until the command ends.

    UsageError when --profile or another option does not fit; the errors of `SamKeySet.open`.
    """
    from cardlib.keys.sam.sam_keys import SamKeySet

    from .profile_choice import chosen

    assert context.sam is not None
    profile = chosen(context).profile
    pin = sam_pin(context.sam_pin_file)
    powered = click.get_current_context().with_resource(powered_sam(context.sam))
    context.sam_reader = powered.reader
    return SamKeySet.open(powered.connection, pin, profile=profile, given=_given(context))


def _given(context: Context) -> "HeldKeys | None":
    """What a deployed SAM is taken to hold, which does not say it: with profile `field` only."""
    from cardlib.crypto import Cipher
    from cardlib.keys.sam.sam_keys import ALL_NAMES, HeldKeys
    from cardlib.layout.card_profile import RHCARD

    from .profile_choice import chosen

    how = chosen(context)
    if how.profile.fci == RHCARD.fci:
        return None
    cipher, version = how.field_card.cipher or Cipher.SM4, how.field_card.key_version or 1
    return HeldKeys(1, cipher, version, ALL_NAMES)


def sam_pin(file: Path | None) -> Pin:
    """The PIN of a SAM from a file, the environment or a prompt; CardKeyError without one."""
    if file is not None:
        digits = first_line(file, "SAM PIN file")
    elif ENVIRONMENT in os.environ:
        digits = os.environ[ENVIRONMENT]
    elif sys.stdin is not None and sys.stdin.isatty():
        digits = str(click.prompt("PIN of the SAM", hide_input=True, err=True))
    else:
        raise CardKeyError(f"no PIN of the SAM: set {ENVIRONMENT} or give --sam-pin-file FILE")
    try:
        return Pin(digits.strip())
    except FormatError:
        raise CardKeyError("the PIN of a SAM has 6 digits") from None
