"""Load a SAM: replace its transport keys, and give it the root keys of its roles.

A SAM is loaded like a card: everything is encrypted in an SCP03 session, and takes effect at the
last block or not at all (card specification 3 and 6).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cardlib import commands
from cardlib.errors import CardError, CardKeyError, FormatError, StatusWordError
from cardlib.exchange import Connection, send
from cardlib.facts import (
    ISSUER_KEY_VERSION,
    SAM_APPLICATION,
    SECURITY_DOMAIN,
    TRANSPORT_KEY_VERSION,
    ChipSerial,
)
from cardlib.issuance import IssuerSession, key_versions
from cardlib.keys import RootKeys
from cardlib.keys.sam import HeldKeys, SamKeySet
from cardlib.keys.sam_groupings import RootSource, SamPlan, sam_groupings
from cardlib.layout.card_profile import RHCARD
from cardlib.layout.sam_roles import keys_of_roles
from cardlib.status import StatusWord
from cardlib.transport import chip_serial

from .pins import is_trivial

_NO_ROOTS = (
    "these keys cannot be loaded into a SAM: whoever holds them (an agent or a token) gives out no"
    " root key, also not encrypted. Give --keys FILE, a key store that is opened here"
)


@dataclass(frozen=True, slots=True)
class LoadedSam:
    """A SAM that was loaded: its chip serial, and the key sets that it says it holds."""

    chip: ChipSerial
    held: tuple[HeldKeys, ...]


def check_plan(keys: Sequence[RootKeys], plan: SamPlan, *, test_keys: bool) -> None:
    """Check what a SAM shall be, before one is made or met.

    Raises CardKeyError for published test keys or a PIN that is easy to guess without `test_keys`,
    and for keys that nobody can wrap; FormatError for a role that is not in the table.
    """
    if not test_keys and any(each.is_test for each in keys):
        raise CardKeyError(
            "these are the published test keys: everybody could make such a SAM. For a trial add"
            " --test-keys. For terminals in use give another key store"
        )
    if not test_keys and is_trivial(plan.pin):
        raise CardKeyError(
            "this PIN is easy to guess: take another one, or let rhcard make one. For a trial add"
            " --test-keys"
        )
    for each in keys:
        if not isinstance(each, RootSource):
            raise CardKeyError(_NO_ROOTS)
        keys_of_roles(plan.roles, each.spec.protocol)


def load_sam(
    connection: Connection, keys: Sequence[RootKeys], plan: SamPlan, *, renew: bool = False
) -> LoadedSam:
    """Load a blank SAM, or with `renew` one that was loaded before; then check what it holds.

    The first of `keys` gives the SCP03 keys, all of them give root keys, one key version each.
    An interrupted load can be repeated. Raises CardKeyError when it is no SAM, when it was loaded
    and `renew` is not set, or when it does not hold afterwards what it was given.
    """
    chip, issuer = _chip(connection), keys[0]
    sources = [each for each in keys if isinstance(each, RootSource)]
    if len(sources) != len(keys):
        raise CardKeyError(_NO_ROOTS)
    if _is_loaded(connection) and not renew:
        raise CardKeyError(
            "this SAM is loaded already: with --renew its keys, PIN and limit are replaced"
        )
    versions = key_versions(connection)
    new, old = issuer.issuer_keys(chip), issuer.transport_keys(chip)
    if versions == {TRANSPORT_KEY_VERSION}:
        IssuerSession.open(connection, old, SECURITY_DOMAIN).replace_keys(old, new)
    elif versions != {ISSUER_KEY_VERSION}:
        names = " ".join(f"{version:02X}" for version in sorted(versions)) or "none"
        raise CardKeyError(
            f"the SAM has SCP03 key sets of versions {names}; it must have one: that of its maker"
            f" ({TRANSPORT_KEY_VERSION:02X}) or ours ({ISSUER_KEY_VERSION:02X}). Do not use it"
        )
    session = IssuerSession.open(connection, new, SECURITY_DOMAIN)
    session.load(sam_groupings(sources, plan, new))
    return LoadedSam(chip, _checked(connection, sources, plan))


def _chip(connection: Connection) -> ChipSerial:
    try:
        return ChipSerial(chip_serial(connection.atr))
    except FormatError:
        raise CardKeyError("this is no SAM of ours: its ATR has no chip serial") from None


def _is_loaded(connection: Connection) -> bool:
    """Whether the SAM has keys. Raises CardKeyError when it is no SAM."""
    by_name = commands.select_application(SAM_APPLICATION)
    if send(connection.transmit, by_name).sw != StatusWord.SUCCESS:
        raise CardKeyError("this is no SAM: it may be a resident's card. Put in a blank SAM")
    sw = send(connection.transmit, commands.SELECT_SAM).sw
    if sw not in (StatusWord.SUCCESS, StatusWord.FILE_NOT_FOUND):
        raise StatusWordError("SELECT DF01 of the SAM", sw)
    return sw == StatusWord.SUCCESS


def _checked(
    connection: Connection, sources: Sequence[RootSource], plan: SamPlan
) -> tuple[HeldKeys, ...]:
    """Open the SAM with its PIN, and compare what it holds with what it was given."""
    connection.reset()
    profile = RHCARD.having({"sam_pin": plan.pin_form})
    held = SamKeySet.open(connection, plan.pin, profile=profile).held
    given = {
        HeldKeys(
            each.spec.protocol,
            each.cipher,
            each.key_version,
            frozenset(keys_of_roles(plan.roles, each.spec.protocol)),
        )
        for each in sources
    }
    if set(held) != given:
        raise CardError("the SAM does not hold what it was loaded with: do not use it")
    return held
