"""What a request says that several people signed: checked, and kept for the receipt."""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cardlib.errors import DAMAGE, CardKeyError
from cardlib.keys.store.store_header import StoreHeader
from cardlib.keys.token.token_change import ChangeUnknown

from .custodianship import check_deciders
from .key_change import KeyChange, VersionFacts
from .operators import Operator
from .receipts import Receipt
from .register import OperatorRegister, read_register
from .service import Call
from .statement import Statement, StatementCheck, allowed_people
from .vault import StoreSource


@dataclass(frozen=True, slots=True)
class Signed:
    """A statement that was verified, with those who signed it."""

    statement: Statement
    people: tuple[Operator, ...]
    signatures: Mapping[str, bytes]

    def receipt(
        self,
        about: VersionFacts,
        components: Mapping[str, str] | None = None,
    ) -> Callable[[int], Receipt]:
        """Return what makes the receipt about a version of the keys, once its number is known."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return lambda number: Receipt(
            number,
            now,
            self.statement.as_dict(),
            {name: signature.hex() for name, signature in self.signatures.items()},
            {person.name: person.fingerprint for person in self.people},
            about.version,
            about.identity,
            dict(components or {}),
            dict(about.check_values),
        )


def register(call: Call) -> OperatorRegister:
    """Read the register of operators. Raises CardKeyError when others may write it."""
    path = call.service.policy.operators
    if path is None:
        raise CardKeyError(
            f"{call.service.policy.path}: operators is missing: write the full path of the register"
            " of operators"
        )
    return read_register(path, guarded=True)


def store_name(call: Call) -> str:
    """What statements call these keys: the name of the store, or of the token."""
    header = store_header(call)
    return call.service.vault.source.name if header is None else header.store


def store_header(call: Call) -> StoreHeader | None:
    """What the key store says of itself, proved if it is open; None for a token."""
    vault = call.service.vault
    if not isinstance(vault.source, StoreSource):
        return None
    return vault.source.header() if vault.is_locked else vault.store.header


def people_for(call: Call, action: str, names: Collection[str]) -> tuple[Operator, ...]:
    """Return the operators of these names, if they may do this with these keys together.

    Raises CardKeyError as `allowed_people` does, or when one is no custodian of the key store.
    """
    people, header = allowed_people(register(call), action, names), store_header(call)
    if header is not None:
        check_deciders(header, people)
    return people


def verified(call: Call, action: str) -> Signed:
    """Verify the statement of a request; its nonce is used up then."""
    try:
        text = call.given["statement"]
        statement = Statement.from_dict(json.loads(text))
        if statement.canonical() != text.encode():  # the log shows the text
            raise ValueError
    except DAMAGE:
        raise CardKeyError("the statement does not have the form of a statement") from None
    signatures = {each["operator"]: each["signature"] for each in call.given["signatures"]}
    if len(signatures) != len(call.given["signatures"]):
        raise CardKeyError("the statement is signed twice by one operator")
    check = StatementCheck(register(call), call.service.nonces, store_name(call))
    people = check.verify(action, statement, signatures)
    if (header := store_header(call)) is not None:
        check_deciders(header, people)
    return Signed(statement, people, signatures)


def carry_out(
    call: Call, signed: Signed, change: KeyChange, components: Mapping[str, str] | None = None
) -> Receipt:
    """Write the receipt, make the change, and only then give the receipt its name.

    When nobody can say whether the change was made, the agent is locked. The next unlock sees it,
    and finishes the receipt.
    """
    if change.removed:
        call.service.note(f"{change.removed} keys of an interrupted try were removed")
    try:
        with call.service.receipts.kept(signed.receipt(change.about, components)) as receipt:
            call.service.vault.make(change)
    except ChangeUnknown:
        call.service.lock()
        raise
    return receipt


def expect(signed: Signed, parameters: Mapping[str, Any]) -> None:
    """Raise CardKeyError unless a statement says exactly what is about to be done."""
    if signed.statement.parameters != parameters:
        raise CardKeyError("the statement says something else than what would be done: sign again")


def parameter(signed: Signed, name: str, kind: type) -> Any:
    """Return one parameter of a statement. Raises CardKeyError when it is not of this kind."""
    found = signed.statement.parameters.get(name)
    if type(found) is not kind:
        raise CardKeyError(f"the statement does not say {name}: sign again")
    return found
