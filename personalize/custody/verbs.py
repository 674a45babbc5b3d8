"""What the key agent does for whom: a table of its verbs."""

from collections.abc import Mapping

from .roles import EVERYBODY, Role
from .service import Call, Verb

Answer = Mapping[str, object]
_SEES_ALL = frozenset((Role.AUDITOR, Role.CUSTODIAN))


def _status(call: Call) -> Answer:
    service = call.service
    shown = [
        {"name": caller.name, "cards": service.jobs.cards_of(caller.name), "most": caller.cards}
        for caller in service.policy.callers.values()
        if call.caller.role in _SEES_ALL or caller == call.caller
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


def _unlock(call: Call) -> Answer:
    keys = call.service.vault.unlock(call.given["passphrase"])
    return {"identity": keys.identity, "test_keys": keys.is_test}


def _lock(call: Call) -> Answer:
    call.service.lock()
    return {}


_UNLOCKS = frozenset((Role.CUSTODIAN, Role.STATION))

VERBS: Mapping[str, Verb] = {
    "status": Verb(_status, EVERYBODY, locked_too=True),
    "unlock": Verb(_unlock, _UNLOCKS, locked_too=True),
    "lock": Verb(_lock, EVERYBODY, locked_too=True),
}
"""Each verb by its name; `cardlib.keys.agent_verbs` has its members."""
