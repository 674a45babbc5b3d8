"""The agent's verbs to load a SAM: only for the chip, roles and limit that two custodians signed.

Root keys leave the agent nowhere else for a terminal, and only under the Key-DEK of that chip, in a
session in which it proved its keys.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from cardlib.errors import CardKeyError
from cardlib.facts import ChipSerial, Pin
from cardlib.issuance.sam_host import SamHost
from cardlib.keys.issuer import Scp03Set
from cardlib.keys.sam.sam_groupings import RootSource, SamPlan
from cardlib.layout.sam_roles import keys_of_roles

from .card_verbs import CardSession, commands_of, in_session, open_session
from .roles import AT_A_DESK
from .service import Answer, Call, Verb
from .signed import expect, parameter, verified

LOAD_SAM = "load-sam"
"""The action that custodians sign."""
_IN_A_TOKEN = (
    "the root keys are in a token, which gives none out, also not encrypted: they cannot be loaded"
    " into a SAM. Only a key store that holds the same roots can load one"
)
_OF_ONE_PERSON = (
    "the key store of the agent is opened by one person alone: no SAM is loaded from it. Give it to"
    " custodians first: `rhcard keys migrate`"
)


@dataclass(slots=True)
class SamLoading:
    """What two custodians signed for. `is_over` once the load was made: it works once."""

    chip: ChipSerial
    roles: tuple[str, ...]
    limit: int | None
    is_over: bool = False


@dataclass(slots=True, kw_only=True)
class SamSession(CardSession):
    """A session with the SAM of a loading."""

    sam: SamHost
    loading: SamLoading


def _sources(call: Call) -> list[RootSource]:
    """All versions of the roots, the newest first. Raises CardKeyError when they cannot leave."""
    vault = call.service.vault
    holder = vault.holder
    if vault.is_of_one_person and not holder.newest.is_test:
        raise CardKeyError(_OF_ONE_PERSON)
    versions = [holder.newest]
    versions += [each for each in holder.versions.values() if each is not holder.newest]
    sources: list[RootSource] = [each for each in versions if isinstance(each, RootSource)]
    if len(sources) != len(versions):
        raise CardKeyError(_IN_A_TOKEN)
    return sources


def _begin(call: Call) -> Answer:
    sources = _sources(call)
    signed = verified(call, LOAD_SAM)
    chip = ChipSerial.parse(parameter(signed, "chip", str))
    roles, limit = parameter(signed, "roles", list), parameter(signed, "limit", int)
    expect(signed, {"chip": str(chip), "roles": roles, "limit": limit})
    if not all(type(role) is str for role in roles):
        raise CardKeyError("the statement does not say roles: sign again")
    for each in sources:
        keys_of_roles(roles, each.spec.protocol)
    plan = SamPlan(tuple(roles), Pin("0" * 6), limit or None)
    if chip not in call.service.stock:
        raise CardKeyError(
            f"chip {chip} is not in received stock. If this SAM was received, add it to the stock"
            " of the agent's policy"
        )
    call.service.jobs.count(call.caller, chip)
    call.service.jobs.claim_sam(chip, roles)
    return {"sam": call.desk.put(SamLoading(chip, plan.roles, plan.limit))}


def _session(call: Call) -> Answer:
    loading = call.desk.get(SamLoading, call.given["sam"])
    if loading.is_over:
        raise CardKeyError("this SAM was loaded with what was signed: sign again to load it again")
    key_set, chip = Scp03Set(call.given["key_set"]), loading.chip
    holder = call.service.vault.holder
    keys = call.service.vault.for_issuing(holder.newest.identity)
    host = SamHost(keys, key_set, chip, _sources(call))
    command = host.initialize_update()
    session = SamSession(host, key_set, chip, keys.identity, sam=host, loading=loading)
    return {"session": call.desk.put(session), "command": bytes(command)}


def _replace_keys(call: Call) -> Answer:
    session = open_session(call, SamSession, Scp03Set.TRANSPORT)
    return commands_of(session.sam.replace_sam_keys())


def _load(call: Call) -> Answer:
    session, given = open_session(call, SamSession, Scp03Set.ISSUER), call.given
    loading = session.loading
    if loading.is_over:
        raise CardKeyError("this SAM was loaded with what was signed: sign again to load it again")
    plan = SamPlan(
        loading.roles, Pin(given["pin"]), loading.limit, given["pin_form"], given["meaning_of_0"]
    )
    made = commands_of(session.sam.load_sam(plan))
    loading.is_over = True
    return made


SAM_VERBS: Mapping[str, Verb] = {
    "sam-begin": Verb(_begin, AT_A_DESK, ("statement",)),
    "sam-session": Verb(_session, AT_A_DESK, ("key_set",), handle="sam"),
    "sam-replace-keys": in_session(_replace_keys, roles=AT_A_DESK),
    "sam-load": in_session(_load, roles=AT_A_DESK),
}
"""Each verb by its name; `cardlib.keys.agent.agent_verbs` has its members."""
