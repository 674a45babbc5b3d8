"""Fuzzing the software card, a little on each run; at length by `python -m tests.attacks.fuzz`.

RHCARD_FUZZ_RUNS and RHCARD_FUZZ_SEED choose how many APDUs are sent, and which.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cardlib.emulator.filesystem.tree import Directory
from cardlib.emulator.handlers import (
    access,
    binary_commands,
    pin_commands,
    record_commands,
    selection,
)
from cardlib.emulator.sessions import logical_channel as session
from cardlib.emulator.sessions.logical_channel import LogicalChannel
from tests.attacks.fuzz.cards import KINDS, make
from tests.attacks.fuzz.oracle import Problem, Watched
from tests.attacks.fuzz.runner import CORPUS, Finding, Found, replay, run, shrunk

RUNS = int(os.environ.get("RHCARD_FUZZ_RUNS", "60000"))
SEED = int(os.environ.get("RHCARD_FUZZ_SEED", "1"))
PARTS = 3


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.json")), ids=lambda path: path.stem)
def test_what_was_found_once_stays_mended(path: Path) -> None:
    replay(Finding.read(path))


@pytest.mark.parametrize("part", range(PARTS))
def test_no_apdu_breaks_the_card_or_gets_what_it_may_not(part: int) -> None:
    assert max(run(RUNS // PARTS, SEED + 1000 * part)) >= RUNS // PARTS


def _enter_and_keep_rights(channel: LogicalChannel, directory: Directory) -> None:
    channel.directory, channel.file, channel.record_pointer = directory, None, 0


def _end_without_rights(channel: LogicalChannel) -> None:
    channel.v2 = channel.next_v2 = None


def _always(*_: object) -> bool:
    return True


SABOTAGE: dict[str, tuple[object, str, Callable[..., object]]] = {
    "binary files without access rules": (binary_commands, "permit", _always),
    "record files without access rules": (record_commands, "permit", _always),
    "rights that outlive their directory": (selection, "enter", _enter_and_keep_rights),
    "rights that outlive their session": (LogicalChannel, "end_v2", _end_without_rights),
    "any PIN": (pin_commands, "compare_digest", _always),
    "changes without keys": (access, "permit", _always),
}


@pytest.mark.parametrize("name", SABOTAGE)
def test_the_fuzzer_finds_a_card_with(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, attribute, replacement = SABOTAGE[name]
    for kind in KINDS:
        make(kind, 0)
    monkeypatch.setattr(place, attribute, replacement)
    with pytest.raises(Found):
        list(run(100_000, 3))


def test_a_crash_is_kept_with_few_apdus_and_seen_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def crash(*_: object) -> bytes:
        raise IndexError("a bug")

    monkeypatch.setattr(session.LogicalChannel, "room", crash)
    with pytest.raises(Found) as found:
        list(run(100_000, 1))
    finding = shrunk(found.value.finding)
    assert 1 <= len(finding.history) <= 12
    finding.write(tmp_path / "found.json")
    again = Finding.read(tmp_path / "found.json")
    with pytest.raises(IndexError):
        replay(again)
    monkeypatch.undo()
    replay(again)


def test_an_answer_that_is_not_the_right_one_is_a_problem() -> None:
    with pytest.raises(Problem):
        replay(Finding("", "active", 1, ("00A40000",), last="6A82"))


def test_every_kind_of_card_is_whole_and_as_it_says() -> None:
    for kind, what in KINDS.items():
        watched = Watched(kind, 1)
        watched.check_whole()
        assert watched.card.state.life_cycle == what.life_cycle
        assert watched.card.options == what.options
