"""The options of `emulator new` that make a card differ from the card specification."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cardlib.errors import FormatError

from .context import Context

if TYPE_CHECKING:
    from cardlib.card import FieldCard
    from cardlib.emulator import CardOptions, SoftwareCard
    from cardlib.keys.store import KeyStore
    from cardlib.layout.card_profile import CardProfile

FC = TypeVar("FC", bound="Callable[..., Any]")
_VISIT = MappingProxyType({
    "DDF1/DF03/EF05": ({"inpatient_record_valid": "0"},),
    "DDF1/DF03/EE01": ({
        "hospital_name": "示例市第一人民医院", "hospital_organization_code": "9901006543",
        "admission_date": "20250304", "admission_condition": "2", "diagnosis_name_1": "肺炎",
    },),
})  # fmt: skip
"""A made-up visit, so that there is one to read."""
_SAMPLE_KEYS = 1
"""The key version of a sample card."""


class WithSettings(click.Command):
    """A command whose help ends with the table of settings; it is read when help is asked for."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each setting with its meaning, its choices, and its value in the profile field."""
        from cardlib.emulator.profile.card_options import CARD_SETTINGS

        with formatter.section("Settings of --set, and what --profile field makes of them"):
            formatter.write_dl([
                (each.name, f"{each.meaning}. {', '.join(map(repr, each.choices))};"
                            f" field: {each.values['field']!r}")
                for each in CARD_SETTINGS
            ])  # fmt: skip


def settings_options(command: FC) -> FC:
    """Add --profile, --set and --sample to a command."""
    options = (
        click.option(
            "--profile",
            default="rhcard",
            metavar="NAME",
            show_default=True,
            help="rhcard: as the card specification says. field: as deployed cards are. Or a"
            " profile of your own.",
        ),
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="NAME=VALUE",
            help="Change one setting of the profile; see below. May be repeated.",
        ),
        click.option(
            "--sample",
            is_flag=True,
            help="Issue the card, with published test keys and made-up data.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def chosen_options(
    profile: "CardProfile", settings: Iterable[str], **switches: Any
) -> "CardOptions":
    """Return the options of a card of a profile with other settings and switches.

    BadParameter, which names the choices, when there is no such setting or value.
    """
    from cardlib.emulator import CardOptions

    changes = _changes(settings)
    try:
        changed = profile.having(changes)
        if switches.pop("clear_updates", False):
            changed = changed.having({"clear_updates": "yes"})
        return CardOptions.of_profile(changed, **switches)
    except FormatError as error:
        raise click.BadParameter(str(error), param_hint="--set") from None


def _changes(settings: Iterable[str]) -> Mapping[str, str]:
    from cardlib.emulator.profile.card_options import CARD_SETTINGS

    known = [setting.name for setting in CARD_SETTINGS]
    changes = {}
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals:
            problem = f"{text!r} has no '=': write NAME=VALUE, for example serial_place=given"
            raise click.BadParameter(problem, param_hint="--set")
        if name not in known:
            problem = f"{name!r} is no setting of a card: use {', '.join(known)}"
            raise click.BadParameter(problem, param_hint="--set")
        if name in changes:
            raise click.BadParameter(f"{name} is set twice", param_hint="--set")
        changes[name] = value
    return changes


def check_for_keys(options: "CardOptions", store: "KeyStore") -> None:
    """Raise UsageError when the keys are of specification 2.0 and the card cannot be."""
    from cardlib.facts import SpecVersion

    if options.only_spec_1_0 and store.spec is not SpecVersion.V1:
        raise click.UsageError(
            f"a card with the setting {options.only_spec_1_0} is of specification 1.0, but these"
            " keys are for 2.0: make others with `rhcard keys new --protocol 1`"
        )


def check_sample(context: Context, count: int | None, told: "FieldCard") -> None:
    """Raise UsageError when --sample stands beside an option that it cannot go with.

    `told` is what a profile says of the keys of its cards.
    """
    if told.key_version not in (None, _SAMPLE_KEYS):
        raise click.UsageError(
            f"--sample makes keys of version {_SAMPLE_KEYS}, and the profile has key_version"
            f" {told.key_version}: leave out --sample, or take another profile"
        )
    if context.keys is not None:
        raise click.UsageError("--sample uses the published test keys: leave out --keys")
    if count is not None:
        raise click.UsageError("--sample makes one card: leave out --count")


def sample_card(chip: bytes, options: "CardOptions", told: "FieldCard") -> "SoftwareCard":
    """Make an ACTIVE card with published test keys, a made-up resident with a photo and a visit.

    Its keys are of the cipher that the profile says, else SM4. It is of specification 1.0 if a
    setting says more than 2.0 cards can have, else of 2.0.
    """
    from cardlib.crypto import Cipher
    from cardlib.emulator.bench.ready_made import RESIDENT, personalized_card
    from cardlib.keys.roots import public_test_roots

    from ..listing.photos import PhotoShop
    from ..sample.sample_batch import SAMPLE

    photo = PhotoShop(SAMPLE.parent).jpeg("photos/00.jpg")
    of_1_0 = options.only_spec_1_0 or options.clear_updates
    records = {**RESIDENT, **_VISIT, "DDF1/EF07": ({"photo": photo},)}
    return personalized_card(
        public_test_roots(1 if of_1_0 else 2, told.cipher or Cipher.SM4),
        chip=chip,
        records=records,
        options=options,
    )
