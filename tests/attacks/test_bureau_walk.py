"""Random walks of a hand-fed bureau, a few on each run; many by `benchmarks.soak`."""

from collections import Counter

import pytest

from cardlib.issuance.making import HostSession
from personalize.production.job import Job
from tests.attacks.bureau_walk import COUNT, EVENTS, walk

WALKS = 5


def test_each_resident_has_one_active_card_whatever_happens() -> None:
    seen = sum((walk(seed) for seed in range(WALKS)), Counter[str]())
    assert seen["active"] > WALKS * COUNT // 2
    assert seen["killed"] > 1 and len(seen) > len(EVENTS) // 2


def test_a_card_that_is_active_in_the_journal_only_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(HostSession, "activate", lambda _: None)
    with pytest.raises(AssertionError, match="the journal says"):
        for seed in range(WALKS):
            walk(seed)


def test_a_bureau_that_does_not_ask_whose_a_card_is_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Job, "number_on", lambda *_: None)
    with pytest.raises(AssertionError):
        for seed in range(WALKS):
            walk(seed)
