"""The agent's verbs for the custodians of its key store: who they are, and their exchange."""

from collections.abc import Mapping

from cardlib.keys.store.store_file import kept_beside

from .custodianship import fingerprint, standing, successors
from .key_change import StoreChanges
from .roles import Role
from .service import Answer, Call, Verb
from .signed import carry_out, expect, parameter, register, verified


def _custodians(call: Call) -> Answer:
    vault, registry = call.service.vault, register(call)
    header = vault.store_source.header() if vault.is_locked else vault.store.header
    shown = [
        {
            "name": name,
            "fingerprint": fingerprint(name, key, registry),
            "state": standing(name, key, registry),
        }
        for name, key in sorted(header.custodian_keys.items())
    ]
    return {"custodians": shown}


def _exchange(call: Call) -> Answer:
    signed = verified(call, "exchange-custodians")
    wanted = parameter(signed, "custodians", dict)
    store, path = call.service.vault.store, call.service.vault.store_source.path.resolve()
    expect(signed, {"before": list(store.header.custodians), "custodians": wanted})
    people = successors(store.header, register(call), wanted)
    change = StoreChanges(store, path).with_custodians(
        [(each.name, each.wrapping) for each in people]
    )
    receipt = carry_out(call, signed, change)
    return {
        "keys": str(path),
        "kept": str(kept_beside(path)),
        "custodians": sorted(wanted),
        "receipt": receipt.number,
    }


_READERS = frozenset((Role.CUSTODIAN, Role.AUDITOR))
CUSTODIAN_VERBS: Mapping[str, Verb] = {
    "custodians": Verb(_custodians, _READERS, locked_too=True),
    "exchange-custodians": Verb(_exchange, frozenset((Role.CUSTODIAN,)), ("statement",)),
}
"""Each verb by its name; `cardlib.keys.agent.agent_verbs` has its members."""
