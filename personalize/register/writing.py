"""One transaction of a station: it changes the states, and writes the events that say so."""

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from cardlib.facts import ChipSerial

from . import schema
from .conflict import ChipNotFree, JournalConflict
from .database import now
from .events import FIRST, Event, event_of_row
from .states import IN_USE, TRANSITIONS, Act, CardState, ChipState


@dataclass(frozen=True, slots=True)
class CardRow:
    """The current card of a record, as its row is."""

    batch: str
    number: int
    attempt: int
    state: CardState
    step: int
    chip: ChipSerial | None
    station: str | None
    token: int
    lease_until: int | None
    problem: str
    changed: int


_CARD = tuple(getattr(schema.card.c, name) for name in CardRow.__dataclass_fields__)


def card_rows(connection: Connection, *conditions: Any) -> list[CardRow]:
    """The current cards that meet some conditions, in the order of their numbers."""
    query = select(*_CARD).where(schema.card.c.is_current, *conditions)
    rows = connection.execute(query.order_by(schema.card.c.batch, schema.card.c.number))
    return [card_row(row._mapping) for row in rows]


def card_row(row: Mapping[Any, Any]) -> CardRow:
    """Decode a row. Raises ValueError or FormatError when it is damaged."""
    chip = None if row["chip"] is None else ChipSerial(row["chip"])
    return CardRow(**dict(row) | {"state": CardState(row["state"]), "chip": chip})


def events_of(connection: Connection, transaction_id: str) -> list[Event]:
    """The events that a transaction wrote, if it was committed."""
    table = schema.event
    query = select(table).where(table.c.transaction_id == transaction_id).order_by(table.c.seq)
    return [event_of_row(row._mapping) for row in connection.execute(query)]


@dataclass(slots=True)
class Writing:
    """A transaction that is open. The station's row is locked, so its events stand in a row.

    `beside` is what the station's file keeps beside the events: a JSON object.
    """

    connection: Connection
    station: str
    transaction_id: str
    at: int = 0
    seq: int = 0
    head: bytes = FIRST
    events: list[Event] = field(default_factory=list)
    beside: Mapping[str, Any] = field(default_factory=dict)

    def begin(self) -> None:
        """Lock the station's row, and take the database's time."""
        table = schema.station
        query = select(table.c.seq, table.c.head, now()).where(table.c.name == self.station)
        row = self.connection.execute(query.with_for_update()).one_or_none()
        if row is None:
            raise JournalConflict(f"the register has no station {self.station!r}")
        self.seq, self.head, self.at = row[0], row[1], row[2]

    def record(self, act: Act, **members: Any) -> Event:
        """Append an event."""
        self.seq += 1
        event = Event(
            self.station, self.seq, self.at, act, self.transaction_id, self.head, **members
        )
        object.__setattr__(event, "hash", event.own_hash())
        self.connection.execute(insert(schema.event), event.as_row())
        self.head = event.hash
        self.events.append(event)
        return event

    def end(self) -> None:
        """Write the station's new head."""
        table = schema.station
        self.connection.execute(
            update(table).where(table.c.name == self.station).values(seq=self.seq, head=self.head)
        )

    def change(
        self,
        card: CardRow,
        act: Act,
        chip: ChipSerial,
        *,
        lease: int | None = None,
        **detail: int | str,
    ) -> Event:
        """Do an act of the table to a card and its chip. JournalConflict when it is not allowed.

        `lease` is for how many ms the card is this station's; without it the lease ends.
        """
        step = TRANSITIONS[act]
        if card.state not in step.before:
            raise wrong_state(card, step.before)
        if card.chip not in (None, chip):
            raise JournalConflict(f"card {card.number} is on chip {card.chip}, not on chip {chip}")
        chip_step = self._move_chip(chip, act)
        values = {
            "state": step.after.value,
            "step": card.step + 1,
            "chip": None if step.unbinds else bytes(chip),
            "station": self.station,
            "token": card.token + (act is Act.CLAIMED),
            "lease_until": None if lease is None else self.at + lease,
            "problem": "",
            "changed": self.at,
            "is_current": not step.again,
        }
        self._update(card, values)
        if step.again:
            self._add_card(card, card.step + 1)
        self._set_in_use(card, step.after)
        return self.record(
            act, batch=card.batch, number=card.number, attempt=card.attempt,
            card_step=card.step + 1, chip=chip, chip_step=chip_step, detail=detail,
        )  # fmt: skip

    def note(self, card: CardRow, act: Act, values: Mapping[str, Any], **detail: int | str) -> None:
        """Record an act that leaves the states as they are."""
        self._update(card, {"step": card.step + 1, "changed": self.at, **values})
        self.record(
            act, batch=card.batch, number=card.number, attempt=card.attempt,
            card_step=card.step + 1, detail=detail,
        )  # fmt: skip

    def _update(self, card: CardRow, values: Mapping[str, Any]) -> None:
        table = schema.card
        done = self.connection.execute(
            update(table)
            .where(
                table.c.batch == card.batch,
                table.c.number == card.number,
                table.c.attempt == card.attempt,
                table.c.step == card.step,
            )
            .values(**values)
        )
        if done.rowcount != 1:
            raise JournalConflict(
                f"card {card.number} was changed by another station at the same time"
            )

    def _add_card(self, card: CardRow, step: int) -> None:
        row = {
            "batch": card.batch, "number": card.number, "attempt": card.attempt + 1,
            "is_current": True, "state": CardState.PREPARED.value, "step": step,
            "token": card.token, "problem": "", "changed": self.at,
        }  # fmt: skip
        self.connection.execute(insert(schema.card), row)

    def _move_chip(self, serial: ChipSerial, act: Act) -> int:
        table, step = schema.chip, TRANSITIONS[act]
        query = select(table.c.state, table.c.step).where(table.c.serial == bytes(serial))
        row = self.connection.execute(query.with_for_update()).one_or_none()
        before = None if row is None else ChipState(row.state)
        if before not in step.chip_before:
            raise ChipNotFree(_of_chip(serial, before))
        after = {"state": step.chip_after.value, "step": 1 if row is None else row.step + 1}
        if row is None:
            self.connection.execute(insert(table), {"serial": bytes(serial), **after})
        else:
            where = table.c.serial == bytes(serial)
            self.connection.execute(update(table).where(where).values(**after))
        return int(after["step"])

    def _set_in_use(self, card: CardRow, after: CardState) -> None:
        if (card.state in IN_USE) == (after in IN_USE):
            return
        table = schema.holder
        self.connection.execute(
            update(table)
            .where(table.c.batch == card.batch, table.c.number == card.number)
            .values(in_use=after in IN_USE)
        )


PINS = ("for_mailer", "for_claim")
SealedPins = tuple[bytes, bytes]
"""A sealed PIN for the mailer, and one for the station that makes the card."""


def keep_pins(
    connection: Connection, of: tuple[str, int, int, ChipSerial], sealed: SealedPins
) -> None:
    """Keep the PINs of a claim: of its batch, number, attempt and chip.

    A chip that was released may come to the same card again: then the PIN before is gone.
    """
    table, (batch, number, attempt, chip) = schema.pin, of
    row = {"batch": batch, "number": number, "attempt": attempt, "chip": bytes(chip)}
    connection.execute(delete(table).filter_by(**row))
    connection.execute(insert(table), row | dict(zip(PINS, sealed, strict=True)))


def pin_digest(for_mailer: bytes) -> str:
    """What the journal holds of a sealed PIN."""
    return hashlib.sha256(for_mailer).hexdigest()


def new_transaction_id() -> str:
    """A random name for a transaction: by it we find out whether a lost COMMIT was done."""
    return secrets.token_hex(16)


def wrong_state(card: CardRow, wanted: Iterable[CardState]) -> JournalConflict:
    """What to say when a card is in a state from which an act does not go."""
    should = " or ".join(state.value for state in CardState if state in wanted)
    return JournalConflict(f"card {card.number} is {card.state}, but it should be {should}")


def _of_chip(chip: ChipSerial, state: ChipState | None) -> str:
    if state is ChipState.SPOILED:
        return f"chip {chip} was given up as spoiled. It is never used again"
    if state is ChipState.ASSIGNED:
        return f"chip {chip}: this chip already has another card"
    return f"chip {chip} is {state or 'not known'}, so it cannot be used for this"
