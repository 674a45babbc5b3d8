"""What the key agent does for whom: a table of its verbs."""

from collections.abc import Mapping

from cardlib.keys import RootKeys

from .batch_verbs import BATCH_VERBS
from .card_verbs import CARD_VERBS
from .ceremony_verbs import CEREMONY_VERBS
from .custodian_verbs import CUSTODIAN_VERBS
from .roles import EVERYBODY, Role
from .sam_verbs import SAM_VERBS
from .service import Answer, Call, Verb
from .terminal_verbs import TERMINAL_VERBS, allowed_keys
from .unlock_verbs import UNLOCK_VERBS
from .vault import is_retired

_SEES_ALL = frozenset((Role.AUDITOR, Role.CUSTODIAN))


def _status(call: Call) -> Answer:
    service = call.service
    shown = [
        {"name": caller.name, "cards": service.jobs.cards_of(caller.name), "most": caller.cards}
        for caller in service.policy.callers.values()
        if call.caller.roles & _SEES_ALL or caller == call.caller
    ]
    return {
        "locked": service.vault.is_locked,
        "store": service.vault.source.name,
        "identity": service.vault.identity,
        "test_keys": service.vault.test_keys,
        "idle_minutes": service.policy.idle_minutes,
        "entries": service.log.number,
        "head": service.log.newest,
        "caller": call.caller.name,
        "role": call.caller.role,
        "callers": shown,
    }


def _lock(call: Call) -> Answer:
    call.service.lock()
    return {}


def _versions(call: Call) -> Answer:
    holder = call.service.vault.holder
    rest = [each for each in holder.versions.values() if each.identity != holder.newest.identity]
    return {"versions": [_described(each, call) for each in (holder.newest, *reversed(rest))]}


def _described(keys: RootKeys, call: Call) -> Answer:
    return {
        "identity": keys.identity,
        "version": keys.key_version,
        "protocol": keys.spec.protocol,
        "cipher": int(keys.cipher),
        "test_keys": keys.is_test,
        "of_one_person": call.service.vault.is_of_one_person,
        "retired": is_retired(call.service.vault.holder, keys.identity),
        "names": sorted(keys.terminal_keys.names & allowed_keys(call)),
    }


VERBS: Mapping[str, Verb] = {
    "status": Verb(_status, EVERYBODY, locked_too=True),
    "lock": Verb(_lock, EVERYBODY, locked_too=True),
    "versions": Verb(_versions, EVERYBODY),
    **UNLOCK_VERBS,
    **CARD_VERBS,
    **BATCH_VERBS,
    **TERMINAL_VERBS,
    **CEREMONY_VERBS,
    **CUSTODIAN_VERBS,
    **SAM_VERBS,
}
"""Each verb by its name; `cardlib.keys.agent.agent_verbs` has its members."""
