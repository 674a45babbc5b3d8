"""A batch in the register, to be read: its cards, its chips, its holders."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, or_, select

from cardlib.errors import DAMAGE
from cardlib.facts import ChipSerial

from . import schema
from .bureau import BatchFacts, RegisterReader
from .conflict import JournalConflict
from .database import now
from .states import CardState, ChipState
from .writing import CardRow, card_rows

Rows = Select[*tuple[Any, ...]]


class BatchView:
    """One batch in the register."""

    def __init__(self, reader: RegisterReader, facts: BatchFacts) -> None:
        """Use a register that has the batch."""
        self.reader, self.facts = reader, facts

    @property
    def _of_batch(self) -> ColumnElement[bool]:
        return schema.card.c.batch == self.facts.batch

    @property
    def _is_mine(self) -> ColumnElement[bool]:
        numbers, card = self.facts.numbers, schema.card
        between = card.c.number.between(numbers.start, numbers.stop - 1)
        return and_(card.c.batch == self.facts.batch, between)

    def entries(self) -> tuple[CardRow, ...]:
        """The current cards in the order of the batch."""
        return tuple(self._rows())

    def entry(self, number: int) -> CardRow:
        """One card; JournalConflict when the batch has none of this number."""
        found = self._rows(schema.card.c.number == number) if self._has(number) else ()
        if not found:
            raise JournalConflict(f"{self.reader.database.name}: there is no card {number}")
        return found[0]

    def _has(self, number: int) -> bool:
        return number in self.facts.numbers

    def of_chip(self, chip: bytes) -> CardRow | None:
        """The card of this batch that a chip is bound to; None if there is none."""
        found = self._rows(schema.card.c.chip == bytes(chip))
        return found[0] if found else None

    def of_holder(self, tag: bytes) -> int | None:
        """The number of the card for a holder, by one of the holder's tags; None if none."""
        table = schema.holder
        query = select(table.c.number).where(table.c.batch == self.facts.batch, table.c.tag == tag)
        return self.reader.read(lambda connection: connection.execute(query).scalar())

    def spoiled(self) -> frozenset[ChipSerial]:
        """The chips that were given up, in any batch."""
        query = select(schema.chip.c.serial).where(schema.chip.c.state == ChipState.SPOILED.value)
        rows = self.reader.read(lambda connection: connection.execute(query).all())
        return frozenset(ChipSerial(row.serial) for row in rows)

    def has_waiting(self) -> bool:
        """Whether a card of the batch waits for a chip, and may be made."""
        query = self._waiting(schema.card.c.number).limit(1)
        return self.reader.read(lambda c: c.execute(query).first()) is not None

    def begun(self) -> dict[int, ChipSerial]:
        """The chips of the cards that were begun and are not active, by number."""
        done = (CardState.PREPARED.value, CardState.ACTIVE.value, CardState.HANDED_OVER.value)
        rows = self._rows(schema.card.c.state.not_in(done))
        return {row.number: row.chip for row in rows if row.chip}

    def other_cards(self) -> dict[int, ChipSerial]:
        """The cards whose residents have another card: its chip.

        The register has it in another batch, or somebody put in a card that it does not know.
        """

        def query(connection: Connection) -> dict[int, ChipSerial]:
            found = {}
            for rows in (self._seen(), self._elsewhere()):
                for number, chip in connection.execute(rows):
                    found[number] = ChipSerial(chip)
            return found

        return self.reader.read(query)

    def other_card(self, number: int) -> ChipSerial | None:
        """The chip of another card that a card's resident has; None if there is none."""
        seen, holder = schema.other_card.c.number, schema.holder.c.number
        queries = (self._seen().where(seen == number), self._elsewhere().where(holder == number))

        def query(connection: Connection) -> ChipSerial | None:
            for each in queries:
                for row in connection.execute(each):
                    return ChipSerial(row.chip)
            return None

        return self.reader.read(query)

    def _seen(self) -> Rows:
        table = schema.other_card
        query = select(table.c.number, table.c.chip).where(table.c.batch == self.facts.batch)
        return query.order_by(table.c.seen)

    def _elsewhere(self) -> Rows:
        mine, other, card = schema.holder, schema.holder.alias("other"), schema.card
        same = and_(other.c.tag == mine.c.tag, other.c.in_use)
        theirs = and_(card.c.batch == other.c.batch, card.c.number == other.c.number)
        another = or_(other.c.batch != mine.c.batch, other.c.number != mine.c.number)
        joined = mine.join(other, same).join(card, theirs)
        query = select(mine.c.number, card.c.chip).select_from(joined)
        return query.where(mine.c.batch == self.facts.batch, another, card.c.is_current)

    def pin(self, number: int) -> tuple[int, ChipSerial, bytes, bytes | None] | None:
        """The sealed PIN of the current card: attempt, chip, for the mailer, for the claim."""
        table, card = schema.pin, schema.card
        same = and_(
            table.c.batch == card.c.batch, table.c.number == card.c.number,
            table.c.attempt == card.c.attempt, table.c.chip == card.c.chip,
        )  # fmt: skip
        query = (
            select(table.c.attempt, table.c.chip, table.c.for_mailer, table.c.for_claim)
            .select_from(table.join(card, same))
            .where(self._of_batch, card.c.number == number, card.c.is_current)
        )
        row = self.reader.read(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else (row[0], ChipSerial(row[1]), row[2], row[3])

    def pinned(self) -> frozenset[int]:
        """The numbers of the cards that have a PIN."""
        table = schema.pin
        query = select(table.c.number).where(table.c.batch == self.facts.batch)
        rows = self.reader.read(lambda connection: connection.execute(query).all())
        return frozenset(row.number for row in rows)

    def _waiting(self, *columns: Any) -> Rows:
        """The cards that wait, and whose residents have no other card."""
        card, mine = schema.card, schema.holder
        other, seen = schema.holder.alias("other"), schema.other_card
        has_other = exists().where(
            mine.c.batch == card.c.batch, mine.c.number == card.c.number,
            other.c.tag == mine.c.tag, other.c.in_use,
        )  # fmt: skip
        was_seen = exists().where(seen.c.batch == card.c.batch, seen.c.number == card.c.number)
        free = or_(card.c.lease_until.is_(None), card.c.lease_until < now())
        return select(*columns).where(
            self._is_mine, card.c.is_current, card.c.state == CardState.PREPARED.value,
            free, ~has_other, ~was_seen,
        )  # fmt: skip

    def _rows(self, *conditions: Any) -> list[CardRow]:
        try:
            found = self.reader.read(lambda c: card_rows(c, self._of_batch, *conditions))
            return [row for row in found if self._has(row.number)]
        except DAMAGE:
            name = self.reader.database.name
            raise JournalConflict(f"{name}: damaged: a row holds a wrong value") from None
