"""The profile that an operator chose on the command line, checked against the table."""

from collections.abc import Iterable

import click

from cardlib.card import FieldCard
from cardlib.crypto import Cipher
from cardlib.errors import FormatError
from cardlib.facts import ChipSerial
from cardlib.layout.card_profile import FIELD, PROFILES, RHCARD, CardProfile

from ..terminal.reading import HowToRead
from .context import Context


def chosen(context: Context) -> HowToRead:
    """Return how a card is read, by --profile, --set, --cipher, --key-version and --chip.

    Without --profile it is the profile that the configuration names, else `rhcard`.
    UsageError when a name or value is not in the table of profiles, or does not fit the others;
    the errors of `named`.
    """
    if context.profile is None:
        context.profile = str(context.configuration.setting("profile").value)
    how = named(context.profile, context)
    try:
        profile = _changed(how.profile, context.settings)
        chip = ChipSerial.parse(context.chip) if context.chip else None
    except FormatError as error:
        raise click.UsageError(str(error)) from None
    if profile.fci == RHCARD.fci and (context.cipher or context.key_version):
        raise click.UsageError(
            "--cipher and --key-version are for cards that do not say them: add --profile field"
        )
    if profile.serial_place == "given" and chip is None:
        raise click.UsageError("serial_place=given needs the chip serial: add --chip SERIAL")
    cipher = Cipher[context.cipher.upper()] if context.cipher else how.field_card.cipher
    version = context.key_version or how.field_card.key_version
    return HowToRead(profile, FieldCard(cipher, version, chip))


def named(name: str, context: Context | None = None) -> HowToRead:
    """Return the profile of a name: one of the table, or the user's own from the configuration.

    UsageError when there is none, ConfigError when the configuration is not right.
    """
    if name in PROFILES:
        return HowToRead(PROFILES[name])
    configuration = (context or Context()).configuration
    own = configuration.profiles
    if name not in own:
        known = " or ".join((*PROFILES, *own))
        raise click.UsageError(
            f"there is no profile {name!r}: use {known}, or add one of your own to"
            f" {configuration.path}"
        )
    return own[name]


def _changed(profile: CardProfile, settings: Iterable[str]) -> CardProfile:
    """The profile with the settings of --set. Only one that is built on `field` may be lowered."""
    changes = {}
    for each in settings:
        setting, sign, value = each.partition("=")
        if not sign:
            raise FormatError(
                f"--set {each}: write NAME=VALUE, for example selection=name and path"
            )
        changes[setting] = value
    profile = profile.having(changes)
    if profile.lowered and profile.name != FIELD.name:
        first = profile.lowered[0]
        raise FormatError(f"--set {first}={getattr(profile, first)} needs --profile field")
    return profile
