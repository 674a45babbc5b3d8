"""Looking at a card without a key: what it is, by commands that change nothing."""

import pytest

from cardlib.errors import NotPersonalized, TransportError
from cardlib.exchange import Connection
from cardlib.transport.recorder import Recorder
from personalize.terminal.looking import CardCondition, answers_of, how_to_read, look
from tests.cards.cards import CHIP, blank_card, personalized_card
from tests.cards.field_bench import card_of_profile
from tests.cards.field_cards import DEPLOYED
from tests.cards.in_between import DISGUISE, disguised
from tests.cards.wrong_cards import Foreign

HARMLESS = {0xA4, 0xB2, 0xCA}
"""SELECT, READ RECORD and GET DATA."""


@pytest.mark.parametrize("kind", DEPLOYED)
def test_a_deployed_card_is_seen_with_what_it_answers_and_nothing_is_changed(kind: str) -> None:
    card = card_of_profile(DEPLOYED[kind])
    before, log = dict(card.memory.pages), Recorder(card)
    seen = look(log)
    assert seen.state is CardCondition.DEPLOYED
    assert seen.answers is not None and CHIP in seen.answers.serials
    assert {each.command[1] for each in log.commands} <= HARMLESS
    assert dict(card.memory.pages) == before


@pytest.mark.parametrize(("card", "state"), [
    (personalized_card(protocol=1), CardCondition.ISSUED),
    (personalized_card(protocol=2), CardCondition.ISSUED),
    (blank_card(), CardCondition.BLANK),
    (Foreign(), CardCondition.NOT_OURS),
])  # fmt: skip
def test_no_other_card_is_called_deployed(card: Connection, state: CardCondition) -> None:
    log = Recorder(card)
    seen = look(log)
    assert (seen.state, seen.answers) == (state, None)
    assert {each.command[1] for each in log.commands} <= HARMLESS


def test_a_2_0_card_that_is_made_to_look_so_is_called_deployed_and_gets_no_more() -> None:
    """Somebody on the line hides AID and C1: nothing proves what a card says here."""
    log = Recorder(disguised(*DISGUISE, "no serial"))
    assert look(log).state is CardCondition.DEPLOYED
    assert {each.command[1] for each in log.commands} <= HARMLESS


@pytest.mark.parametrize("command", range(1, 12))
def test_a_card_that_is_pulled_out_at_any_command_is_lost_and_not_another_kind(
    command: int,
) -> None:
    with pytest.raises(TransportError):
        look(PulledOut(card_of_profile(), command))


class PulledOut:
    """A line to a card that is gone from a command of a number on."""

    def __init__(self, card: Connection, number: int) -> None:
        self._card, self._left = card, number

    @property
    def atr(self) -> bytes:
        return self._card.atr

    def reset(self) -> bytes:
        return self._card.reset()

    def transmit(self, command: bytes) -> bytes:
        self._left -= 1
        if self._left <= 0:
            raise TransportError("the card was pulled out")
        return self._card.transmit(command)


def test_how_a_card_is_read_follows_from_its_answers() -> None:
    lines = {kind: how_to_read(answers_of(card_of_profile(DEPLOYED[kind]))) for kind in DEPLOYED}
    assert lines["field"] == ("--profile", "field")
    assert lines["describing itself, with its chip serial elsewhere"] == (
        "--set", "record_reading=one", "--set", "serial_place=bytes 5-12",
    )  # fmt: skip
    assert how_to_read(answers_of(personalized_card())) == ()


def test_of_a_blank_card_it_is_said_what_to_do() -> None:
    with pytest.raises(NotPersonalized, match="`rhcard issue` makes a resident's card of it"):
        answers_of(blank_card())
