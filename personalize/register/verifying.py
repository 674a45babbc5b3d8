"""Verify the journal: tell it again from its events, and compare every row of the register."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from cardlib.errors import DAMAGE, CardError
from cardlib.facts import ChipSerial

from . import schema
from .bureau import RegisterReader, commitment, tags_commitment
from .checkpoints import Checkpoint, CheckpointSigner, compare, stored
from .events import FIRST, Event, event_of_row
from .folding import Folded, FoldedRecord, Record, fold
from .states import IN_USE, CardState, ChipState


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
    return register.read(lambda connection: _verify(connection, register, signer, against))


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
    faults += damaged
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
    events, faults = [], []
    for row in connection.execute(select(schema.event)):
        try:
            events.append(event_of_row(row._mapping))
        except DAMAGE as error:
            faults.append(str(error))
    return events, faults


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
    try:
        return [
            *_stations(connection, folded),
            *_batches(connection, folded),
            *_cards(connection, folded),
            *_chips(connection, folded),
            *_holders(connection, folded),
            *_others(connection, folded),
        ]
    except DAMAGE as error:
        return [f"a row is damaged: {error}"]


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
    return faults


def _cards(connection: Connection, folded: Folded) -> list[str]:
    faults, seen = [], dict[Record, dict[int, tuple[object, ...]]]()
    for row in connection.execute(select(schema.card)):
        chip = None if row.chip is None else ChipSerial(row.chip)
        is_last = row.is_current
        told = (CardState(row.state), chip, is_last, row.step if is_last else None)
        seen.setdefault((row.batch, row.number), {})[row.attempt] = told
    for record in sorted(seen.keys() | folded.records.keys()):
        is_now, must = seen.get(record, {}), _must_be(folded.records.get(record))
        if is_now != must:
            faults.append(
                f"card {record[1]} of batch {record[0]}: {_state_of(is_now)} by its row,"
                f" {_state_of(must)} by the events"
            )
    return faults


def _must_be(record: FoldedRecord | None) -> dict[int, tuple[object, ...]]:
    if record is None:
        return {}
    current = record.cards[-1]
    return {
        card.attempt: (
            card.state,
            card.chip,
            card is current,
            record.step if card is current else None,
        )
        for card in record.cards
    }


def _state_of(cards: dict[int, tuple[object, ...]]) -> str:
    if not cards:
        return "not there"
    state, chip, *_ = cards[max(cards)]
    attempt = f" (attempt {max(cards)})" if max(cards) > 1 else ""
    return f"{state}{f' on chip {chip}' if chip else ''}{attempt}"


def _chips(connection: Connection, folded: Folded) -> list[str]:
    rows = {
        ChipSerial(row.serial): (ChipState(row.state), row.step)
        for row in connection.execute(select(schema.chip))
    }
    told = {chip: (found.state, found.step) for chip, found in folded.chips.items()}
    return [
        f"chip {chip}: {_named(rows.get(chip))} by its row, {_named(told.get(chip))} by the events"
        for chip in sorted(rows.keys() | told.keys())
        if rows.get(chip) != told.get(chip)
    ]


def _named(found: tuple[ChipState | None, int] | None) -> str:
    return "not there" if found is None else f"{found[0]} at its step {found[1]}"


def _holders(connection: Connection, folded: Folded) -> list[str]:
    faults, of_batch = [], dict[str, list[tuple[int, bytes]]]()
    in_use: dict[bytes, Record] = {}
    for row in connection.execute(select(schema.holder)):
        of_batch.setdefault(row.batch, []).append((row.number, row.commitment))
        where = f"card {row.number} of batch {row.batch}"
        record = folded.records.get((row.batch, row.number))
        if record is None or row.in_use != (record.cards[-1].state in IN_USE):
            faults.append(f"{where}: whether it is its holder's card is wrong in the table")
        if row.tag is not None and commitment(row.salt or b"", row.tag) != row.commitment:
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
    rows = {(row.batch, row.number, row.chip.hex()) for row in connection.execute(select(table))}
    return [
        f"card {number} of batch {batch}: another card of its resident, chip {chip.upper()}, is in"
        f" {'the table' if (batch, number, chip) in rows else 'the events'} only"
        for batch, number, chip in sorted(rows ^ folded.others)
    ]
