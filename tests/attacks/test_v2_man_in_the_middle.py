"""Nothing that was altered on the line is accepted, by host or card, in version 2.

RHCARD_MITM_RUNS sets the number of runs; `make soak` and
`python -m tests.attacks.man_in_the_middle --protocol v2` makes
100,000.
"""

import os
from random import Random
from unittest.mock import patch

import pytest

from cardlib.emulator.sessions import v2 as secure_messaging_v2
from cardlib.messaging import iso as secure_messaging
from tests.attacks.man_in_the_middle import Accepted, Line, Memory, runs
from tests.attacks.man_in_the_middle_v2 import run
from tests.cards.v2_cards import card_of

RUNS = int(os.environ.get("RHCARD_MITM_RUNS", "1000"))


def test_nothing_altered_is_accepted() -> None:
    total = runs(run, RUNS)
    line = Line(card_of(), Random(0), Memory())
    for trick in (*line.on_commands, *line.on_replies):
        assert total[trick] > RUNS / 50, trick
    assert total["went through"] > RUNS / 10 and total["ended by the host"] > RUNS / 10


def everything(*_: object) -> bool:
    return True


@pytest.mark.parametrize("side", [secure_messaging, secure_messaging_v2])
def test_the_attack_succeeds_against_a_side_that_checks_no_mac(side: object) -> None:
    """The harness sees what it is there to see."""
    with patch.object(side, "compare_digest", everything), pytest.raises(Accepted):
        runs(run, 500)


def test_the_attack_succeeds_against_a_counter_that_stands_still() -> None:
    host = secure_messaging.SecureMessaging
    unprotect = host.unprotect

    def standing(self: secure_messaging.SecureMessaging, data: bytes, sw: int) -> bytes:
        plain = unprotect(self, data, sw)
        self._counter = 0
        return plain

    card = secure_messaging_v2.Session
    wrap = card.wrap

    def standing_card(self: secure_messaging_v2.Session, response: bytes) -> bytes:
        wrapped = wrap(self, response)
        self._ssc = 0
        return wrapped

    with (
        patch.object(host, "unprotect", standing), patch.object(card, "wrap", standing_card),
        pytest.raises(Accepted),
    ):  # fmt: skip
        runs(run, 2000)
