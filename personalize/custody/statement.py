"""Statements: what several people want the agent to do, signed by each of them.

A statement is canonical JSON (sorted names, no blanks, ASCII). Each person signs
"rhcard statement 1\\n" ‖ JSON with Ed25519. It holds a nonce of the agent, works once, and for ten
minutes.
"""

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from cardlib.errors import DAMAGE, CardKeyError

from .operators import Operator, OperatorKey
from .register import OperatorRegister
from .roles import Role

LIFETIME = timedelta(minutes=10)
_PREFIX = b"rhcard statement 1\n"
_NONCE = re.compile(r"[0-9a-f]{32}")
_MOST_NONCES = 64
_DEEPEST = 4


@dataclass(frozen=True, slots=True)
class Action:
    """What people may tell the agent to do: which roles, and how many people at least."""

    roles: frozenset[Role]
    people: int
    words: str


_CUSTODIANS = frozenset({Role.CUSTODIAN})
ACTIONS: Mapping[str, Action] = MappingProxyType(
    {
        "unlock": Action(_CUSTODIANS, 2, "Open a store of custodians, or the keys in a token"),
        "import": Action(_CUSTODIANS, 2, "Put keys from components into a new version"),
        "export": Action(_CUSTODIANS, 2, "Take keys out, as components or under a transport key"),
        "rotate": Action(_CUSTODIANS, 2, "Make a new version with new random keys"),
        "load-sam": Action(_CUSTODIANS, 2, "Load a SAM with the root keys of its roles"),
        "retire": Action(_CUSTODIANS, 2, "Retire an old version"),
        "exchange-custodians": Action(_CUSTODIANS, 2, "Let others be the custodians of the store"),
    }
)
"""Who may do what. Locking and reading (`receipt`, `status`) need no signature: the policy file
says which users of the computer may ask."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What is to be done, by whom, for which store, and until when.

    `parameters` holds text, whole numbers, true and false, and lists and objects of them.
    """

    action: str
    parameters: Mapping[str, Any]
    nonce: str
    expires: datetime
    operators: tuple[str, ...]
    store: str

    def canonical(self) -> bytes:
        """The statement as canonical JSON."""
        return json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":")).encode("ascii")

    def as_dict(self) -> dict[str, Any]:
        """The statement as JSON members."""
        return {
            "action": self.action,
            "parameters": dict(self.parameters),
            "nonce": self.nonce,
            "expires": self.expires.astimezone(UTC).isoformat(timespec="seconds"),
            "operators": list(self.operators),
            "store": self.store,
        }

    @property
    def digest(self) -> str:
        """SHA-256 of what is signed, 64 hex digits: a receipt shows it."""
        return hashlib.sha256(_PREFIX + self.canonical()).hexdigest()

    def signed_by(self, key: OperatorKey) -> bytes:
        """Return a person's signature, 64 bytes."""
        return key.sign(_PREFIX + self.canonical())

    def check(self, operator: Operator, signature: bytes) -> None:
        """Check one person's signature. Raises CardKeyError when it is wrong."""
        operator.verify(signature, _PREFIX + self.canonical())

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> "Statement":
        """Decode what `as_dict` made. Raises CardKeyError when a member is wrong or too much."""
        try:
            expires = datetime.fromisoformat(entry["expires"])
            made = cls(
                entry["action"],
                entry["parameters"],
                entry["nonce"],
                expires,
                tuple(entry["operators"]),
                entry["store"],
            )
            texts = (made.action, made.nonce, made.store, *made.operators)
            well_formed = (
                all(type(each) is str for each in texts)
                and type(made.parameters) is dict
                and _is_plain(made.parameters, _DEEPEST)
                and made.as_dict() == dict(entry)
            )
        except DAMAGE:
            well_formed = False
        if not well_formed:
            raise CardKeyError("the statement does not have the form of a statement")
        return made


def _is_plain(value: object, deepest: int) -> bool:
    """Whether a value has one JSON form only: no fractions, no null, not too deep."""
    if type(value) in (str, int, bool):
        return True
    if not deepest or type(value) not in (dict, list):
        return False
    if isinstance(value, dict):
        if not all(type(name) is str for name in value):
            return False
        return all(_is_plain(each, deepest - 1) for each in value.values())
    return isinstance(value, list) and all(_is_plain(each, deepest - 1) for each in value)


def _now() -> datetime:
    return datetime.now(UTC)


class Nonces:
    """The nonces that an agent has given out and that no statement has used."""

    def __init__(self, clock: Callable[[], datetime] = _now) -> None:
        self._clock = clock
        self._open: dict[str, datetime] = {}

    def now(self) -> datetime:
        """The time by the agent's clock."""
        return self._clock()

    def new(self) -> tuple[str, datetime]:
        """Make a nonce, 32 hex digits, and say when it ends. The oldest goes when there are 64."""
        while len(self._open) >= _MOST_NONCES:
            del self._open[next(iter(self._open))]
        nonce = secrets.token_hex(16)
        self._open[nonce] = (self.now() + LIFETIME).replace(microsecond=0)
        return nonce, self._open[nonce]

    def expiry(self, nonce: str) -> datetime:
        """Return when an unused nonce ends. Raises CardKeyError when it is not known, or used."""
        if nonce not in self._open:
            raise CardKeyError(
                "the statement was used before, or is not for this agent: sign again"
            )
        return self._open[nonce]

    def use(self, nonce: str) -> None:
        """Use a nonce up. Raises CardKeyError as `expiry` does."""
        self.expiry(nonce)
        del self._open[nonce]


@dataclass(frozen=True, slots=True)
class StatementCheck:
    """How an agent looks at statements: with its operators, its nonces and its store's name."""

    registry: OperatorRegister
    nonces: Nonces
    store: str

    def verify(
        self, action: str, statement: Statement, signatures: Mapping[str, bytes]
    ) -> tuple[Operator, ...]:
        """Check a statement and use its nonce up. Returns the people who signed.

        Raises CardKeyError, and keeps the nonce, when anything in it is wrong.
        """
        if statement.action != action or action not in ACTIONS:
            raise CardKeyError(f"the statement is for {statement.action!r}, not for {action!r}")
        if statement.store != self.store:
            raise CardKeyError("the statement is for another key store")
        people = allowed_people(self.registry, action, statement.operators)
        ends = self.nonces.expiry(statement.nonce)
        if statement.expires > ends:
            raise CardKeyError("the statement would work for longer than ten minutes")
        if self.nonces.now() >= statement.expires:
            raise CardKeyError("the statement is older than ten minutes: sign again")
        if signatures.keys() != set(statement.operators):
            raise CardKeyError(
                f"the statement must be signed by {' and '.join(statement.operators)}, and by"
                " nobody else"
            )
        for person in people:
            statement.check(person, signatures[person.name])
        self.nonces.use(statement.nonce)
        return people


def allowed_people(
    registry: OperatorRegister, action: str, names: Collection[str]
) -> tuple[Operator, ...]:
    """Return the operators of these names, if they may do this together.

    Raises CardKeyError when one is named twice, there are too few, or one is unknown, retired or
    has no fitting role.
    """
    rule = ACTIONS[action]
    if len(set(names)) != len(names):
        raise CardKeyError(f"the same operator is named twice: {action} needs different people")
    if len(names) < rule.people:
        raise CardKeyError(f"{action} needs {rule.people} different operators; {len(names)} given")
    people = tuple(registry.of(name) for name in names)
    if len({person.signing for person in people}) != len(people):
        raise CardKeyError("two of the operators have the same key: they are one person")
    for person in people:
        if not person.roles & rule.roles:
            roles = " or ".join(sorted(rule.roles))
            raise CardKeyError(f"operator {person.name} may not {action}: that needs role {roles}")
    return people
