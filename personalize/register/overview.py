"""What the register says of batches, cards and chips, while stations work."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, func, select

from cardlib.facts import ChipSerial

from . import schema
from .bureau import RegisterReader
from .states import CardState, ChipState
from .writing import CardRow, card_row


@dataclass(frozen=True, slots=True)
class BatchOverview:
    """A batch: how many records it has, and how many current cards are in each state."""

    batch: str
    key_version: int
    count: int
    entered: int
    states: Mapping[CardState, int]


@dataclass(frozen=True, slots=True)
class StationOverview:
    """A station: its last event, and the cards that it works on now, with a live lease or not."""

    name: str
    events: int
    last: int | None
    in_work: int


@dataclass(frozen=True, slots=True)
class ChipOverview:
    """A chip: where it is, and the cards that it was used for, the last one first."""

    chip: ChipSerial
    state: ChipState
    cards: tuple[CardRow, ...]


IN_WORK = (
    CardState.ASSIGNED, CardState.PERSONALIZING, CardState.PERSONALIZED, CardState.VERIFIED,
    CardState.ACTIVATING,
)  # fmt: skip


def batches(reader: RegisterReader, batch: str | None = None) -> list[BatchOverview]:
    """All batches, or one, in the order in which they were entered."""
    table, card = schema.batch, schema.card
    counts = select(card.c.batch, card.c.state, func.count()).where(card.c.is_current)
    counts = counts.group_by(card.c.batch, card.c.state)
    query = select(table).order_by(table.c.entered, table.c.id)
    if batch is not None:
        counts, query = counts.where(card.c.batch == batch), query.where(table.c.id == batch)

    def read(connection: Connection) -> list[BatchOverview]:
        states: dict[str, dict[CardState, int]] = {}
        for name, state, number in connection.execute(counts):
            states.setdefault(name, {})[CardState(state)] = number
        return [
            BatchOverview(row[0], row[2], row[3], row[4], states.get(row[0], {}))
            for row in connection.execute(query)
        ]

    return reader.read(read)


def stations(reader: RegisterReader) -> list[StationOverview]:
    """All stations, by name."""
    table, card, event = schema.station, schema.card, schema.event
    working = select(card.c.station, func.count()).where(
        card.c.is_current, card.c.state.in_([state.value for state in IN_WORK])
    )
    last = select(event.c.station, func.max(event.c.at)).group_by(event.c.station)

    def read(connection: Connection) -> list[StationOverview]:
        in_work = {row[0]: row[1] for row in connection.execute(working.group_by(card.c.station))}
        times = {row[0]: row[1] for row in connection.execute(last)}
        return [
            StationOverview(row.name, row.seq, times.get(row.name), in_work.get(row.name, 0))
            for row in connection.execute(select(table).order_by(table.c.name))
        ]

    return reader.read(read)


def chips(reader: RegisterReader) -> dict[ChipState, int]:
    """How many chips are in each state."""
    table = schema.chip
    query = select(table.c.state, func.count()).group_by(table.c.state)
    rows = reader.read(lambda connection: connection.execute(query).all())
    return {ChipState(state): number for state, number in rows}


def chip(reader: RegisterReader, serial: ChipSerial) -> ChipOverview | None:
    """One chip; None when the register does not know it."""
    table, card = schema.chip, schema.card
    names = CardRow.__dataclass_fields__
    query = select(*(card.c[name] for name in names)).where(card.c.chip == bytes(serial))

    def read(connection: Connection) -> ChipOverview | None:
        state = connection.execute(
            select(table.c.state).where(table.c.serial == bytes(serial))
        ).scalar()
        if state is None:
            return None
        rows = connection.execute(query.order_by(card.c.attempt.desc()))
        cards = tuple(card_row(row._mapping) for row in rows)
        return ChipOverview(serial, ChipState(state), cards)

    return reader.read(read)


def time_of(at: int | None) -> str:
    """The database's time, in ms since 1970, as ISO 8601 in UTC; "" when there is none."""
    if at is None:
        return ""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="seconds")
