"""The journal told again from its events alone: what each card and chip must be now."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from cardlib.errors import DAMAGE
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
    step: int = 0
    token: int = 0
    station: str | None = None
    changed: int = 0


@dataclass(slots=True)
class FoldedRecord:
    """A record with all its cards; the last one is the current one.

    `pins` has of each attempt and chip the digest of the sealed PIN, and whether the claim has it.
    `others` has the chips of other cards of the resident, and when each was seen.
    """

    cards: list[FoldedCard] = field(default_factory=lambda: [FoldedCard(1)])
    pins: dict[tuple[int, ChipSerial], tuple[str, bool]] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)


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
    faults: list[str] = field(default_factory=list)


def fold(events: Iterable[Event]) -> Folded:
    """Tell the journal again. `events` may come in any order."""
    folded, listed = Folded(), list(events)
    _fold_chains(folded, listed)
    for event in listed:
        if event.act is Act.ENTERED and event.batch is not None:
            with _named(folded.faults, f"batch {event.batch}"):
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
        with _named(folded.faults, f"card {record[1]} of batch {record[0]}"):
            fold_record(folded.records[record], found, folded.faults)
    for chip, found in of_chips.items():
        folded.chips[chip] = fold_chip(chip, found, folded.faults)
    return folded


@contextmanager
def _named(faults: list[str], what: str) -> Iterator[None]:
    try:
        yield
    except DAMAGE:
        faults.append(f"{what}: an event holds a wrong value")


def _enter(folded: Folded, batch: str, event: Event) -> None:
    folded.batches.setdefault(batch, []).append(event)
    for number in range(int(event.detail.get("first", 1)), int(event.detail.get("last", 0)) + 1):
        if (batch, number) in folded.records:
            folded.faults.append(f"card {number} of batch {batch} was entered twice")
        folded.records[batch, number] = FoldedRecord([FoldedCard(1, changed=event.at)])


def _fold_chains(folded: Folded, events: Sequence[Event]) -> None:
    of_stations: dict[str, list[Event]] = {}
    for event in events:
        of_stations.setdefault(event.station, []).append(event)
    for station, found in of_stations.items():
        seq, head = 0, FIRST
        for event in sorted(found, key=lambda each: each.seq):
            where = f"event {event.seq} of station {station}"
            if event.seq != seq + 1:
                folded.faults.append(
                    f"events {seq + 1} to {event.seq - 1} of station {station} are missing"
                )
            elif event.previous != head:
                folded.faults.append(f"{where} does not follow event {seq}: one was replaced")
            seq, head = event.seq, event.hash
        folded.heads[station] = seq, head


def fold_record(record: FoldedRecord, events: Iterable[Event], faults: list[str]) -> None:
    """Do all events of one record, in the order of its steps; name those that cannot be."""
    for event in sorted(events, key=lambda each: each.card_step or 0):
        card = record.cards[-1]
        where = f"event {event.seq} of station {event.station} (card {event.number})"
        if event.card_step != card.step + 1:
            faults.append(
                f"{where}: steps {card.step + 1} to {(event.card_step or 0) - 1} of"
                " this card are missing"
            )
        card.step, card.changed = event.card_step or 0, event.at
        _fold_beside(record, card, event)
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
            record.cards.append(
                FoldedCard(card.attempt + 1, step=card.step, token=card.token, changed=event.at)
            )


def _fold_beside(record: FoldedRecord, card: FoldedCard, event: Event) -> None:
    """Do what an event changes beside the state: who has the card, its PINs, other cards."""
    card.token = int(event.detail.get("token", card.token))
    if event.act in TRANSITIONS or event.act is Act.TAKEN_OVER:
        card.station = event.station
    if event.act is Act.OTHER_CARD_SEEN:
        record.others.setdefault(str(event.detail["other"]).lower(), event.at)
    if event.act is Act.CLAIMED and event.chip is not None and "pin" in event.detail:
        record.pins[card.attempt, event.chip] = str(event.detail["pin"]), True
    if event.act is Act.ACTIVATED:
        record.pins = {of: (digest, False) for of, (digest, _) in record.pins.items()}


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
