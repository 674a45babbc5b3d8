"""The agent's verbs for people: ceremonies, new versions, receipts.

A ceremony belongs to the connection on which it began: it ends with it, or when the agent locks.
"""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cardlib.crypto import Cipher
from cardlib.errors import CardKeyError
from cardlib.keys.roots import Roots

from .ceremony import IDLE_SECONDS, Ceremony, ComponentEntry, Plan, WrongComponent, split
from .component import (
    EXCHANGE,
    KEY_SIZE,
    SET,
    SET_SIZE,
    SINGLE_KEYS,
    Component,
    cipher_of,
    component_bound,
)
from .key_blocks import wrapped
from .key_change import KeyChange, VersionFacts, facts_of
from .new_version import next_version, value_of
from .operators import Operator
from .roles import Role
from .service import Answer, Call, Verb
from .signed import Signed, carry_out, expect, parameter, people_for, verified


@dataclass(slots=True)
class HostedCeremony:
    """A ceremony at the agent, and when something last happened in it."""

    ceremony: Ceremony
    touched: float = field(default_factory=time.monotonic)


# --- ceremonies -----------------------------------------------------------------------


def _begin(call: Call) -> Answer:
    action, what, names = (call.given[name] for name in ("action", "what", "operators"))
    holder = call.service.vault.holder
    if (action == "export") != (what == EXCHANGE) or what not in (*SINGLE_KEYS, SET, EXCHANGE):
        raise CardKeyError(f"components of {what} cannot be entered to {action} keys")
    people_for(call, action, names)
    if action == "import":
        next_version(holder)
    cipher = holder.newest.cipher
    if what == EXCHANGE and call.given["cipher"] is not None:
        cipher = Cipher[call.given["cipher"]]
    plan = Plan(secrets.token_hex(16), action, what, cipher, tuple(names))
    handle = call.desk.put(HostedCeremony(Ceremony(plan)))
    return {"ceremony": handle, "id": plan.ceremony, "cipher": cipher.name}


def _hosted(call: Call, action: str | None = None) -> Ceremony:
    """The ceremony of a request; its ten minutes begin again."""
    hosted = call.desk.get(HostedCeremony, call.given["ceremony"])
    if time.monotonic() - hosted.touched > IDLE_SECONDS:
        call.desk.take(HostedCeremony, call.given["ceremony"]).ceremony.end()
        raise CardKeyError("nothing happened for ten minutes: the ceremony has ended. Begin again")
    if action not in (None, hosted.ceremony.plan.action):
        raise CardKeyError(f"this ceremony is not there to {action} keys")
    hosted.touched = time.monotonic()
    return hosted.ceremony


def _component(call: Call) -> Answer:
    ceremony, given = _hosted(call), call.given
    _ = call.service.vault.holder  # it is used: the agent does not lock itself in between
    plan, refused = ceremony.plan, None
    people = {each.name: each for each in people_for(call, plan.action, plan.operators)}
    person = people.get(given["operator"])
    if person is None:
        raise CardKeyError(f"{given['operator']} is no operator of this ceremony")
    try:
        component = _built(plan, given["number"], given["component"])
        entry = ComponentEntry(plan, person.name, given["check_value"], component.digest)
        entry.check(person, given["signature"])
        ceremony.enter(person.name, component, given["check_value"])
    except WrongComponent as error:
        refused = str(error)
        call.service.note(f"a component of {person.name} was refused")
    values = {} if ceremony.left else ceremony.check_values
    return {"refused": refused, "left": list(ceremony.left), "check_values": _listed(values)}


def _built(plan: Plan, number: int, value: bytes) -> Component:
    try:
        return Component(plan.what, plan.cipher, number, len(plan.operators), value)
    except CardKeyError as error:
        raise WrongComponent(str(error)) from None


def _listed(values: Mapping[str, str]) -> list[Mapping[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _about(ceremony: Ceremony) -> dict[str, Any]:
    """What a statement about a ceremony says of it."""
    plan = ceremony.plan
    return {
        "ceremony": plan.ceremony,
        "what": plan.what,
        "components": list(ceremony.components),
        "check_values": dict(ceremony.check_values),
    }


def _import(call: Call) -> Answer:
    ceremony = _hosted(call, "import")
    about = _about(ceremony)
    signed = verified(call, "import")
    expect(signed, about)
    _same_people(signed, ceremony)
    components = dict(zip(ceremony.plan.operators, ceremony.components, strict=True))
    changes = call.service.vault.changes
    with changes.imported(ceremony.plan.what, ceremony.result) as change:
        made = _made(call, signed, change, components)
    call.desk.take(HostedCeremony, call.given["ceremony"]).ceremony.confirm()
    return made


def _same_people(signed: Signed, ceremony: Ceremony) -> None:
    if signed.statement.operators != ceremony.plan.operators:
        raise CardKeyError("the statement must be signed by those who entered the components")


def _made(
    call: Call, signed: Signed, change: KeyChange, components: Mapping[str, str] | None = None
) -> Answer:
    receipt = carry_out(call, signed, change, components)
    about = change.about
    return {
        "version": about.version,
        "identity": about.identity,
        "check_values": _listed(about.check_values),
        "receipt": receipt.number,
    }


def _rotate(call: Call) -> Answer:
    signed = verified(call, "rotate")
    vault = call.service.vault
    transport = parameter(signed, "transport", bool)
    expect(signed, {"transport": transport, "version": next_version(vault.holder)})
    with vault.changes.rotated(transport=transport) as change:
        return _made(call, signed, change)


def _retire(call: Call) -> Answer:
    signed = verified(call, "retire")
    version = parameter(signed, "version", int)
    expect(signed, {"version": version})
    with call.service.vault.changes.retired(version) as change:
        return _made(call, signed, change)


# --- export ---------------------------------------------------------------------------


def _export_components(call: Call) -> Answer:
    signed = verified(call, "export")
    what, version = parameter(signed, "what", str), parameter(signed, "version", int)
    expect(signed, {"form": "components", "what": what, "version": version})
    if what not in (*SINGLE_KEYS, SET):
        raise CardKeyError(f"there is no key {what} to export")
    roots = call.service.vault.store.roots(version)
    size = SET_SIZE if what == SET else KEY_SIZE
    randoms = [secrets.token_bytes(size) for _ in signed.people[1:]]
    made = split(what, roots.cipher, value_of(roots, what), randoms)
    components = {person.name: each.check_value for person, each in _pairs(signed, made)}
    about = _about_keys(roots, (what,))
    with call.service.receipts.kept(signed.receipt(about, components)) as receipt:
        sealed = [
            {
                "operator": person.name,
                "cipher": each.cipher.name,
                "check_value": each.check_value,
                "sealed": person.seal(each.text().encode(), component_bound(person.name)),
            }
            for person, each in _pairs(signed, made)
        ]
    values = _listed(about.check_values)
    return {"components": sealed, "check_values": values, "receipt": receipt.number}


def _pairs(signed: Signed, made: list[Component]) -> list[tuple[Operator, Component]]:
    return list(zip(signed.people, made, strict=True))


def _about_keys(roots: Roots, whats: tuple[str, ...], **more: str) -> VersionFacts:
    """What a receipt says of these keys of a version; `more` are check values besides."""
    every = facts_of(roots)
    named = every.check_values if SET in whats else {w: every.check_values[w] for w in whats}
    return replace(every, check_values={**more, **named})


def _export_wrapped(call: Call) -> Answer:
    ceremony = _hosted(call, "export")
    about = _about(ceremony)
    signed = verified(call, "export")
    keys, version = parameter(signed, "keys", list), parameter(signed, "version", int)
    expect(signed, {**about, "form": "wrapped", "keys": keys, "version": version})
    _same_people(signed, ceremony)
    roots = call.service.vault.store.roots(version)
    _check_exported(keys, roots, ceremony.plan.cipher)
    exchange_value = ceremony.check_values[EXCHANGE]
    about_keys = _about_keys(roots, tuple(keys), **{EXCHANGE: exchange_value})
    components = dict(zip(ceremony.plan.operators, ceremony.components, strict=True))
    exchange = ceremony.result
    blocks = [
        wrapped(what, roots.cipher, version, value_of(roots, what), exchange) for what in keys
    ]
    with call.service.receipts.kept(signed.receipt(about_keys, components)) as receipt:
        call.desk.take(HostedCeremony, call.given["ceremony"]).ceremony.confirm()
    return {
        "blocks": [
            {"what": each.what, "check_value": each.check_value, "text": each.text}
            for each in blocks
        ],
        "receipt": receipt.number,
    }


def _check_exported(keys: list[Any], roots: Roots, exchange: Cipher) -> None:
    if not keys or len(set(keys)) != len(keys) or not set(keys) <= set(SINGLE_KEYS):
        raise CardKeyError("name each key to export once")
    for what in keys:
        if cipher_of(what, roots.cipher) is not exchange:
            raise CardKeyError(
                f"{what} is a key of {cipher_of(what, roots.cipher).name}: it needs an exchange key"
                f" of that cipher, not of {exchange.name}"
            )


# --- receipts -------------------------------------------------------------------------


def _receipts(call: Call) -> Answer:
    return {"receipts": call.service.receipts.numbers()}


def _receipt(call: Call) -> Answer:
    return {"lines": call.service.receipts.read(call.given["number"]).text().split("\n")}


_CUSTODIANS = frozenset((Role.CUSTODIAN,))
_READERS = frozenset((Role.CUSTODIAN, Role.AUDITOR))
CEREMONY_VERBS: Mapping[str, Verb] = {
    "ceremony-begin": Verb(_begin, _CUSTODIANS, ("action", "what", "operators")),
    "ceremony-component": Verb(_component, _CUSTODIANS, ("operator", "number", "check_value")),
    "ceremony-import": Verb(_import, _CUSTODIANS, ("statement",)),
    "ceremony-export": Verb(_export_wrapped, _CUSTODIANS, ("statement",)),
    "export-components": Verb(_export_components, _CUSTODIANS, ("statement",)),
    "rotate": Verb(_rotate, _CUSTODIANS, ("statement",)),
    "retire": Verb(_retire, _CUSTODIANS, ("statement",)),
    "receipts": Verb(_receipts, _READERS, locked_too=True),
    "receipt": Verb(_receipt, _READERS, ("number",), locked_too=True),
}
"""Each verb by its name; `cardlib.keys.agent.agent_verbs` has its members."""
