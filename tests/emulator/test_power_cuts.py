"""The supply fails at every memory write of a card's life: each command is done, or it is not.

A card's life (tests/emulator/life_of_a_card.py) is lived once without faults, and what the memory
holds is noted after every command. Then every session is lived again as often as it writes pages,
twice: cut before the write, and cut after it. The card that wakes up must hold what it held before
the command or after it, to the last byte. One thing lies between: a try that the card spent before
it looked at a cryptogram or a MAC (card specification, section 3).
"""

from collections.abc import Callable, Iterator, Mapping

import pytest

from cardlib.card.visits import VISITS
from cardlib.emulator import FaultyCard, LifeCycle, PowerCut, SoftwareCard, parse_fault
from cardlib.emulator.bench.faults import Cut, Fault, Moment
from cardlib.emulator.bench.faulty_card import PowerLost
from cardlib.emulator.bench.ready_made import CHIP
from cardlib.emulator.chip.memory import Memory
from cardlib.emulator.profile.card_state import StoredState
from cardlib.errors import CardError
from cardlib.issuance import CardStage, stage
from cardlib.layout import FILE_BY_PATH
from tests.cards import cards
from tests.emulator.life_of_a_card import (
    ENDS,
    LIFE,
    VISIT_TEXT,
    Terminal,
    activation,
    card_block,
    is_between,
    kept,
    lived,
    personalization,
    second_version,
    set_status,
    termination,
    visits,
)

H = bytes.fromhex
STORE = cards.key_store()
TRANSPORT, ISSUER = STORE.transport_keys(CHIP), STORE.issuer_keys(CHIP)
Pages = Mapping[int, bytes]


Session = Callable[[FaultyCard], None]
SESSIONS = (*LIFE, *ENDS, second_version)
TOLD_APART = (personalization, activation, visits, *ENDS)
"""The sessions with a test of their own, which looks at more after each cut."""


def points(session: Session) -> Iterator[Cut]:
    for write in range(1, lived(session).writes + 1):
        yield Cut(write=write, moment=Moment.BEFORE)
        yield Cut(write=write, moment=Moment.AFTER)


def relived(session: Session, fault: Fault) -> FaultyCard:
    """A card in the middle of the session, where the supply failed."""
    card = FaultyCard(SoftwareCard(Memory(dict(lived(session).start))), [fault])
    with pytest.raises(PowerLost):
        session(card)
    return card


def recoveries(pages: Pages) -> Iterator[Pages]:
    """What is found after the power-on that follows a cut, itself cut after each of its writes."""
    whole = Memory(dict(pages))
    whole.power_on()
    yield whole.pages
    for cut in range(whole.writes):
        memory, writes = Memory(dict(pages)), iter(range(cut + 1))

        def fail(_page: int, done: bool, writes: Iterator[int] = writes, cut: int = cut) -> None:
            if done and next(writes) == cut:
                raise PowerCut

        memory.on_write = fail
        with pytest.raises(PowerCut):
            memory.power_on()
        memory = Memory(memory.pages)
        memory.power_on()
        yield memory.pages


def waking_up(session: Session) -> Iterator[tuple[FaultyCard, bool]]:
    """Every point of a session: the card with its power again, and whether the command was done."""
    one = lived(session)
    last, before = (0, False), dict[int, bytes]()
    for cut in points(session):
        card = relived(session, cut)
        number, pages = card.apdus, card.card.memory.pages
        old, new, command = one.states[number - 1], one.states[number], one.commands[number - 1]
        card.reset()
        found = kept(card.card.memory.pages)
        done = found == new != old
        whole = found in (old, new) or is_between(found, old, command)
        assert whole, (str(cut), command.hex())
        assert card.card.damage == ""
        assert (number, done) >= last, "what was done once stays done at every later point"
        last = (number, done)
        # Before a write the memory is mostly what it was after the last one: one recovery.
        assert pages == before or all(kept(again) == found for again in recoveries(pages)), cut
        before = pages
        yield card, done


# --- the tests ------------------------------------------------------------------------


def test_there_are_hundreds_of_points_and_every_kind_of_update() -> None:
    assert sum(2 * lived(session).writes for session in SESSIONS) > 800
    assert lived(personalization).writes > 60
    changing = [command for session in SESSIONS for command in lived(session).changing]
    writing = {(command[0] & 0x80, command[1]) for command in changing}
    standard = {0x04, 0x0E, 0x20, 0x24, 0x44, 0x82, 0xD0, 0xD6, 0xD7, 0xDA, 0xDC, 0xDD, 0xE0,
                0xE2, 0xE4, 0xE6, 0xE8, 0xFE}  # fmt: skip
    own = {0x0C, 0x16, 0x18, 0x1E, 0x24, 0x2C, 0x44, 0x50, 0x82, 0xD2, 0xD8, 0xE2, 0xE4, 0xF0}
    assert {ins for proprietary, ins in writing if not proprietary} >= standard
    assert {ins for proprietary, ins in writing if proprietary} >= own


@pytest.mark.parametrize(
    "session",
    [session for session in SESSIONS if session not in TOLD_APART],
    ids=lambda session: session.__name__,
)
def test_a_cut_at_any_write_leaves_each_command_done_or_not(session: Session) -> None:
    for _ in waking_up(session):
        pass


def test_a_cut_in_a_personalization_leaves_a_life_cycle_that_there_is() -> None:
    """And the same issuer finishes the card: it is then as if nothing had happened."""
    seen, end, woken = [], kept(lived(personalization).end), dict[int, bytes]()
    steps = StoredState(Memory(dict(end))).sequence_counter
    for card, _ in waking_up(personalization):
        before, woken = woken, card.card.memory.pages
        if woken == before:
            continue
        seen.append(stage(card))
        if seen[-1] is not CardStage.PERSONALIZED:
            personalization(card)
        assert card.card.state.sequence_counter >= steps
        card.card.state.sequence_counter = steps
        card.card.memory.commit()
        assert kept(card.card.memory.pages) == end
    assert seen == sorted(seen, key=list(CardStage).index)
    assert set(seen) == set(CardStage)


@pytest.mark.parametrize(
    ("session", "before", "after"),
    [
        (activation, LifeCycle.PERSONALIZED, LifeCycle.ACTIVE),
        (card_block, LifeCycle.ACTIVE, LifeCycle.BLOCKED),
        (set_status, LifeCycle.ACTIVE, LifeCycle.BLOCKED),
        (termination, LifeCycle.ACTIVE, LifeCycle.TERMINATED),
    ],
)
def test_a_cut_leaves_the_life_cycle_before_or_after(
    session: Session, before: LifeCycle, after: LifeCycle
) -> None:
    seen = [card.card.state.life_cycle for card, _ in waking_up(session)]
    assert seen == [before] * seen.count(before) + [after] * seen.count(after)
    assert {before, after} == set(seen)


def test_a_cut_leaves_a_visit_record_absent_or_whole() -> None:
    """What is marked valid is what one of the four visits wrote, from first byte to last."""
    files, written = VISITS["inpatient"], set[bytes]()
    size = FILE_BY_PATH[files.slots[0]].size

    def valid(card: SoftwareCard) -> list[bytes]:
        card.reset()
        host = Terminal(FaultyCard(card), "RK1_DF03")
        marks = host.read_raw(files.index)
        return [
            host.read_binary(slot, 0, size)
            for slot, mark in zip(files.slots, marks, strict=True)
            if mark == b"\0"
        ]

    for seed in range(4):
        card = SoftwareCard(Memory(dict(lived(visits).start)))
        host = Terminal(FaultyCard(card), "RK1_DF03", "UK1_DF03")
        slot = host.write_visit("inpatient", {VISIT_TEXT: f"visit {seed}"})
        written.add(host.read_binary(files.slots[slot - 1], 0, size))
    assert len(written) == 4
    seen = set()
    for card_, _ in waking_up(visits):
        found = valid(card_.card)
        assert set(found) <= written
        seen.add(len(found))
    assert seen == {0, 1, 2, 3}


@pytest.mark.parametrize("moment", Moment)
def test_no_challenge_of_scp03_comes_twice_whatever_is_cut(moment: Moment) -> None:
    card = SoftwareCard(Memory(dict(lived(activation).start)))
    initialize, answered = H("8050000008") + bytes(8), list[bytes]()
    for _ in range(20):
        for fault in (None, f"cut:write=1:{moment}", f"cut:apdu=1:{moment}", "lost:apdu=1"):
            faulty = FaultyCard(card, [parse_fault(fault)] if fault else [])
            try:
                answered.append(faulty.transmit(initialize))
            except CardError:
                faulty.reset()
    challenges = {answer[13:21] for answer in answered}
    counters_seen = [answer[29:32] for answer in answered]
    assert len(challenges) == len(answered) == 20
    assert counters_seen == sorted(set(counters_seen))
