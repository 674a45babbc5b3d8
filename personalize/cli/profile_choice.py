"""The profile that an operator chose on the command line, checked against the table."""

import click

from cardlib.card import FieldCard
from cardlib.crypto import Cipher
from cardlib.errors import FormatError
from cardlib.facts import ChipSerial
from cardlib.layout.card_profile import FIELD, PROFILES, RHCARD, CardProfile

from ..terminal.reading import HowToRead
from .context import Context

_ONLY_FIELD = ("fci", "clear_updates")
"""What lowers a card's protection: it needs profile field (card specification 10, amendment 12)."""


def chosen(context: Context) -> HowToRead:
    """Return how a card is read, by --profile, --set, --cipher, --key-version and --chip.

    UsageError when a name or value is not in the table of profiles, or does not fit the others.
    """
    try:
        profile = _profile(context.profile, context.settings)
        chip = ChipSerial.parse(context.chip) if context.chip else None
    except FormatError as error:
        raise click.UsageError(str(error)) from None
    if profile.fci == RHCARD.fci and (context.cipher or context.key_version):
        raise click.UsageError(
            "--cipher and --key-version are for cards that do not say them: add --profile field"
        )
    if profile.serial_place == "given" and chip is None:
        raise click.UsageError("serial_place=given needs the chip serial: add --chip SERIAL")
    cipher = Cipher[context.cipher.upper()] if context.cipher else None
    return HowToRead(profile, FieldCard(cipher, context.key_version, chip))


def _profile(name: str, settings: tuple[str, ...]) -> CardProfile:
    if name not in PROFILES:
        raise FormatError(f"there is no profile {name!r}: use {' or '.join(PROFILES)}")
    changes = {}
    for each in settings:
        setting, sign, value = each.partition("=")
        if not sign:
            raise FormatError(
                f"--set {each}: write NAME=VALUE, for example selection=name and path"
            )
        changes[setting] = value
    profile = PROFILES[name].having(changes)
    lowered = [each for each in _ONLY_FIELD if getattr(profile, each) != getattr(RHCARD, each)]
    if lowered and name != FIELD.name:
        raise FormatError(
            f"--set {lowered[0]}={getattr(profile, lowered[0])} needs --profile field"
        )
    return profile
