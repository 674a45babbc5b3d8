"""Put events back that a database has lost, from the stations' own files."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, select, update

from cardlib.errors import DAMAGE
from cardlib.facts import ChipSerial

from . import schema
from .bureau import BatchFacts, holder_row, insert_batch
from .conflict import JournalConflict
from .database import Database
from .events import FIRST, Event, event_of_row
from .folding import FoldedRecord, Record, fold_chip, fold_record
from .states import IN_USE, Act
from .station_file import KeptEvent
from .writing import keep_pins


def put_back(database: Database, kept: Sequence[KeptEvent]) -> int:
    """Put all events back that the database lacks; return how many, in one transaction.

    The cards and chips they name are told again from all their events. JournalConflict, and nothing
    is changed, when an event does not fit: then other cards were made since the copy was put back.
    """

    def work(connection: Connection, _: bool) -> int:
        missing = [each for each in _ordered(kept) if _is_missing(connection, each.event)]
        for each in missing:
            _insert(connection, each)
        events = [each.event for each in missing]
        for event in events:
            _check_place(connection, event)
        for each in sorted(missing, key=lambda each: each.event.card_step or 0):
            _insert_pins(connection, each)
        _tell_again(connection, events)
        return len(missing)

    return database.run(work)


def _ordered(kept: Iterable[KeptEvent]) -> list[KeptEvent]:
    """Batches first, in the order of their parts: a card must be there before its events are."""

    def place(each: KeptEvent) -> tuple[int, str, int]:
        event = each.event
        at = event.at if event.act is Act.ENTERED else 1 << 63
        return at, event.station, event.seq

    return sorted({(each.event.station, each.event.seq, each.event.hash): each
                   for each in kept}.values(), key=place)  # fmt: skip


def _is_missing(connection: Connection, event: Event) -> bool:
    table = schema.event
    there = _event_where(connection, table.c.station == event.station, table.c.seq == event.seq)
    if there is not None and there.hash != event.hash:
        raise _conflict(event, f"the database has {_told(there)} in its place")
    return there is None


def _event_where(connection: Connection, *conditions: Any) -> Event | None:
    row = connection.execute(select(schema.event).where(*conditions)).first()
    return None if row is None else event_of_row(row._mapping)


def _told(event: Event) -> str:
    card = f", card {event.number}" if event.number else ""
    chip = f" on chip {event.chip}" if event.chip else ""
    return f"event {event.seq} of station {event.station} ({event.act}{card}{chip})"


def _check_place(connection: Connection, event: Event) -> None:
    """JournalConflict when the events of a station before this one are not all there."""
    table, head = schema.event, FIRST
    if event.seq > 1:
        before = table.c.seq == event.seq - 1
        there = _event_where(connection, table.c.station == event.station, before)
        head = b"" if there is None else there.hash
    if head != event.previous:
        raise JournalConflict(
            f"event {event.seq - 1} of station {event.station} is neither in the database nor in"
            " the station's files: the copy is older than the first of them. Put back a newer copy,"
            " or add the station's older files. Nothing was changed"
        )


def _conflict(event: Event, why: str) -> JournalConflict:
    return JournalConflict(
        f"{_told(event)} does not fit: {why}."
        " Cards were made since the older copy was put back. Keep both databases and all station"
        " files, and find the two chips of this card. Nothing was changed"
    )


def _insert(connection: Connection, kept: KeptEvent) -> None:
    event, station, there = kept.event, schema.station, schema.event
    card_step = {"batch": event.batch, "number": event.number, "card_step": event.card_step}
    chip = None if event.chip is None else bytes(event.chip)
    for what, step in (("card", card_step), ("chip", {"chip": chip, "chip_step": event.chip_step})):
        if None in step.values():
            continue
        other = _event_where(connection, *(there.c[name] == each for name, each in step.items()))
        if other is not None:
            raise _conflict(event, f"the {what} went another way in the database, {_told(other)}")
    connection.execute(insert(schema.event), event.as_row())
    known = connection.execute(select(station.c.seq).where(station.c.name == event.station))
    if known.scalar() is None:
        connection.execute(insert(station), {"name": event.station, "seq": 0, "head": FIRST})
    connection.execute(
        update(station)
        .where(station.c.name == event.station, station.c.seq < event.seq)
        .values(seq=event.seq, head=event.hash)
    )
    _insert_entered(connection, event, kept.beside)


def _insert_entered(connection: Connection, event: Event, beside: Mapping[str, Any]) -> None:
    if event.act is Act.ENTERED and event.batch is not None:
        detail = event.detail
        facts = BatchFacts(
            event.batch, str(detail["key_store_identity"]), int(detail["key_version"]),
            int(detail["count"]), int(detail["first"]), int(detail["last"]),
        )  # fmt: skip
        known = select(schema.batch.c.id).where(schema.batch.c.id == event.batch)
        is_new = connection.execute(known).first() is None
        holders = [
            holder_row(event.batch, number, bytes.fromhex(salt), bytes.fromhex(tag))
            for number, salt, tag in beside["holders"]
        ]
        insert_batch(connection, facts, holders, event.at, is_new=is_new)


def _insert_pins(connection: Connection, kept: KeptEvent) -> None:
    event, beside = kept.event, kept.beside
    if event.act is Act.CLAIMED and event.chip is not None and "pin" in event.detail:
        of = str(event.batch), event.number or 0, event.attempt or 0, event.chip
        keep_pins(
            connection, of,
            (bytes.fromhex(beside["for_mailer"]), bytes.fromhex(beside["for_claim"])),
        )  # fmt: skip


def _tell_again(connection: Connection, events: Sequence[Event]) -> None:
    records = {
        (each.batch, each.number)
        for each in events
        if each.batch is not None and each.number is not None
    }
    chips = {each.chip for each in events if each.chip is not None}
    faults: list[str] = []
    try:
        told = {record: _told_again(connection, record, faults) for record in sorted(records)}
        # All rows go first: a chip, or a resident's one card, may have gone from one to another.
        for batch, number in told:
            _forget_record(connection, batch, number)
        for record, found in told.items():
            _write_record(connection, record, found)
        for chip in sorted(chips):
            _tell_chip(connection, chip, faults)
    except DAMAGE as error:
        faults.append(str(error))
    if faults:
        raise JournalConflict(f"the events do not fit together: {faults[0]}. Nothing was changed")


def _told_again(connection: Connection, of: Record, faults: list[str]) -> FoldedRecord:
    table, (batch, number) = schema.event, of
    query = select(table).where(
        table.c.batch == batch, table.c.number == number, table.c.card_step.is_not(None)
    )
    record = FoldedRecord()
    found = [event_of_row(row._mapping) for row in connection.execute(query)]
    fold_record(record, found, faults)
    return record


def _forget_record(connection: Connection, batch: str, number: int) -> None:
    card, holder, other = schema.card, schema.holder, schema.other_card
    for table in (card, other):
        mine = table.c.batch == batch, table.c.number == number
        connection.execute(delete(table).where(*mine))
    mine = holder.c.batch == batch, holder.c.number == number
    connection.execute(update(holder).where(*mine).values(in_use=False))


def _write_record(connection: Connection, of: Record, record: FoldedRecord) -> None:
    (batch, number), current = of, record.cards[-1]
    rows = [
        {
            "batch": batch, "number": number, "attempt": each.attempt,
            "is_current": each is current, "state": each.state.value, "step": each.step,
            "chip": None if each.chip is None else bytes(each.chip), "station": each.station,
            "token": each.token, "lease_until": None, "problem": "", "changed": each.changed,
        }
        for each in record.cards
    ]  # fmt: skip
    connection.execute(insert(schema.card), rows)
    for chip, seen in record.others.items():
        row = {"batch": batch, "number": number, "chip": bytes.fromhex(chip), "seen": seen}
        connection.execute(insert(schema.other_card), row)
    pin = schema.pin
    for (attempt, serial), (_, is_for_claim) in record.pins.items():
        if not is_for_claim:
            row = {"batch": batch, "number": number, "attempt": attempt, "chip": bytes(serial)}
            connection.execute(update(pin).filter_by(**row).values(for_claim=None))
    if current.state in IN_USE:
        _check_holder(connection, of, record)
        holder = schema.holder
        mine = holder.c.batch == batch, holder.c.number == number
        connection.execute(update(holder).where(*mine).values(in_use=True))


def _check_holder(connection: Connection, of: Record, record: FoldedRecord) -> None:
    """JournalConflict when the resident has another card in the database."""
    mine, other, card = schema.holder, schema.holder.alias("other"), schema.card
    query = (
        select(card.c.batch, card.c.number, card.c.chip)
        .select_from(mine)
        .join(other, and_(other.c.tag == mine.c.tag, other.c.in_use))
        .join(card, and_(card.c.batch == other.c.batch, card.c.number == other.c.number))
        .where(mine.c.batch == of[0], mine.c.number == of[1], card.c.is_current)
    )
    row = connection.execute(query).first()
    if row is not None:
        raise JournalConflict(
            f"card {of[1]} of batch {of[0]} on chip {record.cards[-1].chip} cannot be put back: its"
            f" resident has card {row.number} of batch {row.batch} on chip {ChipSerial(row.chip)}"
            " in the database. It was made since the older copy was put back. Keep both databases"
            " and all station files, and find the two chips. Nothing was changed"
        )


def _tell_chip(connection: Connection, chip: ChipSerial, faults: list[str]) -> None:
    table, rows = schema.event, schema.chip
    query = select(table).where(table.c.chip == bytes(chip), table.c.chip_step.is_not(None))
    found = [event_of_row(row._mapping) for row in connection.execute(query)]
    folded = fold_chip(chip, found, faults)
    connection.execute(delete(rows).where(rows.c.serial == bytes(chip)))
    if folded.state is not None:
        row = {"serial": bytes(chip), "state": folded.state.value, "step": folded.step}
        connection.execute(insert(rows), row)
