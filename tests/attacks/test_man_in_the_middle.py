"""Nothing that was altered on the line is accepted in SCP03, and no altered change in version 1.

RHCARD_MITM_RUNS sets the number of runs; `make soak` and
`python -m tests.attacks.man_in_the_middle --protocol scp03`
makes 100,000. Version 2 is in test_v2_man_in_the_middle.py.
"""

import os
from collections import Counter
from random import Random
from typing import Any
from unittest.mock import patch

import pytest

from cardlib.apdu import CommandAPDU
from cardlib.emulator import SoftwareCard
from cardlib.emulator.sessions import scp03 as card_scp03
from cardlib.emulator.sessions import v1 as secure_messaging_v1
from cardlib.emulator.sessions.logical_channel import LogicalChannel
from cardlib.layout import KeySpec
from cardlib.messaging import scp03
from tests.attacks import man_in_the_middle_scp03, man_in_the_middle_v1
from tests.attacks.man_in_the_middle import Accepted, Line, Memory, runs
from tests.cards.v2_cards import card_of

RUNS = int(os.environ.get("RHCARD_MITM_RUNS", "1000"))


def every_trick_was_used(total: Counter[str]) -> bool:
    line = Line(card_of(), Random(0), Memory())
    return all(total[trick] > RUNS / 50 for trick in (*line.on_commands, *line.on_replies))


def everything(*_: object) -> bool:
    return True


def test_nothing_altered_is_accepted_in_scp03() -> None:
    total = runs(man_in_the_middle_scp03.run, RUNS)
    assert every_trick_was_used(total)
    assert total["went through"] > RUNS / 10 and total["ended by the host"] > RUNS / 10
    assert total["commands done"] > RUNS
    # What the standard leaves open: Le, and error statuses.
    assert total["(an answer was made an error)"]


def test_no_altered_change_is_accepted_in_version_1() -> None:
    total = runs(man_in_the_middle_v1.run, RUNS)
    assert every_trick_was_used(total)
    assert total["went through"] > RUNS / 10 and total["changes done"] > RUNS


@pytest.mark.parametrize("side", [scp03, card_scp03], ids=["host", "card"])
def test_the_attack_succeeds_against_a_side_that_checks_no_mac_in_scp03(side: object) -> None:
    """The harness sees what it is there to see."""
    with patch.object(side, "compare_digest", everything), pytest.raises(Accepted):
        runs(man_in_the_middle_scp03.run, 500)


def test_the_attack_succeeds_against_a_chain_that_stands_still_in_scp03() -> None:
    protect, unwrap = scp03.Scp03Host.protect, card_scp03.Scp03Session.unwrap

    def standing(host: scp03.Scp03Host, *command: Any, **options: Any) -> bytes:
        host._chain = bytes(16)
        return protect(host, *command, **options)

    def standing_card(session: card_scp03.Scp03Session, command: CommandAPDU) -> CommandAPDU:
        session._chaining = bytes(16)
        return unwrap(session, command)

    with (
        patch.object(scp03.Scp03Host, "protect", standing),
        patch.object(card_scp03.Scp03Session, "unwrap", standing_card),
        pytest.raises(Accepted),
    ):
        runs(man_in_the_middle_scp03.run, 500)


def test_the_attack_succeeds_against_a_card_that_checks_no_mac_in_version_1() -> None:
    with (
        patch.object(secure_messaging_v1, "compare_digest", everything),
        pytest.raises(Accepted),
    ):
        runs(man_in_the_middle_v1.run, 500)


def test_the_attack_succeeds_against_a_challenge_that_serves_twice_in_version_1() -> None:
    def reusing(
        card: SoftwareCard, channel: LogicalChannel, command: CommandAPDU, spec: KeySpec
    ) -> bytes:
        challenge = channel.used_challenge
        plain = secure_messaging_v1.unprotect(card, channel, command, spec)
        channel.challenge = challenge
        return plain

    with patch.object(man_in_the_middle_v1, "unprotect", reusing), pytest.raises(Accepted):
        runs(man_in_the_middle_v1.run, 500)
