"""A batch as one station works on it: cards are claimed, and each step is recorded.

Three transactions make a card: the claim, with its chip and PIN, before the chip is touched;
`activating` right before ACTIVATE; the result after it. A claim is a lease, by the database's
clock. While the lease lasts and nobody else claimed the card, the station may activate it. A chip
that was bound once frees its resident only when the chip comes again, or when it is given up.
"""

from collections.abc import Callable, Mapping

from sqlalchemy import insert, select, update

from cardlib.facts import ChipSerial

from . import schema
from .bureau import BatchFacts, Register
from .conflict import LOST, JournalConflict, LeaseEnded
from .events import Event
from .states import IN_USE, TRANSITIONS, Act, CardState
from .view import BatchView
from .writing import (
    PINS,
    CardRow,
    SealedPins,
    Writing,
    card_row,
    keep_pins,
    pin_digest,
    wrong_state,
)

LEASE = 600_000
"""How long a claim lasts, in ms."""

_ACTS: Mapping[CardState, Act] = {
    CardState.PERSONALIZED: Act.PERSONALIZED,
    CardState.ACTIVATING: Act.ACTIVATING,
    CardState.ACTIVE: Act.ACTIVATED,
}


class BatchWork(BatchView):
    """One batch in the register, for one station."""

    def __init__(self, register: Register, facts: BatchFacts, *, lease: int = LEASE) -> None:
        """Use a register that has the batch."""
        super().__init__(register, facts)
        self.register, self._lease = register, lease
        self._tokens: dict[int, int] = {}

    def hold(self, number: int, other: bytes) -> None:
        """Never begin or finish a card: its resident has another one, with the chip `other`."""

        def work(writing: Writing) -> None:
            card, table = self._locked(writing, number), schema.other_card
            row = {"batch": card.batch, "number": number, "chip": bytes(other)}
            known = select(table.c.number).filter_by(**row)
            if writing.connection.execute(known).first() is not None:
                return
            writing.connection.execute(insert(table), row | {"seen": writing.at})
            writing.note(card, Act.OTHER_CARD_SEEN, {}, other=ChipSerial(other).hex())

        self.register.write(work, lambda _: None)

    def take(self, chip: ChipSerial, seal: Callable[[int, int], SealedPins | None]) -> int | None:
        """Bind a blank chip to the next card that waits; return its number, None if none waits.

        `seal` makes a PIN for a card's number and attempt. It may be called again if another
        station was faster. Chip and PIN are on the disk when this returns.
        """

        def work(writing: Writing) -> tuple[int, int] | None:
            query = self._waiting(*(schema.card.c[name] for name in CardRow.__dataclass_fields__))
            query = query.order_by(schema.card.c.number).limit(1)
            row = writing.connection.execute(
                query.with_for_update(skip_locked=True, of=schema.card)
            ).one_or_none()
            if row is None:
                return None
            card = card_row(row._mapping)
            sealed = seal(card.number, card.attempt)
            detail: dict[str, int | str] = {"token": card.token + 1}
            if sealed is not None:
                keep_pins(writing.connection, (card.batch, card.number, card.attempt, chip), sealed)
                writing.beside = {
                    name: value.hex() for name, value in zip(PINS, sealed, strict=True)
                }
                detail["pin"] = pin_digest(sealed[0])
            writing.change(card, Act.CLAIMED, chip, lease=self._lease, **detail)
            return card.number, card.token + 1

        return self._claimed(self.register.write(work, _recalled))

    def _claimed(self, claim: tuple[int, int] | None) -> int | None:
        """Remember the token of a claim that is in the database; return the card's number."""
        if claim is None:
            return None
        self._tokens[claim[0]] = claim[1]
        return claim[0]

    def take_over(self, number: int) -> None:
        """Claim a card again whose chip is in this station's reader: its lease begins anew."""

        def work(writing: Writing) -> tuple[int, int]:
            card = self._locked(writing, number)
            if card.chip is None:
                raise JournalConflict(f"card {number} has no chip")
            values = {
                "token": card.token + 1, "station": self.register.station,
                "lease_until": writing.at + self._lease,
            }  # fmt: skip
            writing.note(card, Act.TAKEN_OVER, values, token=card.token + 1)
            return number, card.token + 1

        self._claimed(self.register.write(work, _recalled))

    def release(self, number: int) -> None:
        """Unbind a chip that was not changed."""
        self._change(number, Act.RELEASED)

    def advance(self, number: int, state: CardState) -> None:
        """Record that a card was personalized, is now being activated, or is active.

        LeaseEnded, before ACTIVATE, when the card is not this station's any more.
        """
        self._change(number, _ACTS[state])

    def not_activated(self, number: int) -> None:
        """Record that a card that was to be activated refused, and was not activated."""
        self._change(number, Act.NOT_ACTIVATED)

    def _change(self, number: int, act: Act) -> None:
        def work(writing: Writing) -> None:
            card = self._locked(writing, number)
            self._check_token(card, writing, act)
            if card.chip is None:
                raise wrong_state(card, TRANSITIONS[act].before)
            lease = None if TRANSITIONS[act].after not in _WORKED_ON else self._lease
            writing.change(card, act, card.chip, lease=lease)
            if act is Act.ACTIVATED:
                self._forget_claim_pin(writing, card)

        self.register.write(work, lambda _: None)

    def _check_token(self, card: CardRow, writing: Writing, act: Act) -> None:
        """LeaseEnded when another station claimed the card, or before ACTIVATE the lease ended."""
        mine = self._tokens.get(card.number)
        if mine != card.token:
            raise LeaseEnded(
                f"card {card.number} was taken over by station {card.station}. This station does"
                " not change it any more. Insert the card again"
            )
        if act is Act.ACTIVATING and (card.lease_until or 0) <= writing.at:
            raise LeaseEnded(
                f"card {card.number}: the work took longer than {self._lease // 1000} s, so it was"
                " not activated. Insert the card again"
            )

    def _forget_claim_pin(self, writing: Writing, card: CardRow) -> None:
        table = schema.pin
        where = (table.c.batch == card.batch, table.c.number == card.number)
        writing.connection.execute(update(table).where(*where).values(for_claim=None))

    def note(self, number: int, problem: str) -> None:
        """Record what went wrong with a card. The text must not name the resident."""

        def work(writing: Writing) -> None:
            writing.note(self._locked(writing, number), Act.NOTED, {"problem": problem})

        self.register.write(work, lambda _: None)

    def give_up(self, chip: ChipSerial) -> int:
        """Give up a chip that is lost or broken: its record gets another card. Returns its number.

        JournalConflict when the chip is not in this batch, or when its card is active, or may be.
        """
        entry = self.of_chip(chip)
        name = self.register.database.name
        if entry is None:
            raise JournalConflict(
                f"{name}: no card was started on chip {chip}. Check the number of the chip"
            )
        check_not_active(entry)

        def work(writing: Writing) -> None:
            card = self._locked(writing, entry.number)
            writing.change(card, Act.SPOILED, chip)

        self.register.write(work, lambda _: None)
        return entry.number

    def _locked(self, writing: Writing, number: int) -> CardRow:
        """A card's row, locked until the transaction ends."""
        table = schema.card
        query = select(*(table.c[name] for name in CardRow.__dataclass_fields__)).where(
            self._of_batch, table.c.number == number, table.c.is_current
        )
        row = writing.connection.execute(query.with_for_update()).one_or_none()
        if row is None:
            raise JournalConflict(f"{self.register.database.name}: there is no card {number}")
        return card_row(row._mapping)


def _recalled(events: list[Event]) -> tuple[int, int]:
    """Number and token of a claim whose transaction was done, but its end was not heard of."""
    return events[-1].number or 0, int(events[-1].detail["token"])


_WORKED_ON = IN_USE - {CardState.ACTIVE, CardState.HANDED_OVER, CardState.BLOCKED}


def check_not_active(entry: CardRow) -> None:
    """JournalConflict when a card is active or may be: its chip is not given up."""
    if entry.state is CardState.ACTIVE:
        raise JournalConflict(
            f"chip {entry.chip}: its card is active, so it is not given up. {LOST}"
        )
    if entry.state is CardState.ACTIVATING:
        raise JournalConflict(
            f"chip {entry.chip}: its card was being activated, and may be active. So it is not"
            f" given up. Run `rhcard issue` with this card: it is finished, or refused. {LOST}"
        )
