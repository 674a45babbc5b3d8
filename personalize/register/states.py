"""The states of cards and chips, and the only ways from one to the next, as one table.

A card is one attempt to make a record of a batch. A record whose chip was spoiled, or whose card
was remade, gets a new card, which is prepared again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class CardState(StrEnum):
    """How far a card is. Each state is recorded before the next step begins."""

    PREPARED = "prepared"
    ASSIGNED = "assigned"
    PERSONALIZING = "personalizing"
    PERSONALIZED = "personalized"
    VERIFIED = "verified"
    ACTIVATING = "activating"
    ACTIVE = "active"
    HANDED_OVER = "handed over"
    SPOILED = "spoiled"
    BLOCKED = "blocked"
    REMADE = "remade"
    RETURNED = "returned"


class ChipState(StrEnum):
    """Where a chip is."""

    RECEIVED = "received"
    ASSIGNED = "assigned"
    USED = "used"
    SPOILED = "spoiled"
    DESTROYED = "destroyed"


class Act(StrEnum):
    """What an event of the journal records."""

    ENTERED = "batch entered"
    CLAIMED = "claimed"
    TAKEN_OVER = "taken over"
    RELEASED = "released"
    PERSONALIZED = "personalized"
    ACTIVATING = "activating"
    NOT_ACTIVATED = "not activated"
    ACTIVATED = "activated"
    SPOILED = "spoiled"
    NOTED = "noted"
    OTHER_CARD_SEEN = "other card seen"


@dataclass(frozen=True, slots=True)
class Transition:
    """What an act does to a card and its chip.

    `chip_before` has None if a chip that is not known yet may come. `again` is whether the record
    then waits for another chip; `unbinds` is whether the card has no chip any more.
    """

    before: frozenset[CardState]
    after: CardState
    chip_before: frozenset[ChipState | None]
    chip_after: ChipState
    again: bool = False
    unbinds: bool = False


def _of(*states: CardState) -> frozenset[CardState]:
    return frozenset(states)


_BOUND = frozenset((ChipState.ASSIGNED,))
_BEGUN = _of(CardState.PERSONALIZING, CardState.PERSONALIZED, CardState.VERIFIED)

TRANSITIONS: Mapping[Act, Transition] = MappingProxyType({
    Act.CLAIMED: Transition(
        _of(CardState.PREPARED), CardState.PERSONALIZING,
        frozenset((None, ChipState.RECEIVED)), ChipState.ASSIGNED,
    ),
    Act.RELEASED: Transition(
        _of(CardState.ASSIGNED, CardState.PERSONALIZING), CardState.PREPARED,
        _BOUND, ChipState.RECEIVED, unbinds=True,
    ),
    Act.PERSONALIZED: Transition(
        _of(CardState.PERSONALIZING), CardState.PERSONALIZED, _BOUND, ChipState.ASSIGNED
    ),
    Act.ACTIVATING: Transition(_BEGUN, CardState.ACTIVATING, _BOUND, ChipState.ASSIGNED),
    Act.NOT_ACTIVATED: Transition(
        _of(CardState.ACTIVATING), CardState.PERSONALIZED, _BOUND, ChipState.ASSIGNED
    ),
    Act.ACTIVATED: Transition(
        _of(CardState.ACTIVATING), CardState.ACTIVE, _BOUND, ChipState.USED
    ),
    Act.SPOILED: Transition(
        _of(CardState.ASSIGNED) | _BEGUN, CardState.SPOILED, _BOUND, ChipState.SPOILED, again=True
    ),
})  # fmt: skip
"""The acts that change a state. The others leave it as it is."""

IN_USE = frozenset(CardState) - _of(
    CardState.PREPARED, CardState.SPOILED, CardState.REMADE, CardState.RETURNED
)
"""The states in which a card counts as its holder's one card."""
