"""The agent's verbs for people: statements, ceremonies, new versions, receipts.

A ceremony belongs to the connection on which it began: it ends with it, or when the agent locks.
"""

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cardlib.crypto import Cipher
from cardlib.errors import DAMAGE, CardKeyError
from cardlib.keys.custodians import opened_pair, pair_of
from cardlib.keys.roots import Roots, next_roots
from cardlib.keys.roots import check_values as root_check_values

from .after_a_cut import finish_what_was_cut
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
from .new_version import imported, next_version, value_of
from .operators import Operator
from .receipts import Receipt
from .register import Register, read_register
from .roles import Role
from .service import Answer, Call, Verb
from .statement import Statement, StatementCheck, allowed_people
from .vault import StoreSource


@dataclass(slots=True)
class HostedCeremony:
    """A ceremony at the agent, and when something last happened in it."""

    ceremony: Ceremony
    touched: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class Signed:
    """A statement that was verified, with those who signed it."""

    statement: Statement
    people: tuple[Operator, ...]
    signatures: Mapping[str, bytes]

    def receipt(
        self,
        keys: Roots,
        components: Mapping[str, str] | None = None,
        check_values: Mapping[str, str] | None = None,
    ) -> Callable[[int], Receipt]:
        """Return what makes the receipt about a version of the keys, once its number is known."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        values = root_values(keys) if check_values is None else check_values
        return lambda number: Receipt(
            number,
            now,
            self.statement.as_dict(),
            {name: signature.hex() for name, signature in self.signatures.items()},
            {person.name: person.fingerprint for person in self.people},
            keys.version,
            keys.identity,
            dict(components or {}),
            dict(values),
        )


def root_values(roots: Roots) -> Mapping[str, str]:
    """Return the check value of each root of a version, 6 hex digits, by name."""
    return {name: value.hex().upper() for name, value in root_check_values(roots).items()}


def _register(call: Call) -> Register:
    path = call.service.policy.operators
    if path is None:
        raise CardKeyError(
            f"{call.service.policy.path}: operators is missing: write the full path of the register"
            " of operators"
        )
    return read_register(path, guarded=True)


def _store_name(call: Call) -> str:
    """What statements call these keys: the name of the store, or of the token."""
    vault = call.service.vault
    if not isinstance(vault.source, StoreSource):
        return vault.source.name
    return (vault.source.header() if vault.is_locked else vault.store.header).store


def _signed(call: Call, action: str) -> Signed:
    """Verify the statement of a request; its nonce is used up then."""
    try:
        entry = json.loads(call.given["statement"])
        statement = Statement.from_dict(entry)
    except DAMAGE:
        raise CardKeyError("the statement does not have the form of a statement") from None
    signatures = {each["operator"]: each["signature"] for each in call.given["signatures"]}
    if len(signatures) != len(call.given["signatures"]):
        raise CardKeyError("the statement is signed twice by one operator")
    check = StatementCheck(_register(call), call.service.nonces, _store_name(call))
    return Signed(statement, check.verify(action, statement, signatures), signatures)


def _expect(signed: Signed, parameters: Mapping[str, Any]) -> None:
    """Raise CardKeyError unless a statement says exactly what is about to be done."""
    if signed.statement.parameters != parameters:
        raise CardKeyError("the statement says something else than what would be done: sign again")


def _parameter(signed: Signed, name: str, kind: type) -> Any:
    found = signed.statement.parameters.get(name)
    if type(found) is not kind:
        raise CardKeyError(f"the statement does not say {name}: sign again")
    return found


def _nonce(call: Call) -> Answer:
    nonce, expires = call.service.nonces.new()
    return {"nonce": nonce, "expires": expires.isoformat(), "store": _store_name(call)}


def _custodians_wrap(call: Call) -> Answer:
    one, two = _two(call.given["operators"])
    wrap = pair_of(call.service.vault.store_source.header(), one, two)
    return {"public": wrap.public, "keys": list(wrap.keys)}


def _two(names: list[str]) -> tuple[str, str]:
    if len(names) != 2:
        raise CardKeyError("two different custodians open the key store together")
    return names[0], names[1]


def _unlock_together(call: Call) -> Answer:
    signed = _signed(call, "unlock")
    _expect(signed, {})
    shares = {each["operator"]: each["share"] for each in call.given["shares"]}
    wrap = pair_of(
        call.service.vault.store_source.header(), *_two(list(signed.statement.operators))
    )
    if shares.keys() != set(wrap.operators):
        raise CardKeyError("the shares must be of those two who signed")
    one, two = (shares[name] for name in wrap.operators)
    keys = call.service.vault.unlock_together(lambda: opened_pair(wrap, one, two))
    finish_what_was_cut(call.service)
    return {"identity": keys.identity, "test_keys": keys.is_test}


# --- ceremonies -----------------------------------------------------------------------


def _begin(call: Call) -> Answer:
    action, what, names = (call.given[name] for name in ("action", "what", "operators"))
    holder = call.service.vault.holder
    if (action == "export") != (what == EXCHANGE) or what not in (*SINGLE_KEYS, SET, EXCHANGE):
        raise CardKeyError(f"components of {what} cannot be entered to {action} keys")
    allowed_people(_register(call), action, names)
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
    people = {
        each.name: each for each in allowed_people(_register(call), plan.action, plan.operators)
    }
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
    signed = _signed(call, "import")
    _expect(signed, about)
    _same_people(signed, ceremony)
    roots = imported(call.service.vault.holder, ceremony.plan.what, ceremony.result)
    components = dict(zip(ceremony.plan.operators, ceremony.components, strict=True))
    with call.service.receipts.kept(signed.receipt(roots, components)) as receipt:
        call.service.vault.add(roots)
    call.desk.take(HostedCeremony, call.given["ceremony"]).ceremony.confirm()
    return _new_version(roots, receipt)


def _same_people(signed: Signed, ceremony: Ceremony) -> None:
    if signed.statement.operators != ceremony.plan.operators:
        raise CardKeyError("the statement must be signed by those who entered the components")


def _new_version(roots: Roots, receipt: Receipt) -> Answer:
    return {
        "version": roots.version,
        "identity": roots.identity,
        "check_values": _listed(root_values(roots)),
        "receipt": receipt.number,
    }


def _rotate(call: Call) -> Answer:
    signed = _signed(call, "rotate")
    store = call.service.vault.store
    transport = _parameter(signed, "transport", bool)
    version = next_version(store)
    _expect(signed, {"transport": transport, "version": version})
    roots = next_roots(store.roots(version - 1), transport=transport)
    with call.service.receipts.kept(signed.receipt(roots)) as receipt:
        call.service.vault.add(roots)
    return _new_version(roots, receipt)


def _retire(call: Call) -> Answer:
    signed = _signed(call, "retire")
    version = _parameter(signed, "version", int)
    _expect(signed, {"version": version})
    store = call.service.vault.store
    changed, roots = store.retired(version), store.roots(version)
    with call.service.receipts.kept(signed.receipt(roots)) as receipt:
        call.service.vault.change(changed)
    return _new_version(roots, receipt)


# --- export ---------------------------------------------------------------------------


def _export_components(call: Call) -> Answer:
    signed = _signed(call, "export")
    what, version = _parameter(signed, "what", str), _parameter(signed, "version", int)
    _expect(signed, {"form": "components", "what": what, "version": version})
    if what not in (*SINGLE_KEYS, SET):
        raise CardKeyError(f"there is no key {what} to export")
    roots = call.service.vault.store.roots(version)
    size = SET_SIZE if what == SET else KEY_SIZE
    randoms = [secrets.token_bytes(size) for _ in signed.people[1:]]
    made = split(what, roots.cipher, value_of(roots, what), randoms)
    components = {person.name: each.check_value for person, each in _pairs(signed, made)}
    values = _values_of(roots, (what,))
    with call.service.receipts.kept(signed.receipt(roots, components, values)) as receipt:
        sealed = [
            {
                "operator": person.name,
                "cipher": each.cipher.name,
                "check_value": each.check_value,
                "sealed": person.seal(each.text().encode(), component_bound(person.name)),
            }
            for person, each in _pairs(signed, made)
        ]
    return {"components": sealed, "check_values": _listed(values), "receipt": receipt.number}


def _pairs(signed: Signed, made: list[Component]) -> list[tuple[Operator, Component]]:
    return list(zip(signed.people, made, strict=True))


def _values_of(roots: Roots, whats: tuple[str, ...]) -> Mapping[str, str]:
    every = root_values(roots)
    return every if SET in whats else {what: every[what] for what in whats}


def _export_wrapped(call: Call) -> Answer:
    ceremony = _hosted(call, "export")
    about = _about(ceremony)
    signed = _signed(call, "export")
    keys, version = _parameter(signed, "keys", list), _parameter(signed, "version", int)
    _expect(signed, {**about, "form": "wrapped", "keys": keys, "version": version})
    _same_people(signed, ceremony)
    roots = call.service.vault.store.roots(version)
    _check_exported(keys, roots, ceremony.plan.cipher)
    values = {EXCHANGE: ceremony.check_values[EXCHANGE], **_values_of(roots, tuple(keys))}
    components = dict(zip(ceremony.plan.operators, ceremony.components, strict=True))
    exchange = ceremony.result
    blocks = [
        wrapped(what, roots.cipher, version, value_of(roots, what), exchange) for what in keys
    ]
    with call.service.receipts.kept(signed.receipt(roots, components, values)) as receipt:
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
_AT_A_DESK = frozenset((Role.CUSTODIAN, Role.STATION))
_READERS = frozenset((Role.CUSTODIAN, Role.AUDITOR))
CEREMONY_VERBS: Mapping[str, Verb] = {
    "nonce": Verb(_nonce, _AT_A_DESK, locked_too=True),
    "custodians-wrap": Verb(_custodians_wrap, _AT_A_DESK, ("operators",), locked_too=True),
    "unlock-together": Verb(_unlock_together, _AT_A_DESK, ("statement",), locked_too=True),
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
"""Each verb by its name; `cardlib.keys.agent_verbs` has its members."""
