"""Verify the journal: tell it again from its events, and compare every row of the register."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Connection, Table, select, type_coerce
from sqlalchemy.types import NullType

from cardlib.errors import DAMAGE, CardError

from . import schema
from .bureau import RegisterReader, commitment, tags_commitment
from .checkpoints import Checkpoint, CheckpointSigner, compare, stored
from .events import FIRST, Event, event_of_row
from .folding import Folded, FoldedCard, Record, fold
from .states import IN_USE
from .writing import pin_digest


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found. The journal is in order when `faults` is empty."""

    events: int
    stations: int
    batches: int
    cards: int
    chips: int
    checkpoints: int
    faults: tuple[str, ...]


def verify(
    register: RegisterReader, signer: CheckpointSigner, against: Sequence[Checkpoint] = ()
) -> Verdict:
    """Verify the journal, also against checkpoints that were kept outside the database."""
    return register.database.read_at_once(
        lambda connection: _verify(connection, register, signer, against)
    )


def _verify(
    connection: Connection,
    register: RegisterReader,
    signer: CheckpointSigner,
    against: Sequence[Checkpoint],
) -> Verdict:
    events, faults = _read_events(connection)
    folded = fold(events)
    faults += folded.faults
    hashes = {(each.station, each.seq): each.hash for each in events}
    inside, damaged = _checkpoints(connection, signer)
    faults += damaged + _register(register, folded)
    known = {point.content for point in inside}
    faults += [
        f"checkpoint {point.number} is not in the database: an older copy was put back, or the"
        " journal was rewritten"
        for point in against
        if point.content not in known
    ]
    for point in (*inside, *against):
        if point.register != register.identity:
            faults.append(f"checkpoint {point.number} is of another register: {point.register}")
            continue
        faults += compare(folded, hashes, point)
    faults += _rows_against(connection, folded)
    return Verdict(
        len(events), len(folded.heads), len(folded.batches), len(folded.records),
        len(folded.chips), len(inside), tuple(dict.fromkeys(faults)),
    )  # fmt: skip


def _read_events(connection: Connection) -> tuple[list[Event], list[str]]:
    events, faults = list[Event](), list[str]()
    try:
        for row in connection.execute(select(schema.event)):
            _read_event(row._mapping, events, faults)
    except DAMAGE as error:
        faults.append(f"a row of the table event is damaged: {error}")
    return events, faults


def _read_event(row: Mapping[Any, Any], events: list[Event], faults: list[str]) -> None:
    try:
        event = event_of_row(row)
        is_whole = event.own_hash() == event.hash and event.as_row() == dict(row)
    except DAMAGE:
        is_whole = False
    if is_whole:
        events.append(event)
    else:
        faults.append(f"event {row['seq']} of station {row['station']} was changed")


def _checkpoints(
    connection: Connection, signer: CheckpointSigner
) -> tuple[list[Checkpoint], list[str]]:
    faults: list[str] = []
    try:
        found = stored(connection)
    except DAMAGE as error:
        return [], [str(error)]
    before = b""
    for number, point in enumerate(found, 1):
        previous = hashlib.sha256(before).hexdigest()
        if point.number != number or f'"previous":"{previous}"'.encode() not in point.content:
            faults.append(f"checkpoint {number} is missing, or was replaced")
        try:
            signer.check_checkpoint(point.content, point.signature)
        except CardError as error:
            faults.append(f"checkpoint {number}: {error}")
        before = point.content
    return found, faults


def _rows_against(connection: Connection, folded: Folded) -> Iterable[str]:
    for name, compared in _TABLES.items():
        try:
            yield from compared(connection, folded)
        except DAMAGE as error:
            yield f"a row of the table {name} is damaged: {error}"


def _register(register: RegisterReader, folded: Folded) -> list[str]:
    own = {"register": register.identity, "tag_key": register.tag_key}
    return [
        f"batch {batch} was entered in another register, or its {name} was changed"
        for batch, entered in folded.batches.items()
        for event in entered
        for name, value in own.items()
        if event.detail.get(name) != value
    ]


def _stations(connection: Connection, folded: Folded) -> list[str]:
    rows = {row.name: (row.seq, row.head) for row in connection.execute(select(schema.station))}
    return [
        f"station {name}: its last event is {folded.heads.get(name, (0, FIRST))[0]} by the events,"
        f" {rows.get(name, (0, FIRST))[0]} by its row"
        for name in sorted(rows.keys() | folded.heads.keys())
        if rows.get(name, (0, FIRST)) != folded.heads.get(name, (0, FIRST))
    ]


_FACTS = ("key_store_identity", "key_version", "count")


def _batches(connection: Connection, folded: Folded) -> list[str]:
    found = {row.id: row for row in connection.execute(select(schema.batch))}
    faults = [
        f"batch {batch} is in {'the events' if batch in folded.batches else 'the table'} only"
        for batch in sorted(found.keys() ^ folded.batches.keys())
    ]
    for batch in sorted(found.keys() & folded.batches.keys()):
        for event in folded.batches[batch]:
            told = tuple(event.detail.get(name) for name in _FACTS)
            if tuple(found[batch])[1:4] != told:
                faults.append(f"batch {batch}: its row is another than its event")
        if found[batch].entered != min(event.at for event in folded.batches[batch]):
            faults.append(f"batch {batch}: it was entered at another time")
    return faults


_CARD = ("state", "chip", "is_current", "step", "token", "station", "changed")


def _cards(connection: Connection, folded: Folded) -> list[str]:
    rows = {
        (row.batch, row.number, row.attempt): {name: getattr(row, name) for name in _CARD}
        for row in connection.execute(select(*_as_stored(schema.card)))
    }
    told = {
        (batch, number, card.attempt): _must_be(card, card is record.cards[-1])
        for (batch, number), record in folded.records.items()
        for card in record.cards
    }
    faults = []
    for key in sorted(rows.keys() | told.keys()):
        where = f"card {key[1]} of batch {key[0]} (attempt {key[2]})"
        if key not in rows or key not in told:
            faults.append(f"{where} is in {'the table' if key in rows else 'the events'} only")
            continue
        faults += [
            f"{where}: {name} is {_shown(rows[key][name])} by its row, {_shown(must)} by the events"
            for name, must in told[key].items()
            if rows[key][name] != must
        ]
    return faults


def _as_stored(table: Table) -> list[ColumnElement[Any]]:
    """The columns, truth values as they are: to SQLite 2 is neither true nor false."""
    return [
        type_coerce(each, NullType()).label(each.name) if isinstance(each.type, Boolean) else each
        for each in table.c
    ]


def _must_be(card: FoldedCard, is_current: bool) -> dict[str, Any]:
    return {
        "state": card.state.value, "chip": None if card.chip is None else bytes(card.chip),
        "is_current": is_current, "step": card.step, "token": card.token, "station": card.station,
        "changed": card.changed,
    }  # fmt: skip


def _shown(value: object) -> str:
    return value.hex().upper() if isinstance(value, bytes) else str(value)


def _pins(connection: Connection, folded: Folded) -> list[str]:
    rows = {
        (row.batch, row.number, row.attempt, row.chip): (
            pin_digest(row.for_mailer), row.for_claim is not None
        )
        for row in connection.execute(select(schema.pin))
    }  # fmt: skip
    told = {
        (batch, number, attempt, bytes(chip)): pin
        for (batch, number), record in folded.records.items()
        for (attempt, chip), pin in record.pins.items()
    }
    return [
        f"card {key[1]} of batch {key[0]} (attempt {key[2]}): the PIN for chip {_shown(key[3])} is"
        " another than the events say, or missing"
        for key in sorted(rows.keys() | told.keys())
        if rows.get(key) != told.get(key)
    ]


def _chips(connection: Connection, folded: Folded) -> list[str]:
    rows = {row.serial: (row.state, row.step) for row in connection.execute(select(schema.chip))}
    told = {bytes(chip): (str(each.state), each.step) for chip, each in folded.chips.items()}
    return [
        f"chip {_shown(chip)}: {_named(rows.get(chip))} by its row, {_named(told.get(chip))} by the"
        " events"
        for chip in sorted(rows.keys() | told.keys())
        if rows.get(chip) != told.get(chip)
    ]


def _named(found: tuple[str, int] | None) -> str:
    return "not there" if found is None else f"{found[0]} at its step {found[1]}"


def _holders(connection: Connection, folded: Folded) -> list[str]:
    faults, of_batch = [], dict[str, list[tuple[int, bytes]]]()
    in_use: dict[bytes, Record] = {}
    for row in connection.execute(select(*_as_stored(schema.holder))):
        of_batch.setdefault(row.batch, []).append((row.number, row.commitment))
        where = f"card {row.number} of batch {row.batch}"
        record = folded.records.get((row.batch, row.number))
        if record is None or row.in_use != (record.cards[-1].state in IN_USE):
            faults.append(f"{where}: whether it is its holder's card is wrong in the table")
        if commitment(row.salt or b"", row.tag or b"") != row.commitment:
            faults.append(f"{where}: the tag of its holder was changed")
        if row.tag is not None and record and record.cards[-1].state in IN_USE:
            other = in_use.setdefault(row.tag, (row.batch, row.number))
            if other != (row.batch, row.number):
                faults.append(
                    f"{where} and card {other[1]} of batch {other[0]}: one holder has both"
                )
    for event in (each for entered in folded.batches.values() for each in entered):
        first, last = int(event.detail.get("first", 1)), int(event.detail.get("last", 0))
        rows = of_batch.get(str(event.batch), [])
        held = tags_commitment(row for row in rows if first <= row[0] <= last)
        if held != event.detail.get("holders"):
            faults.append(f"batch {event.batch}: its holders are not those that were entered")
    return faults


def _others(connection: Connection, folded: Folded) -> list[str]:
    table = schema.other_card
    rows = {(r.batch, r.number, r.chip): r.seen for r in connection.execute(select(table))}
    told = {
        (batch, number, bytes.fromhex(chip)): seen
        for (batch, number), record in folded.records.items()
        for chip, seen in record.others.items()
    }
    return [
        f"card {key[1]} of batch {key[0]}: another card of its resident, chip {_shown(key[2])}, was"
        f" seen at {rows.get(key, 'no time')} by its row, at {told.get(key, 'no time')} by the"
        " events"
        for key in sorted(rows.keys() | told.keys())
        if rows.get(key) != told.get(key)
    ]


_TABLES: Mapping[str, Callable[[Connection, Folded], list[str]]] = MappingProxyType({
    "station": _stations,
    "batch": _batches,
    "card": _cards,
    "chip": _chips,
    "holder": _holders,
    "other_card": _others,
    "pin": _pins,
})  # fmt: skip
