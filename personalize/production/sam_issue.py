"""Load a SAM: replace its transport keys, and give it the root keys of its roles.

A SAM is loaded like a card: everything is encrypted in an SCP03 session, and takes effect at the
last block or not at all (card specification 3 and 6).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from cardlib import commands
from cardlib.crypto import Cipher
from cardlib.errors import CardError, CardKeyError, FormatError, StatusWordError
from cardlib.exchange import Connection, send
from cardlib.facts import (
    ISSUER_KEY_VERSION,
    SAM_APPLICATION,
    SECURITY_DOMAIN,
    TRANSPORT_KEY_VERSION,
    ChipSerial,
)
from cardlib.issuance import key_versions
from cardlib.issuance.agent_sam import AgentSamHost
from cardlib.issuance.making import HostSession
from cardlib.issuance.sam_host import SamHost, SamSide
from cardlib.keys import AboutKeys, RootKeys
from cardlib.keys.agent.agent_connection import AgentConnection
from cardlib.keys.agent.agent_keys import KeysOfVersion
from cardlib.keys.issuer import Scp03Set
from cardlib.keys.sam.sam_groupings import RootSource, SamPlan
from cardlib.keys.sam.sam_keys import HeldKeys, SamKeySet
from cardlib.layout.card_profile import RHCARD
from cardlib.layout.sam_roles import keys_of_roles
from cardlib.status import StatusWord
from cardlib.transport import chip_serial

from .pins import is_trivial

_NO_ROOTS = (
    "these keys cannot be loaded into a SAM: a token gives out no root key, also not encrypted. Use"
    " a key store with the same roots: --keys FILE, or a key agent that has it"
)


@dataclass(frozen=True, slots=True)
class LoadedSam:
    """A SAM that was loaded: its chip serial, and the key sets that it says it holds."""

    chip: ChipSerial
    held: tuple[HeldKeys, ...]


class SamMaker(Protocol):
    """Gives the issuer's side of the sessions that load one SAM."""

    def begin(self, chip: ChipSerial, plan: SamPlan) -> None:
        """Say which SAM is loaded. Raises CardKeyError when it may not be."""
        ...

    def session(self, key_set: Scp03Set, chip: ChipSerial) -> SamSide:
        """Begin a session with the SAM, which has this key set."""
        ...

    def given(self, plan: SamPlan) -> frozenset[HeldKeys]:
        """The key sets that the SAM holds afterwards."""
        ...


class LocalSamMaker:
    """A `SamMaker` over root keys in this process. The first of `keys` opens the sessions."""

    def __init__(self, keys: Sequence[RootKeys]) -> None:
        """Take the keys. Raises CardKeyError when somebody holds them who gives none out."""
        self._keys = keys[0]
        self._sources: list[RootSource] = [each for each in keys if isinstance(each, RootSource)]
        if len(self._sources) != len(keys):
            raise CardKeyError(_NO_ROOTS)

    def begin(self, chip: ChipSerial, plan: SamPlan) -> None:
        """Do nothing: whoever has the keys may load each SAM."""

    def session(self, key_set: Scp03Set, chip: ChipSerial) -> SamHost:
        """Begin a session with the SAM, which has this key set."""
        return SamHost(self._keys, key_set, chip, self._sources)

    def given(self, plan: SamPlan) -> frozenset[HeldKeys]:
        """The key sets that the SAM holds afterwards."""
        return frozenset(
            _held(each.spec.protocol, each.cipher, each.key_version, plan) for each in self._sources
        )


class AgentSamMaker:
    """A `SamMaker` over all versions at the key agent.

    `begun` has a SAM signed for, by its chip, and returns the agent's handle.
    """

    def __init__(
        self,
        connection: AgentConnection,
        versions: Sequence[KeysOfVersion],
        begun: Callable[[ChipSerial, SamPlan], int],
    ) -> None:
        self._connection, self._versions, self._begun = connection, versions, begun
        self._loading = 0

    def begin(self, chip: ChipSerial, plan: SamPlan) -> None:
        """Have two custodians sign. Raises CardKeyError when the agent refuses."""
        self._loading = self._begun(chip, plan)

    def session(self, key_set: Scp03Set, chip: ChipSerial) -> AgentSamHost:
        """Begin a session with the SAM, which has this key set."""
        return AgentSamHost(self._connection, self._loading, key_set, chip)

    def given(self, plan: SamPlan) -> frozenset[HeldKeys]:
        """The key sets that the SAM holds afterwards."""
        return frozenset(
            _held(each.protocol, each.cipher, each.version, plan) for each in self._versions
        )


def _held(protocol: int, cipher: Cipher, version: int, plan: SamPlan) -> HeldKeys:
    return HeldKeys(protocol, cipher, version, frozenset(keys_of_roles(plan.roles, protocol)))


def check_plan(keys: Sequence[AboutKeys], plan: SamPlan, *, test_keys: bool) -> None:
    """Check what a SAM shall be, before one is made or met.

    Raises CardKeyError for published test keys or a PIN that is easy to guess without `test_keys`;
    FormatError for a role that is not in the table.
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
        keys_of_roles(plan.roles, each.spec.protocol)


def load_sam(
    connection: Connection, keys: Sequence[RootKeys], plan: SamPlan, *, renew: bool = False
) -> LoadedSam:
    """Load a SAM from root keys in this process, as `load_with`. The first gives the SCP03 keys."""
    return load_with(connection, LocalSamMaker(keys), plan, renew=renew)


def load_with(
    connection: Connection, maker: SamMaker, plan: SamPlan, *, renew: bool = False
) -> LoadedSam:
    """Load a blank SAM, or with `renew` one that was loaded before; then check what it holds.

    An interrupted load can be repeated. Raises CardKeyError when it is no SAM, when it was loaded
    and `renew` is not set, or when it does not hold afterwards what it was given.
    """
    chip = _chip(connection)
    if _is_loaded(connection) and not renew:
        raise CardKeyError(
            "this SAM is loaded already: with --renew its keys, PIN and limit are replaced"
        )
    versions = key_versions(connection)
    if versions not in ({TRANSPORT_KEY_VERSION}, {ISSUER_KEY_VERSION}):
        names = " ".join(f"{version:02X}" for version in sorted(versions)) or "none"
        raise CardKeyError(
            f"the SAM has SCP03 key sets of versions {names}; it must have one: that of its maker"
            f" ({TRANSPORT_KEY_VERSION:02X}) or ours ({ISSUER_KEY_VERSION:02X}). Do not use it"
        )
    maker.begin(chip, plan)
    if versions == {TRANSPORT_KEY_VERSION}:
        host = maker.session(Scp03Set.TRANSPORT, chip)
        opened = HostSession.open(connection, host, SECURITY_DOMAIN)
        opened.carry(host.replace_sam_keys())
    host = maker.session(Scp03Set.ISSUER, chip)
    HostSession.open(connection, host, SECURITY_DOMAIN).carry(host.load_sam(plan))
    return LoadedSam(chip, _checked(connection, maker.given(plan), plan))


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
    connection: Connection, given: frozenset[HeldKeys], plan: SamPlan
) -> tuple[HeldKeys, ...]:
    """Open the SAM with its PIN, and compare what it holds with what it was given."""
    connection.reset()
    profile = RHCARD.having({"sam_pin": plan.pin_form})
    held = SamKeySet.open(connection, plan.pin, profile=profile).held
    if set(held) != given:
        raise CardError("the SAM does not hold what it was loaded with: do not use it")
    return held
