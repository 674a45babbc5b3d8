"""Who the custodians of a key store are, and who may take their places."""

from collections.abc import Collection, Mapping

from cardlib.errors import CardKeyError
from cardlib.keys.store.store_header import StoreHeader

from .operators import Operator
from .register import OperatorRegister
from .roles import Role

IN_OFFICE = "in office"


def standing(name: str, key: bytes, registry: OperatorRegister) -> str:
    """Say in a few words what the register knows of a custodian; `key` is that of the store."""
    found = registry.operators.get(name)
    if found is None:
        return "not in the register"
    if found.wrapping != key:
        return "has another key in the register"
    if found.retired is not None:
        return f"retired {found.retired}"
    return IN_OFFICE if Role.CUSTODIAN in found.roles else "no custodian in the register"


def fingerprint(name: str, key: bytes, registry: OperatorRegister) -> str | None:
    """Return the fingerprint of a custodian; None when the register does not know this key."""
    found = registry.operators.get(name)
    return found.fingerprint if found is not None and found.wrapping == key else None


def check_deciders(header: StoreHeader, people: Collection[Operator]) -> None:
    """Raise CardKeyError unless a store of custodians is decided about by those of today.

    A role in the register is not enough: whoever keeps the register gives roles. A store of one
    passphrase, for trials, has no custodians: there the role is enough.
    """
    for person in people if header.is_production else ():
        if person.name not in header.custodian_keys:
            raise CardKeyError(
                f"{person.name} is no custodian of this key store. Two of today's custodians"
                f" decide: {', '.join(header.custodians)}"
            )
        _check_key(header, person)


def successors(
    header: StoreHeader, registry: OperatorRegister, wanted: Mapping[str, str]
) -> tuple[Operator, ...]:
    """Return the operators who are to be the custodians; `wanted` has fingerprints by name.

    Raises CardKeyError when one is unknown, retired, no custodian in the register, or has another
    fingerprint there or another key in the store, when they are those of today, or when the store
    has no custodians.
    """
    if not header.is_production:
        raise CardKeyError(
            "this key store has no custodians, one passphrase opens it: `rhcard keys migrate` gives"
            " it custodians"
        )
    people = tuple(registry.of(name) for name in sorted(wanted))
    for person in people:
        if Role.CUSTODIAN not in person.roles:
            raise CardKeyError(f"operator {person.name} does not have the role {Role.CUSTODIAN}")
        if wanted[person.name] != person.fingerprint:
            raise CardKeyError(
                f"the register of the key agent has {person.name} with the fingerprint"
                f" {person.fingerprint}, and not with {wanted[person.name]}: ask {person.name}"
                " which one is theirs"
            )
        if person.name in header.custodian_keys:
            _check_key(header, person)
    if wanted.keys() == header.custodian_keys.keys():
        raise CardKeyError(
            f"the custodians are {', '.join(header.custodians)} already: nothing would change"
        )
    return people


def _check_key(header: StoreHeader, person: Operator) -> None:
    if header.custodian_keys[person.name] != person.wrapping:
        raise CardKeyError(
            f"the key store knows another key of {person.name} than the register: find out who"
            " changed the register"
        )
