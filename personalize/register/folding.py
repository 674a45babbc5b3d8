"""The journal told again from its events alone: what each card and chip must be now."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cardlib.facts import ChipSerial

from .events import FIRST, Event
from .states import TRANSITIONS, Act, CardState, ChipState

Record = tuple[str, int]
"""A batch and a number in it."""


@dataclass(slots=True)
class FoldedCard:
    """One attempt to make a record."""

    attempt: int
    state: CardState = CardState.PREPARED
    chip: ChipSerial | None = None


@dataclass(slots=True)
class FoldedRecord:
    """A record with all its cards; the last one is the current one."""

    cards: list[FoldedCard] = field(default_factory=lambda: [FoldedCard(1)])
    step: int = 0
    token: int = 0
    station: str | None = None
    changed: int = 0


@dataclass(slots=True)
class FoldedChip:
    """A chip, and where it is. `step` counts its changes."""

    state: ChipState | None = None
    step: int = 0


@dataclass(slots=True)
class Folded:
    """What the events say. `faults` names each event that cannot be."""

    batches: dict[str, list[Event]] = field(default_factory=dict)
    records: dict[Record, FoldedRecord] = field(default_factory=dict)
    chips: dict[ChipSerial, FoldedChip] = field(default_factory=dict)
    heads: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    others: set[tuple[str, int, str]] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)


def fold(events: Iterable[Event]) -> Folded:
    """Tell the journal again. `events` may come in any order."""
    folded, listed = Folded(), list(events)
    _fold_chains(folded, listed)
    for event in listed:
        if event.act is Act.ENTERED and event.batch is not None:
            _enter(folded, event.batch, event)
    of_records: dict[Record, list[Event]] = {}
    of_chips: dict[ChipSerial, list[Event]] = {}
    for event in listed:
        if event.card_step is not None and event.batch is not None and event.number is not None:
            of_records.setdefault((event.batch, event.number), []).append(event)
        if event.chip_step is not None and event.chip is not None:
            of_chips.setdefault(event.chip, []).append(event)
    for record, found in of_records.items():
        if record not in folded.records:
            folded.faults.append(f"card {record[1]} of batch {record[0]} was never entered")
            continue
        fold_record(folded.records[record], found, folded.faults, folded.others)
    for chip, found in of_chips.items():
        folded.chips[chip] = fold_chip(chip, found, folded.faults)
    return folded


def _enter(folded: Folded, batch: str, event: Event) -> None:
    folded.batches.setdefault(batch, []).append(event)
    for number in range(int(event.detail.get("first", 1)), int(event.detail.get("last", 0)) + 1):
        if (batch, number) in folded.records:
            folded.faults.append(f"card {number} of batch {batch} was entered twice")
        folded.records[batch, number] = FoldedRecord(changed=event.at)


def _fold_chains(folded: Folded, events: Sequence[Event]) -> None:
    of_stations: dict[str, list[Event]] = {}
    for event in events:
        of_stations.setdefault(event.station, []).append(event)
    for station, found in of_stations.items():
        seq, head = 0, FIRST
        for event in sorted(found, key=lambda each: each.seq):
            where = f"event {event.seq} of station {station}"
            if event.own_hash() != event.hash:
                folded.faults.append(f"{where} was changed: its hash is another")
            if event.seq != seq + 1:
                folded.faults.append(
                    f"events {seq + 1} to {event.seq - 1} of station {station} are missing"
                )
            elif event.previous != head:
                folded.faults.append(f"{where} does not follow event {seq}: one was replaced")
            seq, head = event.seq, event.hash
        folded.heads[station] = seq, head


def fold_record(
    record: FoldedRecord,
    events: Iterable[Event],
    faults: list[str],
    others: set[tuple[str, int, str]] | None = None,
) -> None:
    """Do all events of one record, in the order of its steps; name those that cannot be."""
    for event in sorted(events, key=lambda each: each.card_step or 0):
        card = record.cards[-1]
        where = f"event {event.seq} of station {event.station} (card {event.number})"
        if event.card_step != record.step + 1:
            faults.append(
                f"{where}: steps {record.step + 1} to {(event.card_step or 0) - 1} of"
                " this card are missing"
            )
        record.step, record.station = event.card_step or 0, event.station
        record.changed = event.at
        record.token = int(event.detail.get("token", record.token))
        if others is not None and event.act is Act.OTHER_CARD_SEEN:
            others.add((str(event.batch), event.number or 0, str(event.detail.get("other"))))
        step = TRANSITIONS.get(event.act)
        if step is None:
            continue
        if event.attempt != card.attempt or card.state not in step.before:
            faults.append(f"{where}: {event.act}, but the card was {card.state}")
        if event.act is not Act.CLAIMED and event.chip != card.chip:
            faults.append(f"{where}: it names another chip than the card has")
        card.state = step.after
        card.chip = None if step.unbinds else event.chip
        if step.again:
            record.cards.append(FoldedCard(card.attempt + 1))


def fold_chip(chip: ChipSerial, events: Iterable[Event], faults: list[str]) -> FoldedChip:
    """Do all events of one chip, in the order of its steps; name those that cannot be."""
    found = FoldedChip()
    for event in sorted(events, key=lambda each: each.chip_step or 0):
        where = f"event {event.seq} of station {event.station} (chip {chip})"
        step = TRANSITIONS.get(event.act)
        if step is None or event.chip_step != found.step + 1:
            faults.append(f"{where}: it is not the next step of this chip")
        if step is not None:
            if found.state not in step.chip_before:
                faults.append(
                    f"{where}: {event.act}, but the chip was {found.state or 'not known'}"
                )
            found.state = step.chip_after
        found.step = event.chip_step or 0
    return found


def chips_in(folded: Mapping[ChipSerial, FoldedChip]) -> dict[ChipState, int]:
    """How many chips are in each state."""
    counts = dict.fromkeys(ChipState, 0)
    for chip in folded.values():
        if chip.state is not None:
            counts[chip.state] += 1
    return counts
