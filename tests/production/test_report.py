"""Figures of a run: only the cards that it made, and no division by nothing."""

import pytest

from cardlib.emulator import SoftwareCard
from cardlib.exchange import observed
from cardlib.facts import ChipSerial
from cardlib.timing import CardTiming
from cardlib.transport.meter import Figures, Meter
from personalize.production.job import CardResult
from personalize.production.report import lines_in_words, result_as_dict, throughput
from personalize.register.states import CardState
from tests.cards.bureau import store


def outcome(progress: CardState, *, was_active: bool = False) -> CardResult:
    figures = Figures(100, 20_000, 10_000, 2_500.0)
    return CardResult(1, 2, ChipSerial(b"12345678"), progress, "", figures, 0.5, was_active)


def without_card(*lines: int) -> list[CardResult]:
    none = CardState.PREPARED
    return [CardResult(n, line, None, none, "no blank") for n, line in enumerate(lines, 1)]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((), ""),
        ((7,), "No card yet: line 7 of the list."),
        ((9, 2, 3, 4, 7), "No card yet: lines 2-4, 7, 9 of the list."),
    ],
)
def test_the_residents_without_a_card_are_named_by_their_lines(
    lines: tuple[int, ...], words: str
) -> None:
    assert lines_in_words([outcome(CardState.ACTIVE), *without_card(*lines)]) == words


def test_a_meter_counts_commands_and_bytes_and_changes_nothing() -> None:
    card = SoftwareCard.blank(b"12345678", store().blank_keys(b"12345678"))
    meter = Meter()
    with observed(card, meter) as watched:
        assert watched.reset() == watched.atr == card.atr
        response = watched.transmit(bytes.fromhex("0084000008"))
        watched.transmit(bytes.fromhex("0084000008"))
    time = CardTiming().exchange_ms(bytes(5), bytes(10))
    assert len(response) == 10
    assert meter.figures == Figures(2, 10, 20, 2 * time)


def test_a_meter_counts_the_memory_writes_of_a_software_card_as_time() -> None:
    card = SoftwareCard.blank(b"12345678", store().blank_keys(b"12345678"))
    meter = Meter()
    with observed(card, meter):
        reply = card.transmit(bytes.fromhex("8050FF0008") + bytes(8))
    expected = CardTiming().exchange_ms(bytes(13), reply, page_writes=1)
    assert meter.figures.card_ms == expected


def test_figures_are_of_the_cards_that_were_made_now() -> None:
    made = outcome(CardState.ACTIVE)
    found = throughput([made, made, outcome(CardState.ACTIVE, was_active=True),
                        outcome(CardState.PERSONALIZING)])  # fmt: skip
    assert (found.cards, found.seconds) == (2, 1.0)
    assert (found.cards_a_minute, found.commands_a_card, found.bytes_a_card) == (120, 100, 30_000)
    assert found.in_words() == (
        "120 cards a minute: software cards on this computer."
        " A real card takes about 2.5 s (100 APDUs, 30,000 bytes a card)."
    )


def test_a_run_that_made_none_has_figures_too() -> None:
    assert throughput([]).in_words() == (
        "0 cards a minute: software cards on this computer."
        " A real card takes about 0.0 s (0 APDUs, 0 bytes a card)."
    )


def test_an_outcome_in_json_says_where_each_card_is() -> None:
    found = result_as_dict(outcome(CardState.ACTIVATING))
    assert (found["number"], found["line"], found["state"]) == (1, 2, "activating")
    assert found["chip"] == b"12345678".hex()
