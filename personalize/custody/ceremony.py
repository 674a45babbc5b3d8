"""A ceremony: operators enter components one after the other, then confirm what they make.

It is a state machine without input and output; the key agent hosts it. Until it is done, nothing
anywhere has changed, and whoever ends it leaves nothing behind.
"""

import hmac
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from cardlib.crypto import Cipher
from cardlib.errors import CardKeyError

from .component import Component, check_values, xor
from .operators import Operator, OperatorKey

_ENTRY = b"rhcard component entry 1\n"
IDLE_SECONDS = 600
"""A ceremony in which nothing happens for ten minutes ends."""


class WrongComponent(CardKeyError):
    """A component, or its check value, is not right. Nothing of it is kept: enter it again."""


class CeremonyState(StrEnum):
    """Where a ceremony is."""

    ENTERING = "entering"
    CONFIRMING = "confirming"
    DONE = "done"
    ENDED = "ended"


class CeremonyEvent(StrEnum):
    """What can happen in a ceremony."""

    COMPONENT = "component"
    LAST_COMPONENT = "last component"
    CONFIRMED = "confirmed"
    END = "end"


NEXT: Mapping[CeremonyState, Mapping[CeremonyEvent, CeremonyState]] = MappingProxyType(
    {
        CeremonyState.ENTERING: {
            CeremonyEvent.COMPONENT: CeremonyState.ENTERING,
            CeremonyEvent.LAST_COMPONENT: CeremonyState.CONFIRMING,
            CeremonyEvent.END: CeremonyState.ENDED,
        },
        CeremonyState.CONFIRMING: {
            CeremonyEvent.CONFIRMED: CeremonyState.DONE,
            CeremonyEvent.END: CeremonyState.ENDED,
        },
        CeremonyState.DONE: {},
        CeremonyState.ENDED: {},
    }
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a ceremony is for: its number (32 hex digits), the key or set, and who enters what.

    `cipher` is that of the cards' keys; `operators` are in the order of the components, 2 or 3.
    """

    ceremony: str
    action: str
    what: str
    cipher: Cipher
    operators: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.operators) not in (2, 3) or len(set(self.operators)) != len(self.operators):
            raise CardKeyError("a ceremony needs 2 or 3 different operators, one a component")


@dataclass(frozen=True, slots=True)
class ComponentEntry:
    """One operator's entry, as that operator signs it. It holds no secret."""

    plan: Plan
    operator: str
    check_value: str
    digest: str

    def signed_by(self, key: OperatorKey) -> bytes:
        """Return the operator's signature, 64 bytes."""
        return key.sign(self._message())

    def check(self, operator: Operator, signature: bytes) -> None:
        """Check the signature. Raises CardKeyError when it is not this operator's."""
        if operator.name != self.operator:
            raise CardKeyError(f"the component is entered by {self.operator}, not {operator.name}")
        operator.verify(signature, self._message())

    def _message(self) -> bytes:
        members = {
            "ceremony": self.plan.ceremony,
            "action": self.plan.action,
            "what": self.plan.what,
            "operator": self.operator,
            "check_value": self.check_value,
            "digest": self.digest,
        }
        return _ENTRY + json.dumps(members, sort_keys=True, separators=(",", ":")).encode("ascii")


class Ceremony:
    """One ceremony. It keeps the XOR of what was entered, and no component."""

    def __init__(self, plan: Plan) -> None:
        self._sum: bytearray | None = None
        self.plan, self.state = plan, CeremonyState.ENTERING
        self._entered: dict[str, str] = {}
        self._digests: set[str] = set()

    def __repr__(self) -> str:
        return f"<ceremony {self.plan.what}: {self.state}, {len(self._entered)} entered>"

    def __del__(self) -> None:
        # The agent drops a ceremony when its connection ends, or when it locks.
        self._wipe()

    @property
    def left(self) -> tuple[str, ...]:
        """The operators whose components are not there yet, in their order."""
        return tuple(name for name in self.plan.operators if name not in self._entered)

    @property
    def components(self) -> tuple[str, ...]:
        """The check values of the components, in the order of the operators."""
        return tuple(self._entered[name] for name in self.plan.operators if name in self._entered)

    def enter(self, operator: str, component: Component, check: str) -> None:
        """Take one operator's component with the check value that goes with it.

        Raises WrongComponent when they do not fit, and CardKeyError when it is not this operator's
        turn. Either way the ceremony is as it was before.
        """
        self._check_turn(operator)
        self._check_component(component, check)
        summed = component.value if self._sum is None else xor(bytes(self._sum), component.value)
        last = self.left == (operator,)
        if last and not any(summed):
            raise WrongComponent("the components together are a key of zeros: one is wrong")
        self._move(CeremonyEvent.LAST_COMPONENT if last else CeremonyEvent.COMPONENT)
        self._wipe()
        self._sum = bytearray(summed)
        self._entered[operator] = component.check_value
        self._digests.add(component.digest)

    @property
    def check_values(self) -> Mapping[str, str]:
        """The check values of what the components make, by name; both operators compare them."""
        return check_values(self.plan.what, self.plan.cipher, bytes(self._result()))

    @property
    def result(self) -> bytes:
        """What the components make, in clear, for building a new version from it."""
        return bytes(self._result())

    def confirm(self) -> None:
        """End the ceremony with its result in use. Raises CardKeyError in any other state."""
        self._result()
        self._move(CeremonyEvent.CONFIRMED)
        self._wipe()

    def end(self) -> None:
        """End the ceremony and forget everything. An ended or finished one stays what it is."""
        if CeremonyEvent.END in NEXT[self.state]:
            self._move(CeremonyEvent.END)
        self._wipe()

    def _check_turn(self, operator: str) -> None:
        if self.state is not CeremonyState.ENTERING:
            raise CardKeyError(f"no component is wanted now: the ceremony is {self.state}")
        if operator in self._entered:
            raise CardKeyError(
                f"{operator} has entered a component. The next is for {self.left[0]}: one person"
                " must not know two"
            )
        if operator != self.left[0]:
            raise CardKeyError(f"now {self.left[0]} enters a component, not {operator}")

    def _check_component(self, component: Component, check: str) -> None:
        plan, number = self.plan, len(self._entered) + 1
        if (component.what, component.cipher) != (plan.what, plan.cipher):
            raise WrongComponent(
                f"this is a component of {component.what} {component.cipher.name}, and"
                f" {plan.what} {plan.cipher.name} is wanted"
            )
        if (component.number, component.of) != (number, len(plan.operators)):
            raise WrongComponent(
                f"this is component {component.number} of {component.of}, and {number} of"
                f" {len(plan.operators)} is wanted"
            )
        if not hmac.compare_digest(component.check_value.encode(), check.upper().encode()):
            raise WrongComponent(
                "the check value does not fit the component: one of them is wrong. Nothing was kept"
            )
        if component.digest in self._digests:
            raise WrongComponent("this component was entered before: two must not be the same")
        if self._sum is not None and len(self._sum) != len(component.value):
            raise WrongComponent(f"the components before have {2 * len(self._sum)} hex digits")

    def _result(self) -> bytearray:
        if self.state is not CeremonyState.CONFIRMING or self._sum is None:
            raise CardKeyError(f"there is no result: the ceremony is {self.state}")
        return self._sum

    def _move(self, event: CeremonyEvent) -> None:
        after = NEXT[self.state].get(event)
        if after is None:
            raise CardKeyError(f"{event} cannot happen now: the ceremony is {self.state}")
        self.state = after

    def _wipe(self) -> None:
        """Write zeros over the sum. Python may have copied it elsewhere in memory before."""
        if self._sum is not None:
            self._sum[:] = bytes(len(self._sum))
        self._sum = None


def split(what: str, cipher: Cipher, value: bytes, randoms: Collection[bytes]) -> list[Component]:
    """Split a key or set into components: the given random ones, and one more.

    `randoms` are 1 or 2 values from the operating system's generator, as long as the key.
    """
    last = value
    for each in randoms:
        last = xor(last, each)
    values, of = [*randoms, last], len(randoms) + 1
    return [Component(what, cipher, number, of, each) for number, each in enumerate(values, 1)]
