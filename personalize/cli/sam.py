"""rhcard sam: load the SAMs of terminals, and see what one holds."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .context import Context
from .exits import Exit
from .operator_files import Signers, operator_options
from .options import (
    NewPath,
    configured_keys_option,
    json_option,
    keys_option,
    passphrase_option,
    sam_profile_option,
)
from .output import print_line, print_table, say, say_removed

if TYPE_CHECKING:
    from cardlib.exchange import Connection
    from cardlib.keys import AboutKeys
    from cardlib.keys.sam.sam_groupings import SamPlan
    from cardlib.keys.sam.sam_keys import HeldKeys

    from ..production.sam_issue import LoadedSam, SamMaker
    from ..production.station import BlankMaker

_CHIP_BYTES = 8


@click.group(name="sam")
def command() -> None:
    """Load the SAMs of terminals, and look at them.

    A SAM is a chip in a terminal. It holds the root keys of the terminal's roles and calculates
    with them, so that the terminal has no key.

    \b
    Examples:
      rhcard sam roles
      rhcard sam issue --roles emergency --keys keys.json --out e.sam
    """


@command.command()
@json_option
@click.pass_obj
def roles(context: Context) -> int:
    """List the roles, with the keys that a SAM of each role holds.

    \b
    Examples:
      rhcard sam roles
    """
    from cardlib.layout.sam_roles import SAM_ROLES

    if context.as_json:
        rows = [
            {"role": each.name, "keys": list(each.keys), "purpose": each.purpose}
            for each in SAM_ROLES.values()
        ]
        return context.answer({"roles": rows})
    rows_shown = [(each.name, each.purpose, " ".join(each.keys)) for each in SAM_ROLES.values()]
    print_table("roles", ("role", "what it does", "keys"), rows_shown)
    return Exit.GOOD


@command.command()
@click.option(
    "--out", required=True, type=NewPath(), metavar="FILE", help="The file of the new SAM."
)
@keys_option
@passphrase_option
@json_option
@click.pass_obj
def blank(context: Context, out: Path) -> int:
    """Make a blank software SAM, as its maker would deliver it.

    Its transport keys are those of --keys FILE, or the published test keys.

    \b
    Examples:
      rhcard sam blank --out blank.sam
      rhcard sam blank --out our-blank.sam --keys keys.json
    """
    from cardlib.keys.roots import public_test_roots
    from cardlib.keys.store import KeyStore
    from cardlib.unfinished import remove_unfinished_files

    store = context.store() if context.keys else KeyStore(public_test_roots())
    say_removed(remove_unfinished_files(out.absolute().parent))
    chip = secrets.token_bytes(_CHIP_BYTES)
    with _new_blank(store, chip, out):
        pass
    if context.as_json:
        document = {"sam": str(out), "chip": chip.hex().upper(), "test_keys": store.is_test}
        return context.answer(document)
    print_line(f"{out}  {chip.hex().upper()}")
    return Exit.GOOD


@command.command()
@click.option(
    "--roles",
    "role_names",
    required=True,
    multiple=True,
    metavar="ROLE[,ROLE...]",
    help="What the terminal does. See `rhcard sam roles`. May be repeated.",
)
@configured_keys_option
@click.option("--out", type=NewPath(), metavar="FILE", help="Make a software SAM in a new file.")
@click.option(
    "--sam",
    "choice",
    metavar="READER|FILE",
    help="Load the SAM in this reader or file. It must be blank, except with --renew.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 2**32 - 2),
    metavar="N",
    help="The SAM makes N authentications and then stops. Default: no limit.",
)
@click.option(
    "--sam-pin-file",
    "pin_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read the PIN of the SAM from the first line of FILE. Default: a random one is printed.",
)
@sam_profile_option
@click.option("--renew", is_flag=True, help="Replace all keys, PIN and limit of a loaded SAM.")
@click.option("--test-keys", is_flag=True, help="Take the published test keys, for a trial.")
@passphrase_option
@json_option
@click.pass_obj
@operator_options
def issue(
    context: Context,
    *,
    signers: Signers,
    out: Path | None,
    choice: str | None,
    renew: bool,
    test_keys: bool,
    **wanted: Any,
) -> int:
    """Load a SAM with the root keys of its roles.

    The keys leave the key store only encrypted, for this one SAM. Still, whoever records the
    loading and gets the issuer's keys later can read them: load SAMs in a safe room.

    With a key agent two custodians sign for the SAM, and the agent loads it: give --operator twice.

    The PIN is printed once. Keep it apart from the SAM.

    \b
    Examples:
      rhcard sam issue --roles emergency --keys keys.json --out er.sam
      rhcard sam issue --roles bank --keys keys.json --out b.sam --limit 500
      rhcard sam issue --roles inpatient,bank --keys keys.json --sam BLANK.sam
      rhcard sam issue --roles bank --sam SAM --operator ann.op --operator bob.op
    """
    from ..production.sam_issue import check_plan, load_with
    from .sam_agent import signers_of_agent

    if (out is None) == (choice is None):
        raise click.UsageError("give one of --out FILE (a new software SAM) and --sam READER|FILE")
    if renew and out is not None:
        raise click.UsageError("--renew is for a SAM that there is: name it with --sam")
    plan = _plan(context, **wanted)
    check_plan((), plan, test_keys=test_keys)
    context.take_configured_keys()
    known, blanks, maker = _keys(context, signers_of_agent(context, signers))
    check_plan(known, plan, test_keys=test_keys)
    with _blank_or_named(blanks, out, choice) as connection:
        loaded = load_with(connection, maker, plan, renew=renew)
    return _told(context, known, plan, loaded, out or choice, pin_is_new=wanted["pin_file"] is None)


def _keys(
    context: Context, signers: Signers | None
) -> "tuple[Sequence[AboutKeys], BlankMaker, SamMaker]":
    """The keys that a SAM gets, who makes a blank one, and who loads it."""
    from ..production.blanks import AgentBlanks
    from ..production.sam_issue import LocalSamMaker
    from .sam_agent import sam_maker

    if signers is not None:
        issuer, maker = sam_maker(signers)
        return (issuer,), AgentBlanks(issuer), maker
    store = context.open_store()
    newest = store.newest
    # All versions, so that the terminal reads old cards too. The newest opens the SAM's sessions.
    keys = (newest, *(each for each in store.versions.values() if each is not newest))
    return keys, newest, LocalSamMaker(keys)


def _plan(
    context: Context, role_names: tuple[str, ...], pin_file: Path | None, limit: int | None
) -> "SamPlan":
    from cardlib.errors import FormatError
    from cardlib.keys.sam.sam_groupings import SamPlan
    from cardlib.layout.sam_roles import keys_of_roles

    from ..production.pins import random_pin
    from .profile_choice import named
    from .sam_choice import sam_pin

    wanted = tuple(role.strip() for each in role_names for role in each.split(","))
    try:
        keys_of_roles(wanted, 1)
    except FormatError as error:
        raise click.BadParameter(str(error), param_hint="--roles") from None
    configured = str(context.configuration.setting("profile").value)
    how = named(context.profile or configured, context).profile
    pin = random_pin() if pin_file is None else sam_pin(pin_file)
    return SamPlan(wanted, pin, limit, how.sam_pin, how.sam_version_0)


@contextmanager
def _blank_or_named(
    blanks: "BlankMaker", out: Path | None, choice: str | None
) -> "Iterator[Connection]":
    from .sam_choice import powered_sam

    if out is None:
        assert choice is not None
        with powered_sam(choice) as powered:
            yield powered.connection
        return
    with _new_blank(blanks, secrets.token_bytes(_CHIP_BYTES), out) as connection:
        yield connection


@contextmanager
def _new_blank(blanks: "BlankMaker", chip: bytes, out: Path) -> "Iterator[Connection]":
    """A blank software SAM; its file is written if the block ends well."""
    from cardlib.emulator.sam_card.software_sam import SoftwareSam

    sam = SoftwareSam.blank(chip, blanks.blank_keys(chip))
    yield sam
    sam.save(out)
    sam.close()


def _told(
    context: Context,
    keys: "Sequence[AboutKeys]",
    plan: "SamPlan",
    loaded: "LoadedSam",
    place: Path | str | None,
    *,
    pin_is_new: bool,
) -> int:
    if context.as_json:
        document = {
            "sam": str(place),
            "chip": str(loaded.chip),
            "roles": list(plan.roles),
            "key_sets": [_as_dict(each) for each in loaded.held],
            "limit": plan.limit,
            "pin": str(plan.pin) if pin_is_new else None,
            "test_keys": any(each.is_test for each in keys),
        }
        return context.answer(document)
    print_line(f"{place}  {loaded.chip}  {' '.join(plan.roles)}")
    if pin_is_new:
        print_line(f"PIN {plan.pin}")
    limit = "without a limit" if plan.limit is None else f"up to its limit of {plan.limit}"
    say(f"It makes authentications {limit}. Keep its PIN apart from it.")
    return Exit.GOOD


def _as_dict(held: "HeldKeys") -> dict[str, Any]:
    return {
        "protocol": held.protocol,
        "cipher": held.cipher.name.lower(),
        "key_version": held.version,
        "keys": sorted(held.names),
    }


@command.command()
@click.argument("choice", metavar="READER|FILE")
@json_option
@click.pass_obj
def show(context: Context, choice: str) -> int:
    """Show what a SAM holds. No PIN is needed, and no key is shown.

    \b
    Examples:
      rhcard sam show MY.sam
    """
    from cardlib.keys.sam.sam_keys import contents
    from cardlib.keys.sam.sam_line import SamLine

    from .sam_choice import powered_sam

    with powered_sam(choice) as powered:
        line = SamLine(powered.connection)
        held, left = contents(line.select(fci=True))
        tries = line.tries_left()
    if context.as_json:
        sets = [_as_dict(each) for each in held]
        document = {"sam": choice, "key_sets": sets, "uses_left": left, "pin_tries_left": tries}
        return context.answer(document)
    rows = [
        (str(each.version), each.cipher.name, f"{each.protocol}.0", " ".join(sorted(each.names)))
        for each in held
    ]
    print_table("key sets", ("version", "cipher", "specification", "keys"), rows)
    print_line(f"authentications left: {'no limit' if left is None else left}")
    print_line(f"PIN tries left: {'not said' if tries is None else tries}")
    return Exit.GOOD
