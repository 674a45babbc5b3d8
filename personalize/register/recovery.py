"""Put events back that a database has lost, from the stations' own files."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

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

_PINS = ("for_mailer", "for_claim")


def put_back(database: Database, kept: Sequence[KeptEvent]) -> int:
    """Put all events back that the database lacks; return how many, in one transaction.

    The cards and chips they name are told again from all their events. JournalConflict, and nothing
    is changed, when an event does not fit: then other cards were made since the copy was put back.
    """

    def work(connection: Connection, _: bool) -> int:
        missing = [each for each in _ordered(kept) if _is_missing(connection, each.event)]
        for each in missing:
            _insert(connection, each)
        for each in missing:
            _check_follows(connection, each.event)
        _tell_again(connection, [each.event for each in missing])
        return len(missing)

    return database.run(work)


def _ordered(kept: Iterable[KeptEvent]) -> list[KeptEvent]:
    """Batches first: their cards must be there before an event of a card is."""
    return sorted(
        kept, key=lambda each: (each.event.act is not Act.ENTERED, each.event.station,
                                each.event.seq)
    )  # fmt: skip


def _is_missing(connection: Connection, event: Event) -> bool:
    table = schema.event
    query = select(table.c.hash).where(table.c.station == event.station, table.c.seq == event.seq)
    found = connection.execute(query).scalar()
    if found is not None and found != event.hash:
        raise _conflict(event, "the database has another event in its place")
    return found is None


def _check_follows(connection: Connection, event: Event) -> None:
    """JournalConflict when the event before it is lost: the copy is older than a checkpoint."""
    table = schema.event
    query = select(table.c.hash).where(
        table.c.station == event.station, table.c.seq == event.seq - 1
    )
    before = connection.execute(query).scalar() if event.seq > 1 else FIRST
    if before != event.previous:
        raise JournalConflict(
            f"event {event.seq - 1} of station {event.station} is neither in the database nor in"
            " the station's file: the copy is older than the station's last checkpoint. Put back a"
            " copy from after that checkpoint. Nothing was changed"
        )


def _conflict(event: Event, why: str) -> JournalConflict:
    card = f", card {event.number} on chip {event.chip}" if event.number else ""
    return JournalConflict(
        f"event {event.seq} of station {event.station} ({event.act}{card}) does not fit: {why}."
        " Cards were made since the older copy was put back. Keep both databases and all station"
        " files, and find the two chips of this card. Nothing was changed"
    )


def _insert(connection: Connection, kept: KeptEvent) -> None:
    event, station, card = kept.event, schema.station, schema.event
    same_card = (
        card.c.batch == event.batch, card.c.number == event.number,
        card.c.card_step == event.card_step,
    )  # fmt: skip
    same_chip = card.c.chip == event.chip, card.c.chip_step == event.chip_step
    steps = ((event.card_step, same_card, "card"), (event.chip_step, same_chip, "chip"))
    for step, where, what in steps:
        if (
            step is not None
            and connection.execute(select(card.c.seq).where(*where)).first() is not None
        ):
            raise _conflict(event, f"the {what} went another way in the database")
    connection.execute(insert(schema.event), event.as_row())
    known = connection.execute(select(station.c.seq).where(station.c.name == event.station))
    if known.scalar() is None:
        connection.execute(insert(station), {"name": event.station, "seq": 0, "head": FIRST})
    connection.execute(
        update(station)
        .where(station.c.name == event.station, station.c.seq < event.seq)
        .values(seq=event.seq, head=event.hash)
    )
    _insert_beside(connection, event, kept.beside)


def _insert_beside(connection: Connection, event: Event, beside: Mapping[str, Any]) -> None:
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
    elif event.act is Act.CLAIMED and event.chip is not None and "for_mailer" in beside:
        pins = {name: bytes.fromhex(beside[name]) for name in _PINS}
        row = {"batch": event.batch, "number": event.number, "attempt": event.attempt}
        connection.execute(insert(schema.pin), row | {"chip": bytes(event.chip), **pins})


def _tell_again(connection: Connection, events: Sequence[Event]) -> None:
    records = {
        (each.batch, each.number)
        for each in events
        if each.batch is not None and each.number is not None
    }
    chips = {each.chip for each in events if each.chip is not None}
    faults: list[str] = []
    try:
        for record in sorted(records):
            _tell_record(connection, record, faults)
        for chip in sorted(chips):
            _tell_chip(connection, chip, faults)
    except DAMAGE as error:
        faults.append(str(error))
    if faults:
        raise JournalConflict(f"the events do not fit together: {faults[0]}. Nothing was changed")


def _tell_record(connection: Connection, of: Record, faults: list[str]) -> None:
    table, (batch, number) = schema.event, of
    query = select(table).where(
        table.c.batch == batch, table.c.number == number, table.c.card_step.is_not(None)
    )
    record = FoldedRecord()
    found = [event_of_row(row._mapping) for row in connection.execute(query)]
    fold_record(record, found, faults)
    for event in found:
        if event.act is Act.OTHER_CARD_SEEN:
            _see_other(connection, of, event)
    card = schema.card
    connection.execute(delete(card).where(card.c.batch == batch, card.c.number == number))
    current = record.cards[-1]
    rows = [
        {
            "batch": batch, "number": number, "attempt": each.attempt,
            "is_current": each is current, "state": each.state.value, "step": record.step,
            "chip": None if each.chip is None else bytes(each.chip), "station": record.station,
            "token": record.token, "lease_until": None, "problem": "", "changed": record.changed,
        }
        for each in record.cards
    ]  # fmt: skip
    connection.execute(insert(card), rows)
    holder = schema.holder
    connection.execute(
        update(holder)
        .where(holder.c.batch == batch, holder.c.number == number)
        .values(in_use=current.state in IN_USE)
    )


def _see_other(connection: Connection, of: Record, event: Event) -> None:
    table = schema.other_card
    chip = bytes.fromhex(str(event.detail["other"]))
    row = {"batch": of[0], "number": of[1], "chip": chip}
    if connection.execute(select(table.c.number).filter_by(**row)).first() is None:
        connection.execute(insert(table), row | {"seen": event.at})


def _tell_chip(connection: Connection, chip: ChipSerial, faults: list[str]) -> None:
    table, rows = schema.event, schema.chip
    query = select(table).where(table.c.chip == bytes(chip), table.c.chip_step.is_not(None))
    found = [event_of_row(row._mapping) for row in connection.execute(query)]
    folded = fold_chip(chip, found, faults)
    connection.execute(delete(rows).where(rows.c.serial == bytes(chip)))
    if folded.state is not None:
        row = {"serial": bytes(chip), "state": folded.state.value, "step": folded.step}
        connection.execute(insert(rows), row)
